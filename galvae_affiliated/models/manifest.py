# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a bundle says of its model, parsed once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from galvae_affiliated.cutouts.frame import ModelFrame
from galvae_affiliated.exceptions import BundleError
from galvae_affiliated.models._schema import check_entries

__all__ = ['AdapterTable', 'ApplicabilityTable', 'DensityTable', 'Manifest', 'PredictionSets',
           'QuantityTable', 'Question']

SCHEMA_VERSION = 2
REQUIRED = ('schema_version', 'name', 'version', 'input', 'renderings', 'latents', 'questions',
            'reconstruction', 'parts')


@dataclass(frozen=True)
class Question:
    """
    One question of a decision tree.

    Attributes
    ----------
    answers : tuple of str
    parent : tuple of str or None
        (question, answer) that leads to it; None where everybody is asked.

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> question = get_model().manifest.questions['bar']
    >>> question.answers, question.parent
    (('yes', 'no'), ('disk-edge-on', 'no'))
    """

    answers: tuple
    parent: tuple | None = None


@dataclass(frozen=True)
class PredictionSets:
    """
    How sets of answers were calibrated.

    Attributes
    ----------
    coverages : tuple of float
        In ascending order.
    thresholds : mapping of str to tuple of float
        By question, a threshold a coverage.

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> sets = get_model().manifest.prediction_sets
    >>> 0.9 in sets.coverages, len(sets.thresholds['bar']) == len(sets.coverages)
    (True, True)
    """

    coverages: tuple = ()
    thresholds: Mapping = field(default_factory=dict)


@dataclass(frozen=True)
class QuantityTable:
    """
    Quantities that a model was taught besides votes.

    Attributes
    ----------
    names : tuple of str
    units : mapping of str to str
        Of those that have one.
    radius : str or None
        Unit of the petroR90 that the graph takes besides the latents, 'arcsec' or
        'pix'; None where it takes none.

    Examples
    --------
    >>> from galvae_affiliated.models import QuantityTable
    >>> table = QuantityTable(names=('mass',), units={'mass': 'solMass'}, radius='arcsec')
    >>> table.units['mass']
    'solMass'
    """

    names: tuple
    units: Mapping
    radius: str | None


@dataclass(frozen=True)
class DensityTable:
    """
    What the density of the latents goes with; see `~galvae_affiliated.models.LatentDensity`.

    Attributes
    ----------
    n_galaxies : int
        That it was fitted to.
    questions : mapping of str to tuple of str
        Question to its answers, whose fractions were known.
    quantities : tuple of str

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> table = get_model().manifest.density
    >>> table.n_galaxies > 1000, table.questions['bar']
    (True, ('yes', 'no'))
    """

    n_galaxies: int
    questions: Mapping
    quantities: tuple


@dataclass(frozen=True)
class AdapterTable:
    """
    For which survey the latents are mapped; see `~galvae_affiliated.models.LatentMap`.

    Attributes
    ----------
    survey : str
    method : str

    Examples
    --------
    >>> from galvae_affiliated.models import AdapterTable
    >>> AdapterTable(survey='HSC', method='coral').survey
    'HSC'
    """

    survey: str
    method: str


@dataclass(frozen=True)
class ApplicabilityTable:
    """
    How rows that are unlike the training are told.

    Attributes
    ----------
    statistics : tuple of str
        Of the image, that are looked at besides the latents.
    flag_below : float
        p-value below which ``UNLIKE_TRAINING`` is set.
    reason_below : float
        p-value of a statistic below which it is given as a reason.

    Examples
    --------
    >>> from galvae_affiliated.models import ApplicabilityTable
    >>> table = ApplicabilityTable(('asymmetry',), flag_below=0.001, reason_below=0.01)
    >>> table.statistics
    ('asymmetry',)
    """

    statistics: tuple
    flag_below: float
    reason_below: float


@dataclass(frozen=True)
class Manifest:
    """
    The entries of a manifest that the package reads.

    Attributes
    ----------
    name, version, license, description : str
    frame : `~galvae_affiliated.cutouts.ModelFrame`
        How images enter.
    n_latents, n_pose : int
    same_as : tuple of str
        Ids of models that give the same latents.
    questions : mapping of str to `Question`
        In the order of the columns of the heads.
    prediction_sets : `PredictionSets`
    n_volunteers : int
        How many votes the heads take a galaxy to have; their answers scatter above one.
    quantities : `QuantityTable` or None
    noise_shape : tuple of int or None
        Of the random numbers of one image that a sharp decoder takes; None without one.
    density : `DensityTable` or None
    adapter : `AdapterTable` or None
    applicability : `ApplicabilityTable` or None
    floor, slope : tuple of 3 float
        Variance ``floor + slope * decoded`` of the residuals of each channel.
    chi2_99 : float
        Reduced chi-square that 99 per cent of the training images are below.
    tolerance : mapping of str to float
        By device or precision, the largest difference from the self-test.
    parts : mapping of str to str
        SHA-256 of each part.
    content : bytes
        All entries, known or not, as JSON: as they are hashed and written.

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> manifest = get_model().manifest
    >>> manifest.license, manifest.n_latents, list(manifest.questions)[:2]
    ('BSD-3-Clause', 40, ['smooth-or-featured', 'disk-edge-on'])
    """

    name: str
    version: str
    license: str
    description: str
    frame: ModelFrame
    n_latents: int
    n_pose: int
    same_as: tuple
    questions: Mapping
    prediction_sets: PredictionSets
    n_volunteers: int
    quantities: QuantityTable | None
    noise_shape: tuple | None
    density: DensityTable | None
    adapter: AdapterTable | None
    applicability: ApplicabilityTable | None
    floor: tuple
    slope: tuple
    chi2_99: float
    tolerance: Mapping
    parts: Mapping
    content: bytes = field(repr=False)

    @classmethod
    def parse(cls, entries):
        """
        Read the entries of a manifest.

        Parameters
        ----------
        entries : dict

        Returns
        -------
        manifest : `Manifest`

        Raises
        ------
        BundleError
            If the schema is another, or an entry is missing or of the wrong kind.
        """
        _check_schema(entries)
        check_entries(entries)
        return cls(**_parsed(entries), content=canonical_json(entries))

    @property
    def raw(self):
        """dict : A copy of all entries, for cards and for the manifest of another model."""
        return json.loads(self.content)

    def get(self, key, default=None):
        """An entry of `raw`."""
        return self.raw.get(key, default)


def canonical_json(entries):
    """The entries as they are hashed and written; their order is that of the heads' columns."""
    return json.dumps(entries, indent=1).encode()


def _check_schema(entries):
    """Refuse what this version cannot read, naming the reason."""
    if not isinstance(entries, dict) or 'schema_version' not in entries:
        raise BundleError('the manifest states no schema version')
    if entries['schema_version'] != SCHEMA_VERSION:
        stated = str(entries['schema_version'])[:60]
        raise BundleError(f'the bundle has schema version {stated}; this '
                          f'version of galvae_affiliated reads {SCHEMA_VERSION}: upgrade the '
                          'older of the two')
    missing = [key for key in REQUIRED if key not in entries]
    if missing:
        raise BundleError(f'the bundle lacks {", ".join(missing)}')


def _parsed(entries):
    """Arguments of `Manifest`."""
    residuals = entries['reconstruction']
    return {
        'name': str(entries['name']),
        'version': str(entries['version']),
        'license': entries.get('license', 'not stated'),
        'description': entries.get('description', ''),
        'frame': ModelFrame.from_manifest(entries['name'], entries['input'],
                                          entries['renderings']),
        'n_latents': int(entries['latents']['n_latents']),
        'n_pose': int(entries['latents']['n_pose']),
        'same_as': tuple(entries['latents'].get('same_as', ())),
        'questions': _questions(entries['questions']),
        'prediction_sets': _prediction_sets(entries.get('prediction_sets')),
        'n_volunteers': int(entries.get('heads', {}).get('n_volunteers', 0)),
        'quantities': _quantities(entries.get('quantities')),
        'noise_shape': _noise_shape(entries.get('generator')),
        'density': _density(entries.get('density')),
        'adapter': _adapter(entries.get('adapter')),
        'applicability': _applicability(entries.get('applicability')),
        'floor': tuple(map(float, residuals['floor'])),
        'slope': tuple(map(float, residuals['slope'])),
        'chi2_99': float(residuals['chi2_99']),
        'tolerance': MappingProxyType(dict(entries.get('self_test_tolerance', {}))),
        'parts': MappingProxyType(dict(entries['parts'])),
    }


def _questions(entries):
    parsed = {}
    for name, entry in entries.items():
        parent = entry.get('parent')
        parsed[name] = Question(tuple(entry['answers']),
                                None if parent is None else tuple(parent))
    return MappingProxyType(parsed)


def _prediction_sets(entries):
    if entries is None:
        return PredictionSets()
    thresholds = {question: tuple(entry['thresholds'])
                  for question, entry in entries['questions'].items()}
    return PredictionSets(tuple(entries['coverages']), MappingProxyType(thresholds))


def _quantities(entries):
    if entries is None:
        return None
    return QuantityTable(tuple(entries['names']), MappingProxyType(dict(entries['units'])),
                         entries['radius'])


def _noise_shape(entries):
    return None if entries is None else (entries['n_noise'], entries['side'], entries['side'])


def _density(entries):
    if entries is None:
        return None
    questions = {name: tuple(answers) for name, answers in entries['questions'].items()}
    return DensityTable(int(entries['n_galaxies']), MappingProxyType(questions),
                        tuple(entries['quantities']))


def _adapter(entries):
    return None if entries is None else AdapterTable(entries['survey'], entries['method'])


def _applicability(entries):
    if entries is None:
        return None
    return ApplicabilityTable(tuple(entries['statistics']), float(entries['flag_below']),
                              float(entries['reason_below']))
