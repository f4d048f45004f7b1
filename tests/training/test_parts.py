# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Density and applicability of a model, from a set of its training galaxies."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from galvae_affiliated import Engine, ModelBundle, get_model
from galvae_affiliated.cutouts.sets import open_cutout_set
from galvae_affiliated.training.parts import encode_looks, fit_parts

N = 520
ENGINE = Engine(device='cpu', n_threads=1)


def write_set(path, n=N):
    """Noisy round galaxies; one of ten is of the split 'test', every second was held out."""
    rng, rows = np.random.default_rng(0), []
    x = np.arange(128) - 63.5
    radius = np.hypot(x[:, None], x)[..., None]
    for i in range(n):
        light = 200 * np.exp(-radius / rng.uniform(6, 12)) * [1.0, 0.8, 0.6]
        pixels = np.clip(light + rng.normal(5, 3, (128, 128, 3)), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, 'JPEG', quality=95)
        rows.append(
            {
                'id_str': str(i),
                'image': {'bytes': buffer.getvalue(), 'path': ''},
                'split': 'test' if i % 10 == 0 else 'train',
                'held_out': i % 2 == 0,
            }
        )
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture(scope='module')
def parquet(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp('parts') / 'set.parquet')


def test_kinds_are_encoded_of_the_chosen_rows(parquet):
    model = get_model()
    source = open_cutout_set(parquet, model.frame, already_scaled=True)
    rows = np.zeros(N, dtype=bool)
    rows[[3, 7]] = True
    looks = ['own', 'grey', 'flux', 'two bands', 'one band', 'picture']
    found = encode_looks(model, source, ENGINE, rows=rows, looks=looks)
    assert {look: set(encoding.image_kind) for look, encoding in found.items()} == {
        'own': {'composite_color'}, 'grey': {'composite_grey'}, 'flux': {'flux_color'},
        'two bands': {'flux_two'}, 'one band': {'flux_grey'}, 'picture': {'rerender_color'}}
    for encoding in found.values():
        assert len(encoding) == 2 and encoding.measured.all()
        assert np.isfinite(encoding.statistics).all()
    assert np.abs(found['own'].latent - found['grey'].latent).max() > 0.1


def test_the_command_makes_a_model_with_both_parts(galvae, parquet, tmp_path):
    output = tmp_path / 'new.galvae'
    words = ['gz2-sdss-v3', parquet, '-o', output, '--already-scaled', '--split-column', 'split']
    words += ['--held-out-column', 'held_out', '--components', '1', '--name', 'parts']
    words += ['--own-look-alone', '--also', f'{parquet},split=test']
    words += ['--device', 'cpu', '--n-threads', 1]
    run = galvae('fit-parts', *words)
    assert (run.code, run.out) == (0, '')
    assert run.err.startswith(f'galvae: {output}: parts@')
    model = ModelBundle.read(output)
    assert set(model.verify(device='cpu')) >= {'density/log_density', 'applicability/p'}
    assert model.manifest.density.n_galaxies == N - N // 10
    about = model.manifest.raw['applicability']['fitted to']['composite_color']
    # those of the split 'test' too, of which a quarter tells the p-values
    assert about['galaxies'] + about['calibrated on'] == N
    assert 208 < about['calibrated on'] < 208 + 30
    assert model.parts['encoder.onnx'] == get_model().parts['encoder.onnx']


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--parts', 'colour'], "--parts has 'colour'; expected density, applicability, int8"),
        (['--components', 'many'], 'expected whole numbers'),
        (['--also', 'a.parquet,scale=3'], "--also has 'scale'; expected split"),
        (['--also', 'a.parquet,pixel_scale=wide'], 'pixel_scale=wide; expected a number'),
        (['--split-column', 'part'], "no column 'part'"),
        (['--split-column', 'split', '--split', 'none'], "has split 'none'"),
        (['--parts', 'density'], 'expected at least 200'),
    ],
)
def test_wrong_calls_are_refused(galvae, tmp_path, words, message):
    path = write_set(tmp_path / 'small.parquet', n=5)
    words = [get_model().name, path, '-o', tmp_path / 'new.galvae', '--already-scaled', *words]
    galvae('fit-parts', *words).fails(2, message)
    assert not (tmp_path / 'new.galvae').exists()


def test_one_part_alone(parquet):
    source = get_model('gz2-sdss-v1')
    model = fit_parts(
        source, parquet, ENGINE, parts=['density'], already_scaled=True, n_components=[1]
    )
    assert model.density is not None
    assert model.applicability is None
    assert model.name == source.name
