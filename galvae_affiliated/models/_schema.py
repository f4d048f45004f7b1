# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the entries of a manifest may be: each that is read is checked, and named if it is wrong."""

import math
import re

from galvae_affiliated.exceptions import BundleError

MAX_LATENTS, MAX_GRID, MAX_VOLUNTEERS = 65536, 4096, 10 ** 6
MAX_TOLERANCE = 10.0
KINDS = ('composite', 'flux', 'rerender')
# they come back from every format as they were: VOTable folds blanks, and an id is in brackets
NAME = re.compile(r'\w[\w.+-]*( [\w.+-]+)*')
MAX_NAME = 64
SHA256 = re.compile(r'[0-9a-f]{64}')
# all but line breaks and tabs: a terminal would obey them
CONTROL = re.compile(r'[\x00-\x08\x0b-\x1f\x7f-\x9f]')
MAX_TEXT = 200  # characters of a name of a question, an answer, a band
MAX_DEPTH = 32
LONG_NUMBER = re.compile(r'\d{4}')  # in a unit: powers such as 10**99999999 take for ever


def check_model_name(name):
    """
    Refuse a name that tables would not give back.

    Parameters
    ----------
    name : str

    Raises
    ------
    ValueError
    """
    if not isinstance(name, str) or len(name) > MAX_NAME or not NAME.fullmatch(name):
        raise ValueError(f'name is {_shown(name)}; expected letters, digits, and any of ._+- with '
                         f'single blanks between, {MAX_NAME} characters at most')


def check_entries(entries):
    """
    Refuse a manifest that the package cannot use.

    Parameters
    ----------
    entries : dict
        With all that are required.

    Raises
    ------
    BundleError
        Naming the entry, what it is, and what was expected.
    """
    _check_texts(entries, 'the manifest')
    try:
        check_model_name(entries['name'])
    except ValueError as error:
        raise _wrong(error) from None
    for key in ('license', 'description'):
        _checked(entries.get(key, ''), key, str)
    _checked(entries['version'], 'version', (str, int, float))
    _check_input(_checked(entries['input'], 'input', dict))
    _check_renderings(_checked(entries['renderings'], 'renderings', list))
    latents = _checked(entries['latents'], 'latents', dict)
    _number(latents, 'latents', 'n_latents', 1, MAX_LATENTS, whole=True)
    _number(latents, 'latents', 'n_pose', 0, MAX_LATENTS, whole=True)
    _texts(latents.get('same_as', []), 'latents.same_as')
    questions = _checked(entries['questions'], 'questions', dict)
    _check_questions(questions)
    _check_sets(entries.get('prediction_sets'), questions)
    heads = _checked(entries.get('heads', {}), 'heads', dict)
    if 'n_volunteers' in heads:
        _number(heads, 'heads', 'n_volunteers', 0, MAX_VOLUNTEERS, whole=True)
    _check_residuals(_checked(entries['reconstruction'], 'reconstruction', dict))
    _check_quantities(entries.get('quantities'))
    _check_generator(entries.get('generator'))
    _check_density(entries.get('density'))
    _check_adapter(entries.get('adapter'))
    _check_applicability(entries.get('applicability'))
    tolerance = _checked(entries.get('self_test_tolerance', {}), 'self_test_tolerance', dict)
    for key in tolerance:
        _number(tolerance, 'self_test_tolerance', key, -math.inf, MAX_TOLERANCE)
    for part, sha256 in _checked(entries['parts'], 'parts', dict).items():
        if not isinstance(sha256, str) or not SHA256.fullmatch(sha256):
            raise _wrong(f'parts.{part} is {_shown(sha256)}; expected a SHA-256')


def _wrong(message):
    return BundleError(f'an entry of the manifest is not as it should be: {message}')


def _shown(value):
    """The start of a value that may be of any length."""
    text = repr(value)
    return text if len(text) < 60 else f'{text[:57]}...'


def _checked(value, name, kinds):
    """The value, if it is of one of these types."""
    if not isinstance(value, kinds):
        one = kinds[0] if isinstance(kinds, tuple) else kinds
        words = {str: 'a text', dict: 'entries by name', list: 'a list'}
        raise _wrong(f'{name} is {_shown(value)}; expected {words[one]}')
    return value


def _number(entries, place, key, low, high, *, whole=False):
    """The number of this key, which has to lie between others; NaN does not."""
    value = entries.get(key)
    is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not is_number or not low <= value <= high or math.isinf(value):
        kind = 'a whole number' if whole else 'a number'
        raise _wrong(f'{place}.{key} is {_shown(value)}; expected {kind} from {low:g} to {high:g}')
    return value


def _numbers(values, place, length, low):
    """Check a list of so many finite numbers."""
    if not isinstance(values, list) or len(values) != length:
        raise _wrong(f'{place} is {_shown(values)}; expected {length} numbers')
    for i, value in enumerate(values):
        _number({str(i): value}, place, str(i), low, 1e30)


def _texts(values, place, length=None):
    """Check a list of short texts that are not the same."""
    ok = (isinstance(values, list) and all(isinstance(v, str) and 0 < len(v) <= MAX_TEXT
                                           and not CONTROL.search(v) for v in values)
          and len(set(values)) == len(values) and length in (None, len(values)))
    if not ok:
        count = 'texts' if length is None else f'{length} texts'
        raise _wrong(f'{place} is {_shown(values)}; expected {count}, none of them twice')


def _check_texts(value, place, depth=0):
    """Refuse control characters in any text, and entries that are within one another too deep."""
    if depth > MAX_DEPTH:
        raise BundleError(f'the entries of the manifest are more than {MAX_DEPTH} deep')
    if isinstance(value, str):
        if CONTROL.search(value):
            raise _wrong(f'there is a control character in a text of {place}: {_shown(value)}')
    elif isinstance(value, dict):
        for key, entry in value.items():
            _check_texts(str(key), place, depth + 1)
            _check_texts(entry, str(key), depth + 1)
    elif isinstance(value, (list, tuple)):
        for entry in value:
            _check_texts(entry, place, depth + 1)


def _check_input(entries):
    _number(entries, 'input', 'grid', 8, MAX_GRID, whole=True)
    _number(entries, 'input', 'field_of_view', 0.1, 1000.0)
    _checked(entries.get('flux_unit', ''), 'input.flux_unit', str)
    typical = _checked(entries.get('typical', {}), 'input.typical', dict)
    for band, usual in typical.items():
        place = f'input.typical.{band}'
        for key in ('noise', 'flux'):
            _number(_checked(usual, place, dict), place, key, 1e-30, 1e30)


def _check_renderings(entries):
    _texts([entry.get('name') if isinstance(entry, dict) else entry for entry in entries],
           'the names of the renderings')
    if not entries:
        raise _wrong('there are no renderings')
    for entry in entries:
        place = f'renderings.{entry["name"]}'
        if entry.get('kind') not in KINDS:
            raise _wrong(f'{place}.kind is {_shown(entry.get("kind"))}; expected one of '
                         f'{", ".join(KINDS)}')
        if entry['kind'] != 'composite' or 'bands' in entry:
            _texts(entry.get('bands'), f'{place}.bands', None if not entry.get('bands') else 3)
        if entry['kind'] != 'composite':
            _number(entry, place, 'softening', 1e-30, 1e30)
            _number(entry, place, 'offset', -1e30, 1e30)


def _check_questions(entries):
    _texts(list(entries), 'questions')
    for name, entry in entries.items():
        answers = _checked(entry, f'questions.{name}', dict).get('answers')
        _texts(answers, f'questions.{name}.answers')
        if not answers:
            raise _wrong(f'questions.{name}.answers is empty')
    for name, entry in entries.items():
        if entry.get('parent') is not None:
            _check_parent(name, entry['parent'], entries)


def _check_parent(name, parent, entries):
    """A parent is a question with an answer, and leads to one that everybody is asked."""
    place = f'questions.{name}.parent'
    pair = isinstance(parent, (list, tuple)) and len(parent) == 2
    if not pair or not all(isinstance(text, str) for text in parent):
        raise _wrong(f'{place} is {_shown(parent)}; expected a question and an answer')
    if parent[0] not in entries or parent[1] not in entries[parent[0]]['answers']:
        raise _wrong(f'{place} is {_shown(parent)}; there is no such question and answer')
    above, seen = parent[0], {name}
    while above is not None:
        if above in seen:
            raise _wrong(f'{place} leads back to the question itself')
        seen.add(above)
        known = entries.get(above, {}).get('parent')
        above = known[0] if isinstance(known, (list, tuple)) and len(known) == 2 else None


def _check_sets(entries, questions):
    if entries is None:
        return
    _checked(entries, 'prediction_sets', dict)
    coverages = _checked(entries.get('coverages'), 'prediction_sets.coverages', list)
    _numbers(coverages, 'prediction_sets.coverages', len(coverages), 0.0)
    if sorted(coverages) != coverages or not coverages:
        raise _wrong(f'prediction_sets.coverages is {_shown(coverages)}; expected numbers in '
                     'ascending order')
    place = 'prediction_sets.questions'
    for name, entry in _checked(entries.get('questions'), place, dict).items():
        if name not in questions:
            raise _wrong(f'{place}.{name} is of no question of the model')
        thresholds = _checked(entry, f'{place}.{name}', dict).get('thresholds')
        _numbers(thresholds, f'{place}.{name}.thresholds', len(coverages), -1e30)


def _check_residuals(entries):
    _numbers(entries.get('floor'), 'reconstruction.floor', 3, 1e-30)
    _numbers(entries.get('slope'), 'reconstruction.slope', 3, 0.0)
    _number(entries, 'reconstruction', 'chi2_99', 0.0, 1e30)


def _check_quantities(entries):
    if entries is None:
        return
    _checked(entries, 'quantities', dict)
    names = entries.get('names')
    _texts(names, 'quantities.names')
    for name, unit in _checked(entries.get('units'), 'quantities.units', dict).items():
        if name not in names or not isinstance(unit, str) or LONG_NUMBER.search(unit):
            raise _wrong(f'quantities.units.{name} is {_shown(unit)}; expected the unit of a '
                         'quantity')
    if entries.get('radius', '') not in (None, 'arcsec', 'pix'):
        raise _wrong(f'quantities.radius is {_shown(entries.get("radius"))}; expected arcsec, pix '
                     'or none')


def _check_generator(entries):
    if entries is None:
        return
    _checked(entries, 'generator', dict)
    for key in ('n_noise', 'side'):
        _number(entries, 'generator', key, 1, MAX_GRID, whole=True)


def _check_density(entries):
    if entries is None:
        return
    _checked(entries, 'density', dict)
    _number(entries, 'density', 'n_galaxies', 1, 1e12, whole=True)
    questions = _checked(entries.get('questions'), 'density.questions', dict)
    _texts(list(questions), 'density.questions')
    for name, answers in questions.items():
        _texts(answers, f'density.questions.{name}')
        if len(answers) < 2:
            raise _wrong(f'density.questions.{name} has fewer than two answers')
    _texts(entries.get('quantities'), 'density.quantities')


def _check_adapter(entries):
    if entries is None:
        return
    for key in ('survey', 'method'):
        text = _checked(entries, 'adapter', dict).get(key)
        _texts([text], f'adapter.{key}')


def _check_applicability(entries):
    if entries is None:
        return
    _checked(entries, 'applicability', dict)
    _texts(entries.get('statistics'), 'applicability.statistics')
    for key in ('flag_below', 'reason_below'):
        _number(entries, 'applicability', key, 0.0, 1.0)
