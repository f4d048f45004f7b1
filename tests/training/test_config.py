# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The TOML file of a training run; none of this needs PyTorch."""

import pytest
from training_sets import toml

from galvae_affiliated.training import PRESETS, TrainingConfig, read_config


@pytest.fixture
def read(tmp_path):
    """The configuration of some sections, or of a text."""

    def function(text=None, /, **sections):
        path = tmp_path / 'run.toml'
        path.write_text(toml(**sections) if text is None else text)
        return read_config(path)

    return function


def test_an_empty_file_is_the_defaults(read):
    assert read('') == TrainingConfig()


def test_a_file_changes_what_it_names(read):
    data = {'already_scaled': True}
    config = read(model={'n_latents': 7, 'widths': [8, 16]}, loss={'beta': 2}, data=data)
    options = {'n_latents': 7, 'widths': (8, 16), 'beta': 2.0, 'already_scaled': True}
    assert config == TrainingConfig.of_preset(**options)
    assert isinstance(config.loss.beta, float)


def test_every_key_of_every_section_can_be_given(read):
    sections = {
        section: {name: value for name, value in options if value is not None}
        for section, options in TrainingConfig()
    }
    assert read(**sections) == TrainingConfig()


def test_keywords_go_before_the_file(tmp_path):
    path = tmp_path / 'run.toml'
    path.write_text(toml(training={'steps': 5, 'random_state': 1}))
    config = read_config(path, steps=9)
    assert (config.training.steps, config.training.random_state) == (9, 1)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('[modle]\nn_latents = 4', r"unknown section 'modle'; expected data, model, loss"),
        ('n_latents = 4', r"unknown section 'n_latents'"),
        (
            '[model]\nn_latent = 4',
            r"unknown key 'n_latent' in section 'model'; did you mean 'n_latents'\?",
        ),
        ('[loss]\nn_latents = 4', r"unknown key 'n_latents' in section 'loss'; there are beta, "),
        ('[model]\nn_latents = "4"', r"model\.n_latents is '4'; expected a whole number"),
        ('[model]\nn_latents = 4.5', r'model\.n_latents is 4\.5; expected a whole number'),
        ('[model]\nn_latents = true', r'model\.n_latents is True; expected a whole number'),
        ('[loss]\nbeta = true', r'loss\.beta is True; expected a number'),
        ('[model]\nwidths = 48', r'model\.widths is 48; expected'),
        ('[model]\nwidths = [48.5]', r'model\.widths is \[48\.5\]; expected'),
        ('[data]\nzero_point = "ab"', r"data\.zero_point is 'ab'; expected a number"),
        ('[data]\nquestions = 3', r'data\.questions is 3; expected text or a table'),
        ('[model]\nn_latents = = 4', r'this is not a TOML file'),
    ],
)
def test_what_is_wrong_is_named(read, text, message):
    with pytest.raises(ValueError, match=rf'run\.toml: {message}'):
        read(text)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'preset': 'gan'}, "no preset 'gan'; there are guided, "),
        ({'network': 'resnet'}, "no network 'resnet'"),
        ({'views': 3}, 'views is 3'),
        ({'network': 'light', 'depths': (1, 2)}, r'depths is \[1, 2\] and widths \[48, 96, 192\]'),
        ({'grid': 100}, 'expected a multiple of 16'),
        ({'grid': 48, 'network': 'xu2023'}, 'a grid of 48 does not divide it'),
        ({'n_latents': 0}, 'n_latents is 0; expected a positive number'),
        (
            {'n_latents': 3000, 'n_pose': 73, 'grid': 32},
            '3000 latents and 73 of pose for the 3072 values of an image',
        ),
        ({'validation_share': 1.5}, 'validation_share is 1.5; expected a number from 0 to 1'),
        ({'ema_decay': -0.1}, 'ema_decay is -0.1'),
        ({'steps': 0}, 'steps is 0; expected a positive number'),
        ({'learning_rate': float('nan')}, 'learning_rate is nan'),
    ],
)
def test_values_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig.of_preset(**options)


def test_a_value_that_cannot_be_names_the_file(read):
    with pytest.raises(ValueError, match=r'run\.toml: training\.batch_size is -1'):
        read(training={'batch_size': -1})


def test_a_preset_gives_what_the_file_does_not(read):
    config = read(model={'preset': 'vae', 'views': 2})
    assert config == TrainingConfig.of_preset('vae', views=2)
    assert (config.loss.beta, config.model.n_pose, config.model.views) == (1.0, 0, 2)


@pytest.mark.parametrize('preset', PRESETS)
def test_presets(preset):
    config = TrainingConfig.of_preset(preset)
    assert config.model.preset == preset
    guided = preset in ('guided', 'light')
    assert config.is_guided == guided
    assert config.model.sample_latents == (preset != 'ae')
    assert (config.model.n_pose > 0) == (config.model.views == 2) == guided
    assert (config.loss.beta > 1) == (guided or preset == 'beta-vae')


def test_an_unknown_preset_of_a_file(read):
    with pytest.raises(ValueError, match=r"run\.toml: there is no preset 'wgan'"):
        read(model={'preset': 'wgan'})


def test_paths_are_relative_to_the_file(read, tmp_path):
    elsewhere = str(tmp_path.parent / 'teacher.ecsv')
    data = {'source': 'cubes', 'labels': '../labels.csv', 'teacher': elsewhere}
    config = read(data=data, training={'initial': ''})
    assert config.data.source == str(tmp_path / 'cubes')
    assert config.data.labels == str(tmp_path / '../labels.csv')
    assert config.data.teacher == elsewhere
    assert config.training.initial == ''


@pytest.mark.parametrize(
    ('name', 'content', 'error'),
    [
        ('none.toml', None, FileNotFoundError),
        ('.', None, ValueError),
        ('image.toml', b'\x89PNG\xff', ValueError),
        ('deep.toml', b'a = ' + b'[' * 100_000 + b']' * 100_000, ValueError),
        ('large.toml', b'#' * (1 << 20) + b'\n', ValueError),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, content, error):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match='no such file|not a TOML file') as caught:
        read_config(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_all_that_is_wrong_is_named_at_once(read):
    with pytest.raises(ValueError, match=r'run\.toml: ') as caught:
        read(
            data={'validation_share': 1.5, 'labls': 'a.csv'},
            model={'n_latents': '4', 'network': 'resnet'},
            lss={'beta': 1.0},
        )
    path, _, messages = str(caught.value).partition(': ')
    assert path.endswith('run.toml')
    assert set(messages.split('; ')) == {
        'data.validation_share is 1.5',
        'expected a number from 0 to 1',
        "unknown key 'labls' in section 'data'",
        "did you mean 'labels'?",
        "there is no network 'resnet'",
        'there are residual, light, xu2023',
        "model.n_latents is '4'",
        'expected a whole number',
        "unknown section 'lss'",
        'expected data, model, loss, augmentation, training',
    }
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'validation_share': -0.01},
            'data.validation_share is -0.01; expected a number from 0 to 1',
        ),
        ({'beta': -1}, 'loss.beta is -1; expected a number of at least 0'),
        ({'beta': float('inf')}, 'loss.beta is inf; expected a finite number'),
        ({'pixel_scale': 0.0}, 'data.pixel_scale is 0.0; expected a positive number'),
        ({'n_pose': -1}, 'model.n_pose is -1; expected a number of at least 0'),
        ({'widths': ()}, r'model.widths is \(\); expected a list of positive whole numbers'),
        ({'depths': (1, 0, 1)}, 'expected a list of positive whole numbers'),
        ({'dropout': '0.1'}, "model.dropout is '0.1'; expected a number"),
    ],
)
def test_ranges(options, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig.of_preset(**options)


def test_whole_numbers_are_numbers():
    config = TrainingConfig.of_preset(dropout=0, learning_rate=1)
    assert isinstance(config.model.dropout, float) and isinstance(
        config.training.learning_rate, float
    )


def test_options_are_found_without_their_section():
    config = TrainingConfig.of_preset('vae', n_latents=7)
    assert config.replaced(beta=2.0).loss.beta == 2.0
    # the preset is not applied again
    assert config.replaced(n_latents=5) == TrainingConfig.of_preset('vae', n_latents=5)
    assert config.replaced(views=2).replaced(n_latents=5).model.views == 2
    assert config.options()['n_latents'] == 7
    with pytest.raises(TypeError, match=r"no option 'betaa'; did you mean 'beta'\?"):
        config.replaced(betaa=1.0)


def test_no_name_stands_in_two_sections():
    names = [name for _, section in TrainingConfig() for name, _ in section]
    assert len(names) == len(set(names)) == len(TrainingConfig().options())


def test_a_configuration_does_not_change():
    config = TrainingConfig()
    with pytest.raises(ValueError, match='frozen'):
        config.model.grid = 64
    with pytest.raises(ValueError, match='frozen'):
        config.model = None


def test_what_may_change_between_two_parts_of_a_run_is_marked():
    """Nothing that changes what is learnt, but for the files, which have hashes of their own."""
    config = TrainingConfig()
    assert set(config.marked('is_path')) == {
        'source',
        'labels',
        'teacher',
        'initial',
        'distil_from',
    }
    assert set(config.marked('may_change')) == {
        *config.marked('is_path'),
        *('accelerator', 'devices', 'strategy', 'validate_every', 'checkpoint_every'),
        *('half_weights', 'float16', 'head', 'n_heads', 'head_steps', 'n_volunteers'),
    }


def test_every_option_is_described():
    for _, section in TrainingConfig():
        for name, field in type(section).model_fields.items():
            assert field.description, name
