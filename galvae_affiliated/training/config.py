# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The one place where a run's numbers have their defaults, and the file that changes them."""

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, model_validator

__all__ = ['PRESETS', 'AugmentationConfig', 'DataConfig', 'FitConfig', 'LossConfig', 'ModelConfig',
           'TrainingConfig', 'read_config']

# What each kind of model changes; a file changes more. See the documentation for their purposes.
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
MAX_BYTES = 1 << 20  # of a configuration
# what a user of TOML calls what was expected, by the type of pydantic's error
EXPECTED = {
    'string_type': 'text',
    'bool_type': 'true or false',
    'int_type': 'a whole number',
    'int_from_float': 'a whole number',
    'float_type': 'a number',
    'finite_number': 'a finite number',
    'dict_type': 'a table',
    'model_type': 'a table',
    'greater_than': 'a positive number',
}
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(gt=0)]
# TOML has lists and no tuples
Widths = Annotated[tuple[Count, ...], Strict(False), Field(min_length=1)]
OtherSets = Annotated[tuple[str | dict, ...], Strict(False)]


def _option(default, description, *, may_change=False, is_path=False):
    """
    A field of a section.

    ``may_change`` marks what may differ between two parts of a run that was killed, ``is_path``
    the name of a file.
    """
    marks = {'may_change': may_change or is_path, 'is_path': is_path}
    return Field(default, description=description, json_schema_extra=marks)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra='forbid', strict=True, allow_inf_nan=False)

    @classmethod
    def marked(cls, mark):
        """Names of the fields that have a mark: 'may_change' or 'is_path'."""
        return [name for name, field in cls.model_fields.items() if field.json_schema_extra[mark]]


class DataConfig(_Section):
    """Section ``data`` of a `TrainingConfig`: images, labels and splits."""

    source: str = _option(
        '', 'Where the galaxies are: a Parquet file, or a folder of FITS cutouts.', is_path=True)
    labels: str = _option(
        '', 'A table with the labels of the galaxies in ``source``, joined by ``id_column``, if '
        'they are not in ``source`` itself.', is_path=True)
    id_column: str = _option(
        'id_str', "Column of ``labels`` with the identifiers; a FITS cutout's is its name.")
    questions: str | dict = _option(
        'none', "``'none'``, ``'gz2'`` for the tree of Galaxy Zoo 2, or question to "
        "``{'answers': [...], 'parent': [question, answer]}``.")
    suffix: str = _option('', 'What the names of the vote columns carry after the question.')
    class_column: str = _option('', 'A column of coarse class names, the weaker guide.')
    split_column: str = _option('', 'Column that says which split a galaxy belongs to.')
    train_split: str = _option('train', 'Its value for the galaxies to learn from.')
    validation_split: str = _option('', 'Its value for those held out, if it has one.')
    validation_share: Share = _option(
        0.08, 'Share of the galaxies to learn from that is held out where there is no '
        '``validation_split``, by a hash of the identifier.')
    random_sample_column: str = _option(
        '', 'A column of booleans: galaxies that were not selected by their votes.')
    random_sample_factor: Count = _option(
        2, 'How many times as often these are drawn as the others with votes.')
    teacher: str = _option(
        '', "A table of another network's vote fractions for galaxies that have no votes.",
        is_path=True)
    teacher_weight: Weight = _option(0.5, 'Weight of these relative to votes.')
    other_surveys: OtherSets = _option(
        (), 'Sets of galaxies of other surveys, without labels, for a run with ``anchor``: each '
        'a path, or a table with a ``source`` and other options of this section that say how its '
        'images enter.')
    max_unreadable: Share = _option(
        0.01, 'Share of the images that may be unreadable without an error.')
    bands: str = _option('', "Bands of FITS cutouts in their order, such as ``'g,r,z'``.")
    unit: str = _option('', 'Unit of FITS cutouts, where their headers do not say it.')
    zero_point: float | None = _option(None, 'AB zero point of FITS cutouts, in place of a unit.')
    pixel_scale: Positive | None = _option(
        None, 'Arcseconds a pixel, where the images do not say it.')
    already_scaled: bool = _option(False, "The cutouts are at the model's scale already.")
    rendering: str = _option(
        '', 'The rendering of all cutouts, in place of one that is recognised; see '
        '``galvae encode``.')
    field_of_view: Positive = _option(5.12, "Side of the model's frame in petroR90.")
    exposure: Positive = _option(
        1.7, "Brightness of the composites that flux is rendered to, relative to SDSS's.")


class ModelConfig(_Section):
    """Section ``model`` of a `TrainingConfig`: what the networks look like."""

    preset: Literal[*PRESETS] = _option('guided', 'The kind of model, which sets other defaults.')
    network: Literal['residual', 'light', 'xu2023'] = _option(
        'residual', "``'light'`` has separable convolutions, ``'xu2023'`` the layers of Xu et al. "
        '(2023).')
    n_latents: Count = _option(40, 'Length of the morphology vector.')
    n_pose: Annotated[int, Field(ge=0)] = _option(
        8, 'Length of the pose vector. Pose is what a rotation, flip, shift or zoom of the image '
        'changes; two views of a galaxy share their latents and differ in pose.')
    views: Literal[1, 2] = _option(
        2, '2: a second view of each galaxy is decoded from the latents of the first. 1: each is '
        'decoded from its own.')
    sample_latents: bool = _option(True, 'False makes a plain auto-encoder.')
    grid: Count = _option(128, 'Side of the square image that the encoder reads, in pixels.')
    widths: Widths = _option(
        (48, 96, 192), "Channels of the encoder's stages, from the finest to the coarsest.")
    depths: Widths = _option((1, 3, 3), "Blocks of the light encoder's stages.")
    decoder_widths: Widths = _option(
        (160, 96, 64), "Channels of the decoder's stages, from the coarsest to the finest.")
    modulated: bool = _option(
        False, "A light encoder's blocks have gains that follow the look of the image, so that one "
        'network reads several surveys.')
    n_noise: Count = _option(
        8, 'Random numbers that a sharp decoder has for each 4 x 4 pixels.')
    flow_steps: Count = _option(
        1, "With ``sharpen_by = 'flow'``: in how many steps noise becomes details.")
    dropout: Share = _option(0.1, 'Dropout before the latents.')

    @model_validator(mode='after')
    def _check_shapes(self):
        if self.network == 'light' and len(self.depths) != len(self.widths):
            raise ValueError(f'depths is {list(self.depths)} and widths {list(self.widths)}; '
                             'expected a depth a width')
        coarsest = 2 ** (1 + max(len(self.widths), len(self.decoder_widths)))
        if self.grid % coarsest:
            raise ValueError(f'a grid of {self.grid} pixels cannot be halved as often as the '
                             f'stages ask; expected a multiple of {coarsest}')
        if self.network == 'xu2023' and 256 % self.grid:
            raise ValueError('the network xu2023 reads 256 pixels a side; '
                             f'a grid of {self.grid} does not divide it')
        n_values = 3 * self.grid ** 2
        if self.n_latents + self.n_pose > n_values:
            raise ValueError(f'{self.n_latents} latents and {self.n_pose} of pose for the '
                             f'{n_values} values of an image; expected fewer in all')
        return self


class LossConfig(_Section):
    """Section ``loss`` of a `TrainingConfig`: what is minimised."""

    beta: Weight = _option(
        35.0, 'Weight of the Kullback-Leibler divergence of the latents. 1 is the evidence lower '
        'bound of a VAE; more is a beta-VAE.')
    pose_beta: Weight = _option(35.0, 'The same of the pose.')
    free_bits: Weight = _option(0.05, 'Nats a dimension that cost nothing.')
    kl_warmup_share: Share = _option(
        0.05, "Share of the steps over which the divergence's weight grows from zero.")
    noise_aware: bool = _option(
        False, "Weigh an image's residuals by its own noise, so that a deep image counts for more "
        'than a shallow one.')
    reconstruction_weight: Weight = _option(1.0, 'Weight of the residuals.')
    votes_weight: Weight = _option(0.5, 'Weight of the likelihood of the votes.')
    class_weight: Weight = _option(0.2, 'Weight of the coarse class.')
    contrast_weight: Weight = _option(
        0.1, "Weight of telling a galaxy's second view from the other galaxies of the batch.")
    distil_weight: Weight = _option(
        1.0, 'Weight of the divergence from the latents that are learnt from.')
    view_distil_weight: Weight = _option(
        0.25, 'With ``anchor``: the same of the view as of another survey.')
    identity_weight: Weight = _option(
        0.1, "With ``anchor``: weight of telling a galaxy's degraded view from the other galaxies "
        'of the batch, by distance of the whitened latents.')
    alignment_weight: Weight = _option(
        0.1, 'With ``anchor``: weight of the maximum mean discrepancy between the latents of the '
        'surveys.')
    critic_weight: Weight = _option(
        1.5, "With ``sharpen``: weight of the critic's opinion, relative to that at which its "
        'gradient is as large as that of the terms that follow.')
    light_weight: Weight = _option(10.0, 'The same: of the light in blocks of 16 x 16 pixels.')
    place_weight: Weight = _option(
        1.0, 'The same: of the square of what is misplaced in blocks of 4 x 4 pixels of the '
        'galaxy.')
    feature_weight: Weight = _option(1.0, "The same: of the critic's features.")
    perceived_weight: Weight = _option(
        0.5, "The same: of what the encoder's last stage sees in the galaxy that was encoded.")
    code_weight: Weight = _option(0.5, 'The same: of the latents and pose of what is drawn.')
    texture_weight: Weight = _option(
        1.0, 'The same: of the power in bands of frequency, and of its scatter from picture to '
        'picture.')
    penalty: Weight = _option(0.1, "The same: of the slopes of the critic's scores.")


class AugmentationConfig(_Section):
    """
    Section ``augmentation`` of a `TrainingConfig`: how views of a galaxy differ.

    Lengths are in pixels of the model's grid.
    """

    max_shift: Weight = _option(4.0, 'Largest shift in pixels.')
    max_zoom: Weight = _option(0.15, 'Natural logarithm of the largest zoom.')
    color_jitter: Weight = _option(0.08, 'The same of the factors of brightness and colour.')
    sky_jitter: Weight = _option(0.02, 'Level that is added to a composite in [0, 1].')
    noise: Weight = _option(0.02, 'Largest noise of the same.')
    psf: Weight = _option(
        1.2, 'Widest Gaussian, standard deviation in pixels, that blurs a view.')
    blurred_share: Share = _option(0.3, 'Share of the steps whose views are blurred.')
    cut_share: Share = _option(0.1, 'Share of the views that lose what is past a straight edge.')
    survey_zoom: Weight = _option(
        0.3, "As ``max_zoom``, of the views as another survey's. The following are theirs, too.")
    survey_gain: Weight = _option(0.7, 'Natural logarithm of the largest factor of brightness.')
    survey_contrast: Weight = _option(
        0.3, 'The same of the power to which a composite is raised, as other stretches do.')
    survey_psf: Weight = _option(
        8.0, 'Widest Gaussian, standard deviation in pixels; petroR90 is the side of the grid over '
        'the field of view.')
    survey_blurred_share: Share = _option(0.5, 'Share of the views that are blurred.')
    survey_noise: Weight = _option(0.1, 'Largest noise of a composite in [0, 1].')
    survey_mixing: Weight = _option(
        0.12, 'Standard deviation of the shares of other channels in a channel: other filters.')
    grey_share: Share = _option(0.35, 'Share of the views in one band.')
    two_band_share: Share = _option(0.1, 'Share of the views in two.')


class FitConfig(_Section):
    """Section ``training`` of a `TrainingConfig`: steps, optimiser, heads and export."""

    batch_size: Count = _option(64, 'Galaxies a step.')
    labelled_share: Share = _option(
        0.5, 'Share of a batch drawn from the galaxies with votes.')
    steps: Count = _option(8000, 'Optimiser steps in which everything is learnt.')
    settling_steps: Annotated[int, Field(ge=0)] = _option(
        0, 'Steps after those, in which the decoder alone goes on learning from latents without '
        'noise.')
    n_heads: Annotated[int, Field(ge=0)] = _option(
        8, 'How many vote heads are fitted on the latents once these are learnt, each from other '
        'weights; the model gives their mean. With none the head that guided the latents is kept.',
        may_change=True)
    head_steps: Count = _option(1500, 'Steps of each.', may_change=True)
    head: Literal['auto', 'network', 'dirichlet', 'logistic', 'forest'] = _option(
        'network', 'Their kind: a small network, one with a Dirichlet-multinomial likelihood, a '
        'logistic regression, a random forest, or the best of the first three by a nested '
        'cross-validation.', may_change=True)
    n_volunteers: Annotated[int, Field(ge=0)] = _option(
        40, 'How many people a galaxy is shown to: the votes of a question that all were asked. '
        'It sets how much of the scatter of fractions is chance.', may_change=True)
    learning_rate: Positive = _option(2e-3, 'Highest learning rate of AdamW.')
    weight_decay: Weight = _option(0.02, 'Its weight decay.')
    warmup_share: Share = _option(
        0.04, 'Share of the steps of the linear warm-up; after it the rate decays as a cosine.')
    ema_decay: Share = _option(
        0.998, 'Decay a step of the moving average of the weights, which is what is exported.')
    random_state: int = _option(
        20230, 'Seeds the weights, the order of the galaxies and every augmentation.')
    validate_every: Count = _option(
        500, 'Steps between two looks at the held-out galaxies.', may_change=True)
    checkpoint_every: Count = _option(500, 'Steps between two checkpoints.', may_change=True)
    accelerator: str = _option('auto', 'As `lightning.Trainer` takes it.', may_change=True)
    devices: Count = _option(1, 'The same.', may_change=True)
    precision: str = _option('bf16-mixed', 'The same.')
    strategy: str = _option('auto', 'The same.', may_change=True)
    initial: str = _option('', 'A checkpoint whose weights the run starts from.', is_path=True)
    distil_from: str = _option(
        '', 'A checkpoint whose network, of the same frame and latents, is learnt from: a smaller '
        'network learns the latents of a larger one.', is_path=True)
    anchor: str = _option(
        '', 'A bundle, by its name or path, that the run starts from: its latents are kept and '
        'made to hold under the views that other surveys have.')
    sharpen: str = _option(
        '', 'A bundle, by its name or path, that shall have a decoder which draws what latents do '
        'not hold; encoder and heads stay.')
    sharpen_by: Literal['critic', 'flow'] = _option(
        'critic', "How it is taught: ``'critic'`` against a network that tells what it draws from "
        "data, ``'flow'`` the way from noise to details.")
    critic_rate: Positive = _option(2e-4, "With ``sharpen``: the critic's learning rate.")
    half_weights: bool = _option(
        True, 'Export weights in half precision, computed with in single precision.',
        may_change=True)
    float16: bool = _option(
        True, 'Export graphs too that compute in half precision, for GPUs.', may_change=True)


class TrainingConfig(BaseModel):
    """
    Everything that decides how a model is trained; it does not change once it is made.

    No name of an option stands in two sections, so that people may leave out the section, in
    `of_preset` and `replaced`.

    Attributes
    ----------
    data : `~galvae_affiliated.training.config.DataConfig`
    model : `~galvae_affiliated.training.config.ModelConfig`
    loss : `~galvae_affiliated.training.config.LossConfig`
    augmentation : `~galvae_affiliated.training.config.AugmentationConfig`
    training : `~galvae_affiliated.training.config.FitConfig`

    Raises
    ------
    ValueError
        Naming each option that is wrong, what was given and what was expected.

    Examples
    --------
    >>> from galvae_affiliated.training import TrainingConfig
    >>> config = TrainingConfig.of_preset('beta-vae', source='galaxies.parquet', n_latents=16)
    >>> config.model.n_latents, config.data.source
    (16, 'galaxies.parquet')
    """

    model_config = ConfigDict(frozen=True, extra='forbid')

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    training: FitConfig = FitConfig()

    def __init__(self, **sections):
        try:
            super().__init__(**sections)
        except ValidationError as error:
            raise ValueError('; '.join(_messages(error, sections))) from None

    @classmethod
    def of_preset(cls, preset='guided', **options):
        """
        A preset with changes.

        Parameters
        ----------
        preset : str
        **options
            Any options, by their names alone.

        Returns
        -------
        config : `TrainingConfig`
        """
        return cls(**_in_sections({**PRESETS.get(preset, {}), **options, 'preset': preset}))

    def replaced(self, **options):
        """
        A copy with changes; a preset is not applied again.

        Parameters
        ----------
        **options
            Any options, by their names alone.

        Returns
        -------
        config : `TrainingConfig`
        """
        changes = _in_sections(options)
        return type(self)(**{name: {**dict(section), **changes.get(name, {})}
                             for name, section in self})

    def options(self):
        """dict: All options by their names alone."""
        return {name: value for _, section in self for name, value in section}

    def marked(self, mark):
        """list of str: Names of the options that have a mark, 'may_change' or 'is_path'."""
        return [name for _, section in self for name in section.marked(mark)]

    @property
    def is_guided(self):
        """bool: votes pull on the latents."""
        return self.loss.votes_weight > 0


_SECTIONS = {name: field.annotation for name, field in TrainingConfig.model_fields.items()}
_SECTION_OF = {name: section for section, kind in _SECTIONS.items() for name in kind.model_fields}


def read_config(path, **overrides):
    """
    Read a training run's TOML file.

    The file has the sections ``data``, ``model``, ``loss``, ``augmentation``
    and ``training``. Paths in it are relative to the file.

    Parameters
    ----------
    path : str or path
    **overrides
        Options that go before the file's.

    Returns
    -------
    config : `TrainingConfig`

    Raises
    ------
    ValueError
        If the file is not TOML, has an unknown section or key, or a value of
        the wrong kind or out of its range; the message names them all.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from galvae_affiliated.training import read_config
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'run.toml'
    ...     _ = path.write_text('data.source = "galaxies.parquet"')
    ...     config = read_config(path, preset='beta-vae', n_latents=16)
    >>> config.model.n_latents, Path(config.data.source).name
    (16, 'galaxies.parquet')
    """
    path = Path(path)
    content = {**_read_toml(path)}
    for section, kind in _SECTIONS.items():
        values = content.get(section, {})
        if isinstance(values, dict):
            paths = [name for name in kind.marked('is_path')
                     if values.get(name) and isinstance(values[name], str)]
            content[section] = {**values, **{name: str(path.parent / values[name])
                                             for name in paths}}
    _resolve_other_surveys(content['data'], path.parent)
    anchor = content['training'].get('anchor') if isinstance(content['training'], dict) else None
    if isinstance(anchor, str) and (path.parent / anchor).is_file():  # else the name of a model
        content['training']['anchor'] = str(path.parent / anchor)
    model = content['model']
    preset = overrides.get('preset', model.get('preset') if isinstance(model, dict) else None)
    defaults = _in_sections(PRESETS.get(preset, {}) if isinstance(preset, str) else {})
    changes = _in_sections(overrides)
    for section in _SECTIONS:
        if isinstance(content[section], dict):
            content[section] = {**defaults.get(section, {}), **content[section],
                                **changes.get(section, {})}
    try:
        return TrainingConfig(**content)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None


def _resolve_other_surveys(data, folder):
    """Make paths relative to the file those of the process, where they are of the right kind."""
    others = data.get('other_surveys') if isinstance(data, dict) else None
    if isinstance(others, list):
        for i, other in enumerate(others):
            if isinstance(other, str):
                others[i] = str(folder / other)
            elif isinstance(other, dict) and isinstance(other.get('source'), str):
                others[i] = {**other, 'source': str(folder / other['source'])}


def _read_toml(path):
    if path.exists() and not path.is_file():
        raise ValueError(f'{path}: this is not a TOML file (it is no ordinary file)')
    try:
        with path.open('rb') as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f'it has more than {MAX_BYTES} bytes')
        return tomllib.loads(content.decode())
    except FileNotFoundError:
        raise FileNotFoundError(f'{path}: there is no such file') from None
    except (ValueError, RecursionError) as error:  # of which TOML's and Unicode's are kinds
        raise ValueError(f'{path}: this is not a TOML file ({error})') from None


def _in_sections(options):
    """Options by section; a name that there is not is a wrong call."""
    sections = {}
    for name, value in options.items():
        if name not in _SECTION_OF:
            raise TypeError(f'there is no option {name!r}; {_nearest(name, _SECTION_OF)}')
        sections.setdefault(_SECTION_OF[name], {})[name] = value
    return sections


def _nearest(name, known):
    near = difflib.get_close_matches(name, known, n=1)
    return f'did you mean {near[0]!r}?' if near else f'there are {", ".join(known)}'


def _messages(error, sections):
    """A line of each wrong option, from pydantic's errors, of which a list or union has several."""
    found = {}
    for one in error.errors():
        found.setdefault(tuple(one['loc'][:2]), []).append(one)
    for place, errors in found.items():
        yield _message(place, errors, sections)


def _message(place, errors, sections):
    section, name, kind = place[0], place[-1], errors[0]['type']
    if kind == 'value_error':
        return str(errors[0]['ctx']['error'])
    if len(place) == 1:
        if kind == 'extra_forbidden':
            return f'unknown section {section!r}; expected {", ".join(_SECTIONS)}'
        return f'{section} is {sections[section]!r}; expected a table'
    fields = _SECTIONS[section].model_fields
    if kind == 'extra_forbidden':
        return f'unknown key {name!r} in section {section!r}; {_nearest(name, fields)}'
    value = sections[section][name]
    if kind == 'literal_error' and isinstance(value, str):
        expected = errors[0]['ctx']['expected'].replace("'", '').replace(' or ', ', ')
        return f'there is no {name} {value!r}; there are {expected}'
    expected = dict.fromkeys(_expectation(one, fields[name]) for one in errors)
    return f'{section}.{name} is {value!r}; expected {" or ".join(expected)}'


def _expectation(error, field):
    kind, context = error['type'], error.get('ctx', {})
    if kind == 'literal_error':
        return context['expected']
    if field.default.__class__ is tuple:
        return 'a list of positive whole numbers'
    if kind in ('greater_than_equal', 'less_than_equal'):
        bounds = {key: getattr(mark, key) for mark in field.metadata for key in ('ge', 'le')
                  if hasattr(mark, key)}
        if 'le' in bounds:
            return f'a number from {bounds["ge"]:g} to {bounds["le"]:g}'
        return f'a number of at least {bounds["ge"]:g}'
    return EXPECTED.get(kind, error['msg'])
