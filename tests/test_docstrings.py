# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the docstrings of public names have to say: sections, shapes, units, errors, examples.

That the examples give what they show is tested where they stand, and their form by numpydoc,
see ``tools/check_docstrings.py``.
"""

import ast
import dataclasses
import importlib
import inspect
import re
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest

import galvae_affiliated

PACKAGE = Path(galvae_affiliated.__file__).parent
REFERENCE = Path(__file__).parents[1] / 'docs' / 'reference'
# examples of which a line is not run, and what it needs
NOT_RUN = {
    'share_model': 'a cluster',
    'encode_fields': 'a cluster',
    'send_table': 'a program that takes tables',
    'LabelServer': 'a browser',
    'predict_quantities': 'a model with quantities',
    'add_quantities': 'a model with quantities',
    'draw_adaptation': 'an adapted model',
    'fit_new_heads': 'the export of a graph',
    'fit_new_quantities': 'the export of a graph',
    'train_model': 'a training',
    'build_bundle': 'a training',
    'sweep_latents': 'a training',
    'adapt_model': 'a training',
    'with_generator': 'a training',
    'code_correction': 'a training',
}
# what the description of a parameter has to name, whatever the unit is: not just a number
UNITS = {
    'pixel_scale': r'[Aa]rcsec',
    'psf_fwhm': r'arcsec|pixels|unit of the sizes',
    'zero_point': r'magnitude',
    'timeout': r'[Ss]econds',
    'petro_r90': r'arcsec|pixels',
    'psf_r90': r'arcsec|pixels',
}
SECTIONS = ('Parameters', 'Other Parameters', 'Attributes', 'Returns', 'Yields', 'Raises', 'Notes',
            'References', 'Examples', 'Warns', 'See Also')


def public_names():
    """Name of the module and of the object, of all in the stubs and in the reference."""
    stubs = {'galvae_affiliated', *(f'galvae_affiliated.{path.parent.name}' for path in
                                    PACKAGE.glob('*/__init__.pyi'))}
    pages = ''.join(path.read_text(encoding='utf-8') for path in REFERENCE.glob('*.rst'))
    listed = set(re.findall(r'^\.\. automodapi:: (\S+)', pages, re.MULTILINE))
    modules = sorted(stubs | listed, key=lambda name: (name not in stubs, name))
    if not all(find_spec(name) for name in ('torch', 'lightning', 'onnx')):
        modules = [name for name in modules if '.training' not in name]
    found = {}
    for module in modules:
        for name in importlib.import_module(module).__all__:
            thing = getattr(importlib.import_module(module), name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                found.setdefault(thing, f'{module}.{name}')
    return found


def sections(thing):
    """Title to text of the sections of a docstring, and '' to what is before them."""
    text = inspect.getdoc(thing) or ''
    parts = re.split(rf'^({"|".join(SECTIONS)})\n-+$', text, flags=re.MULTILINE)
    return {'': parts[0], **dict(zip(parts[1::2], parts[2::2]))}


def examples(thing):
    return sections(thing).get('Examples', '')


def entries(section):
    """Name to (type, description) of a section such as that of the parameters."""
    found = {}
    for block in re.split(r'\n(?=\S)', section.strip('\n')):
        head, _, description = block.partition('\n')
        names, _, kind = head.partition(' : ')
        found |= {name.strip(): (kind, textwrap.dedent(description)) for name in names.split(',')}
    return found


def takes_nothing_of_users(thing):
    """Errors are made by the package, and what they hold are attributes; so are protocols."""
    return inspect.isclass(thing) and (issubclass(thing, Exception)
                                       or getattr(thing, '_is_protocol', False))


def signature_names(thing):
    """Names that a call takes; those of a dataclass are its fields."""
    if dataclasses.is_dataclass(thing):
        return [field.name for field in dataclasses.fields(thing)
                if not field.name.startswith('_')]
    if takes_nothing_of_users(thing):
        return []
    marks = {inspect.Parameter.VAR_POSITIONAL: '*', inspect.Parameter.VAR_KEYWORD: '**'}
    return [marks.get(one.kind, '') + one.name
            for one in inspect.signature(thing).parameters.values()]


def own_raises(thing):
    """Names of the errors that a function raises in its own lines."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc]
    return {call.func.id for call in calls
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
            and call.func.id[0].isupper()}


def gives_something(function):
    """Whether a function returns or yields a value."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    inner = {id(node) for one in ast.walk(tree) if isinstance(one, (ast.FunctionDef, ast.Lambda))
             and one is not tree for node in ast.walk(one)}
    return any(isinstance(node, (ast.Return, ast.Yield, ast.YieldFrom)) and node.value
               for node in ast.walk(tree) if id(node) not in inner)


@pytest.fixture(scope='module')
def names():
    return public_names()


@pytest.fixture(scope='module')
def functions(names):
    return {thing: name for thing, name in names.items() if inspect.isfunction(thing)}


def test_all_are_found(names):
    listed = set(names.values())
    assert {'galvae_affiliated.encode_catalog', 'galvae_affiliated.explore.ActiveSearch',
            'galvae_affiliated.exceptions.AdaptationError'} <= listed
    assert len(listed) > 120


def test_each_has_a_summary_and_an_example(names):
    lacking = [name for thing, name in names.items()
               if not sections(thing)[''].strip() or '>>> ' not in examples(thing)]
    assert lacking == []


def test_examples_are_run(names):
    skipped = {name.rpartition('.')[2] for thing, name in names.items()
               if '+SKIP' in examples(thing)}
    assert skipped - NOT_RUN.keys() == set()
    nothing_is_run = [name for thing, name in names.items()
                      if name.rpartition('.')[2] not in NOT_RUN
                      and not re.search(r'^>>> (?!from|import)', examples(thing),
                                        re.MULTILINE)]
    assert nothing_is_run == []


def test_examples_need_no_network_and_leave_nothing_behind(names):
    wrong = [name for thing, name in names.items()
             if re.search(r'/tmp/|mkdtemp|urlopen|download_file', examples(thing))]
    assert wrong == []


def test_parameters_are_those_of_the_call(names):
    wrong = []
    for thing, name in names.items():
        parts = sections(thing)
        told = entries(parts.get('Parameters', '')) | entries(parts.get('Attributes', ''))
        if 'Other Parameters' in parts:
            told['**options'] = None
        lacking = [one for one in signature_names(thing) if one not in told]
        if re.search(r'`\w+` and `\w+` make one', parts['']):  # its class methods are called
            lacking = []
        if lacking:
            wrong.append((name, lacking))
        takes = entries(parts.get('Parameters', '')).keys() - {''}
        if takes - {*signature_names(thing)}:
            wrong.append((name, sorted(takes - {*signature_names(thing)})))
    assert wrong == []


def test_parameters_have_types(names):
    lacking = [(name, one) for thing, name in names.items()
               for one, (kind, _) in entries(sections(thing).get('Parameters', '')).items()
               if one and not one.startswith('*') and not kind]
    assert lacking == []


def test_arrays_have_shapes(names):
    """An array has its axes, such as (N, 40) or (ny, nx), unless other things are taken too."""
    shape = re.compile(r'\([^)]*,[^)]*\)')
    lacking = []
    for thing, name in names.items():
        parts = sections(thing)
        told = [one for title in ('Parameters', 'Attributes', 'Returns', 'Yields')
                for one in entries(parts.get(title, '')).values()]
        lacking += [(name, kind) for kind, more in told
                    if re.search(r'\b(arrays?|tensors?)\b', kind) and ' or ' not in kind
                    and not shape.search(kind + more.partition('.')[0])]
    assert lacking == []


def test_numbers_have_units(names):
    lacking = []
    for thing, name in names.items():
        for one, (kind, more) in entries(sections(thing).get('Parameters', '')).items():
            told = rf'{UNITS[one]}|[Ss]ee |[Aa]s ' if one in UNITS else ''
            if not re.search(told, f'{kind} {more}'):
                lacking.append((name, one))
    assert lacking == []


def test_what_is_given_back_is_described(functions):
    lacking = [name for function, name in functions.items() if gives_something(function)
               and not {'Returns', 'Yields'} & sections(function).keys()]
    assert lacking == []


def test_errors_are_described(names):
    """What a function raises in its own lines; most raise more in what they call."""
    lacking = []
    for thing, name in names.items():
        raised = own_raises(thing) if inspect.isfunction(thing) else set()
        untold = [one for one in raised if one not in sections(thing).get('Raises', '')]
        if untold:
            lacking.append((name, untold))
    assert lacking == []
