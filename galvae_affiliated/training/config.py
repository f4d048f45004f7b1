# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The one place where a training run's numbers have their defaults, and the TOML file that changes them."""

import dataclasses
import difflib
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ['PRESETS', 'SECTIONS', 'TrainingConfig', 'read_config']

NETWORKS = ('residual', 'light', 'xu2023')
# options that name a file
PATHS = ('source', 'labels', 'teacher', 'initial', 'distil_from')
HEAD_KINDS = ('auto', 'network', 'dirichlet', 'logistic', 'forest')
SECTIONS = ('data', 'model', 'loss', 'augmentation', 'training')
# What each kind of model changes; a file changes more. See the documentation for what they are for.
SINGLE_VIEW = {'views': 1, 'n_pose': 0, 'pose_beta': 0.0, 'votes_weight': 0.0, 'class_weight': 0.0,
               'contrast_weight': 0.0}
PRESETS = {
    'guided': {},
    'ae': {**SINGLE_VIEW, 'sample_latents': False, 'beta': 0.0, 'free_bits': 0.0},
    'vae': {**SINGLE_VIEW, 'beta': 1.0, 'free_bits': 0.0},
    'beta-vae': {**SINGLE_VIEW},
    'light': {'network': 'light', 'decoder_widths': (160, 96, 48), 'learning_rate': 4e-3},
    'xu2023': {**SINGLE_VIEW, 'network': 'xu2023', 'beta': 1.0, 'free_bits': 0.0, 'dropout': 0.0},
}
# what a user of TOML calls them
KINDS = {str: 'text', bool: 'true or false', int: 'a whole number', float: 'a number', dict: 'a table',
         tuple: 'a list of whole numbers'}


def option(section, default):
    """A field of `TrainingConfig` that stands in ``section`` of a TOML file."""
    return field(default=default, metadata={'section': section})


@dataclass(frozen=True)
class TrainingConfig:
    """
    Everything that decides how a model is trained.

    Lengths in the image plane are in pixels of the model's grid.

    Attributes
    ----------
    source : str
        Where the galaxies are: a Parquet file, or a folder of FITS cutouts.
    labels : str
        A table with the labels of the galaxies in ``source``, joined by
        ``id_column``, if they are not in ``source`` itself.
    id_column : str
        Column of ``labels`` with the identifiers; a FITS cutout's is its name.
    questions : str or dict
        'none', 'gz2' for the tree of Galaxy Zoo 2, or question to
        ``{'answers': [...], 'parent': [question, answer]}``.
    suffix : str
        What the names of the vote columns carry after the question.
    class_column : str
        A column of coarse class names, the weaker guide.
    split_column, train_split, validation_split : str
        Column and its value for the galaxies to learn from and, if it has
        one, for those held out.
    validation_share : float
        Share of the former held out where there is no ``validation_split``,
        by a hash of the identifier.
    random_sample_column, random_sample_factor : str, int
        A column of booleans: galaxies that were not selected by their votes.
        They are drawn so many times as often as the others with votes.
    teacher, teacher_weight : str, float
        A table of another network's vote fractions for galaxies that have no
        votes, and their weight relative to votes.
    max_unreadable : float
        Share of the images that may be unreadable without an error.
    bands : str
        Bands of FITS cutouts in their order, such as 'g,r,z'.
    unit, zero_point, pixel_scale, already_scaled, rendering : optional
        See `~galvae_affiliated.encode_catalog` and ``galvae encode``.
    field_of_view : float
        Side of the model's frame in petroR90.
    exposure : float
        Brightness of the composites that flux is rendered to, relative to SDSS's.
    preset : str
        The kind of model: one of 'guided', 'beta-vae', 'vae', 'ae', 'light', 'xu2023'.
    network : str
        'residual', 'light' for separable convolutions, or 'xu2023' for the layers of Xu et al. (2023).
    n_latents, n_pose : int
        Length of the morphology vector and of the pose vector. Pose is what a
        rotation, flip, shift or zoom of the image changes; two views of a
        galaxy share their latents and differ in pose.
    views : int
        2: a second view of each galaxy is decoded from the latents of the
        first. 1: each is decoded from its own.
    sample_latents : bool
        False makes a plain auto-encoder.
    grid : int
        Side of the square image that the encoder reads.
    widths : tuple of int
        Channels of the encoder's stages, from the finest to the coarsest.
    depths : tuple of int
        Blocks of the light encoder's stages.
    decoder_widths : tuple of int
        Channels of the decoder's stages, from the coarsest to the finest.
    dropout : float
        Dropout before the latents.
    beta, pose_beta : float
        Weight of the Kullback-Leibler divergence of latents and pose. 1 is the
        evidence lower bound of a VAE; more is a beta-VAE.
    free_bits : float
        Nats a dimension that cost nothing.
    kl_warmup_share : float
        Share of the steps over which the divergence's weight grows from zero.
    noise_aware : bool
        Weigh an image's residuals by its own noise, so that a deep image
        counts for more than a shallow one.
    reconstruction_weight, votes_weight, class_weight, contrast_weight : float
        Weights of the residuals, the vote likelihood, the coarse class, and
        of telling a galaxy's second view from the other galaxies of the batch.
    distil_weight : float
        Weight of the divergence from the latents that are learnt from.
    max_shift, max_zoom, color_jitter, sky_jitter, noise : float
        Strength of the augmentation: pixels, natural logarithm of the factor,
        the same for the colours, and additive levels of the [0, 1] composite.
    psf : float
        Widest Gaussian, standard deviation in pixels, that blurs a view.
    blurred_share, cut_share : float
        Share of the steps whose views are blurred, and of the views that lose
        what is past a straight edge.
    batch_size : int
        Galaxies a step.
    labelled_share : float
        Share of a batch drawn from the galaxies with votes.
    steps : int
        Optimiser steps in which everything is learnt.
    settling_steps : int
        Steps after those, in which the decoder alone goes on learning from
        latents without noise.
    n_heads, head_steps : int
        How many vote heads are fitted on the latents once these are learnt,
        each from other weights, and the steps of each; the model gives their
        mean. With no such head the one that guided the latents is kept.
    head : {'network', 'dirichlet', 'logistic', 'forest', 'auto'}
        Their kind: a small network, one with a Dirichlet-multinomial
        likelihood, a logistic regression, a random forest, or the best of
        the first three by a nested cross-validation.
    n_volunteers : int
        How many people a galaxy is shown to: the votes of a question that all
        were asked. It tells how much of the scatter of fractions is chance.
    learning_rate, weight_decay, warmup_share, ema_decay : float
        AdamW with a linear warm-up and a cosine decay; the weights that are
        exported are an exponential moving average.
    random_state : int
        Seeds the weights, the order of the galaxies and every augmentation.
    validate_every, checkpoint_every : int
        Steps between two looks at the held-out galaxies, and two checkpoints.
    accelerator, devices, precision, strategy : str
        As `lightning.Trainer` takes them.
    initial : str
        A checkpoint whose weights the run starts from.
    distil_from : str
        A checkpoint whose network, of the same frame and latents, is learnt
        from: a smaller network learns the latents of a larger one.
    half_weights : bool
        Export weights in half precision, computed with in single precision.
    float16 : bool
        Export graphs too that compute in half precision, for GPUs.
    """

    source: str = option('data', '')
    labels: str = option('data', '')
    id_column: str = option('data', 'id_str')
    questions: str | dict = option('data', 'none')
    suffix: str = option('data', '')
    class_column: str = option('data', '')
    split_column: str = option('data', '')
    train_split: str = option('data', 'train')
    validation_split: str = option('data', '')
    validation_share: float = option('data', 0.08)
    random_sample_column: str = option('data', '')
    random_sample_factor: int = option('data', 2)
    teacher: str = option('data', '')
    teacher_weight: float = option('data', 0.5)
    max_unreadable: float = option('data', 0.01)
    bands: str = option('data', '')
    unit: str = option('data', '')
    zero_point: float | None = option('data', None)
    pixel_scale: float | None = option('data', None)
    already_scaled: bool = option('data', False)
    rendering: str = option('data', '')
    field_of_view: float = option('data', 5.12)
    exposure: float = option('data', 1.7)

    preset: str = option('model', 'guided')
    network: str = option('model', 'residual')
    n_latents: int = option('model', 40)
    n_pose: int = option('model', 8)
    views: int = option('model', 2)
    sample_latents: bool = option('model', True)
    grid: int = option('model', 128)
    widths: tuple[int, ...] = option('model', (48, 96, 192))
    depths: tuple[int, ...] = option('model', (1, 3, 3))
    decoder_widths: tuple[int, ...] = option('model', (160, 96, 64))
    dropout: float = option('model', 0.1)

    beta: float = option('loss', 35.0)
    pose_beta: float = option('loss', 35.0)
    free_bits: float = option('loss', 0.05)
    kl_warmup_share: float = option('loss', 0.05)
    noise_aware: bool = option('loss', False)
    reconstruction_weight: float = option('loss', 1.0)
    votes_weight: float = option('loss', 0.5)
    class_weight: float = option('loss', 0.2)
    contrast_weight: float = option('loss', 0.1)
    distil_weight: float = option('loss', 1.0)

    max_shift: float = option('augmentation', 4.0)
    max_zoom: float = option('augmentation', 0.15)
    color_jitter: float = option('augmentation', 0.08)
    sky_jitter: float = option('augmentation', 0.02)
    noise: float = option('augmentation', 0.02)
    psf: float = option('augmentation', 1.2)
    blurred_share: float = option('augmentation', 0.3)
    cut_share: float = option('augmentation', 0.1)

    batch_size: int = option('training', 64)
    labelled_share: float = option('training', 0.5)
    steps: int = option('training', 8000)
    settling_steps: int = option('training', 0)
    n_heads: int = option('training', 8)
    head_steps: int = option('training', 1500)
    head: str = option('training', 'network')
    n_volunteers: int = option('training', 40)
    learning_rate: float = option('training', 2e-3)
    weight_decay: float = option('training', 0.02)
    warmup_share: float = option('training', 0.04)
    ema_decay: float = option('training', 0.998)
    random_state: int = option('training', 20230)
    validate_every: int = option('training', 500)
    checkpoint_every: int = option('training', 500)
    accelerator: str = option('training', 'auto')
    devices: int = option('training', 1)
    precision: str = option('training', 'bf16-mixed')
    strategy: str = option('training', 'auto')
    initial: str = option('training', '')
    distil_from: str = option('training', '')
    half_weights: bool = option('training', True)
    float16: bool = option('training', True)

    def __post_init__(self):
        if self.preset not in PRESETS:
            raise ValueError(f'there is no preset {self.preset!r}; there are {", ".join(PRESETS)}')
        if self.network not in NETWORKS:
            raise ValueError(f'there is no network {self.network!r}; there are {", ".join(NETWORKS)}')
        if self.head not in HEAD_KINDS:
            raise ValueError(f'there is no head {self.head!r}; there are {", ".join(HEAD_KINDS)}')
        if self.views not in (1, 2):
            raise ValueError(f'views is {self.views}; expected 1 or 2')
        for name in ('widths', 'depths', 'decoder_widths'):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise ValueError(f'{name} is {list(getattr(self, name))}; expected one positive number a stage')
        if self.network == 'light' and len(self.depths) != len(self.widths):
            raise ValueError(f'depths is {list(self.depths)} and widths {list(self.widths)}; '
                             'expected a depth a width')
        coarsest = 2 ** (1 + max(len(self.widths), len(self.decoder_widths)))
        if self.grid < coarsest or self.grid % coarsest:
            raise ValueError(f'a grid of {self.grid} pixels cannot be halved as often as the stages ask; '
                             f'expected a multiple of {coarsest}')
        if self.network == 'xu2023' and 256 % self.grid:
            raise ValueError(f'the network xu2023 reads 256 pixels a side; a grid of {self.grid} does not divide it')
        n_values, n_code = 3 * self.grid ** 2, self.n_latents + self.n_pose
        if not 1 <= self.n_latents or not 0 <= self.n_pose or n_code > n_values:
            raise ValueError(f'{self.n_latents} latents and {self.n_pose} of pose for the {n_values} values of an '
                             f'image; expected at least one latent, and fewer in all than there are values')
        for name in ('validation_share', 'labelled_share', 'warmup_share', 'kl_warmup_share', 'max_unreadable',
                     'dropout', 'ema_decay', 'blurred_share', 'cut_share'):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f'{name} is {getattr(self, name)}; expected a number from 0 to 1')
        for name in ('steps', 'batch_size', 'learning_rate', 'field_of_view', 'exposure', 'validate_every',
                     'checkpoint_every', 'devices', 'random_sample_factor'):
            if not getattr(self, name) > 0:
                raise ValueError(f'{name} is {getattr(self, name)}; expected a positive number')

    @property
    def is_guided(self):
        """bool: votes pull on the latents."""
        return self.votes_weight > 0

    @classmethod
    def of_preset(cls, preset, **options):
        """
        A preset with changes.

        Parameters
        ----------
        preset : str
        **options
            Any attribute.

        Returns
        -------
        config : `TrainingConfig`
        """
        if preset not in PRESETS:
            raise ValueError(f'there is no preset {preset!r}; there are {", ".join(PRESETS)}')
        return cls(**{**PRESETS[preset], **options, 'preset': preset})


def read_config(path, **overrides):
    """
    Read a training run's TOML file.

    The file has the sections ``data``, ``model``, ``loss``, ``augmentation``
    and ``training``. Paths in it are relative to the file.

    Parameters
    ----------
    path : str or path
    **overrides
        Attributes that go before the file's.

    Returns
    -------
    config : `TrainingConfig`

    Raises
    ------
    ValueError
        If the file is not TOML, has an unknown section or key, or a value of
        the wrong kind; the message names it.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise FileNotFoundError(f'{path}: there is no such file') from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise ValueError(f'{path}: this is not a TOML file ({error})') from None
    fields = {f.name: f for f in dataclasses.fields(TrainingConfig)}
    options = {}
    for section, values in content.items():
        if section not in SECTIONS or not isinstance(values, dict):
            raise ValueError(f'{path}: unknown section {section!r}; expected {", ".join(SECTIONS)}')
        for key, value in values.items():
            known = [f.name for f in fields.values() if f.metadata['section'] == section]
            if key not in known:
                raise ValueError(f'{path}: {unknown_key(key, section, known)}')
            options[key] = checked(path, section, fields[key], value)
    for key in PATHS:
        if options.get(key):
            options[key] = str(path.parent / options[key])
    options |= overrides
    try:
        return TrainingConfig.of_preset(options.pop('preset', 'guided'), **options)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None


def unknown_key(key, section, known):
    near = difflib.get_close_matches(key, known, n=1)
    hint = f'did you mean {near[0]!r}?' if near else f'there are {", ".join(known)}'
    return f'unknown key {key!r} in section {section!r}; {hint}'


def checked(path, section, field_, value):
    """The value as the field's type; TOML has no tuples, and 1 is a float where one is expected."""
    kinds = typing.get_args(field_.type) if isinstance(field_.type, types.UnionType) else (field_.type,)
    for kind in kinds:
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if typing.get_origin(kind) is tuple and isinstance(value, list):
            if all(isinstance(x, int) for x in value):
                return tuple(value)
        elif isinstance(kind, type) and isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
    names = ' or '.join(KINDS.get(typing.get_origin(kind) or kind) for kind in kinds if kind is not types.NoneType)
    raise ValueError(f'{path}: {section}.{field_.name} is {value!r}; expected {names}')
