# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Images and labels to the set that is trained on, and which of them make up a batch."""

import io
import logging
import shutil
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from PIL import Image

torch = pytest.importorskip('torch')
pytest.importorskip('lightning')

from training_sets import (  # noqa: E402
    GRID,
    PARQUET_LABELS,
    PIXEL,
    QUESTIONS,
    is_round,
    label_table,
    rows,
    tiny,
    write_parquet,
)

from galvae_affiliated import CutoutStack  # noqa: E402
from galvae_affiliated.training.data import dataset, rendered  # noqa: E402
from galvae_affiliated.training.networks.preprocess import Rendering  # noqa: E402

CUBES = {'bands': 'g,r,z', 'unit': 'nmgy', 'pixel_scale': PIXEL}
VOTES = {'questions': QUESTIONS, 'id_column': 'name', 'class_column': '', 'validation_share': 0.2}


@pytest.fixture
def read(tmp_path):
    """Read what a configuration names, with a cache of this test."""
    return lambda config, **options: dataset.read_galaxies(config, tmp_path / 'cache', **options)


@pytest.fixture
def no_images(monkeypatch):
    """No image may be read."""
    monkeypatch.setattr(
        rendered, '_render_all', mock.Mock(side_effect=AssertionError('an image was read'))
    )


@pytest.fixture
def parquet_of(tmp_path):
    """A configuration for a Parquet set of some rows."""

    def function(rows, preset='guided', **options):
        path = write_parquet(tmp_path / 'set.parquet', rows)
        return tiny(preset, source=str(path), **{**PARQUET_LABELS, **options})

    return function


def test_parquet_set_with_labels(tiny_set):
    assert tiny_set.images.shape == (48, GRID, GRID, 3) and tiny_set.images.dtype == np.uint8
    assert tiny_set.ids[:3].tolist() == ['galaxy0', 'galaxy1', 'galaxy2']
    assert tiny_set.has_votes.tolist() == [i % 3 > 0 for i in range(48)]
    assert tiny_set.class_names == ['cigar', 'round']
    assert tiny_set.classes.tolist() == [int(is_round(i)) for i in range(48)]
    assert tiny_set.held_out.tolist() == list(range(40, 48))
    assert tiny_set.train.tolist() == list(range(40))


def test_parquet_set_without_labels(tiny_parquet, read):
    galaxies = read(tiny('beta-vae', source=str(tiny_parquet)))
    assert not galaxies.votes and not galaxies.has_votes.any()
    assert (galaxies.classes == -1).all()
    assert 0 < len(galaxies.held_out) < 12
    assert sorted([*galaxies.train, *galaxies.held_out]) == list(range(48))


def test_labels_of_another_table_go_before_those_of_the_set(tiny_parquet, read, tmp_path):
    """They are joined by the identifier; a galaxy that is not in the table has no votes."""
    labels = label_table([f'galaxy{i}' for i in range(12)])[::-1]
    labels.write(tmp_path / 'labels.ecsv')
    options = {**VOTES, 'labels': str(tmp_path / 'labels.ecsv')}
    galaxies = read(tiny(source=str(tiny_parquet), **options))
    assert np.flatnonzero(galaxies.has_votes).tolist() == [1, 2, 4, 5, 7, 8, 10, 11]
    assert galaxies.votes['how-rounded'].fractions[[1, 2]].tolist() == [[0.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize('ending', ['csv', 'ecsv', 'fits', 'parquet'])
def test_folder_of_fits_cutouts(tiny_cubes, ending):
    config = tiny(
        source=str(tiny_cubes),
        labels=str(tiny_cubes.parent / f'labels.{ending}'),
        random_sample_column='checked',
        **CUBES,
        **VOTES,
    )
    # one cache for all endings: the images are the same
    galaxies = dataset.read_galaxies(config, tiny_cubes.parent / 'cache')
    assert galaxies.ids.tolist() == [f'J{i:02}' for i in range(25)]
    assert galaxies.has_votes.tolist() == [i % 3 > 0 for i in range(25)]
    assert galaxies.unselected.tolist() == [i % 4 == 1 for i in range(25)]
    assert len(galaxies.train) + len(galaxies.held_out) == 25


def test_cutouts_are_rendered_at_the_scale_of_the_model(tiny_cubes):
    """The last is the first in 256 pixels in place of 64."""
    galaxies = dataset.read_galaxies(
        tiny('beta-vae', source=str(tiny_cubes), **CUBES), tiny_cubes.parent / 'cache'
    )
    small, large = galaxies.images[[0, 24]].astype(float)
    assert small[GRID // 2, GRID // 2].min() > 100
    assert np.abs(small - large).mean() < 3
    # a cigar is not round, at whatever angle
    light = galaxies.images.astype(float).sum(axis=-1)
    x = np.arange(GRID) - (GRID - 1) / 2
    weight = np.where(light > 0.2 * light.max(axis=(1, 2), keepdims=True), light, 0.0)
    moments = [
        (weight * m).sum(axis=(1, 2))
        for m in (x**2 * np.ones((GRID, 1)), x[:, None] ** 2, x * x[:, None])
    ]
    difference = np.hypot(moments[0] - moments[1], 2 * moments[2]) / (moments[0] + moments[1])
    assert difference[::2].max() < difference[1::2].min()


def test_fits_cutouts_of_another_unit_are_rendered_alike(tiny_cubes, read):
    """Zero point 22.5 is the nanomaggie's."""
    by_unit = dataset.read_galaxies(
        tiny('beta-vae', source=str(tiny_cubes), **CUBES), tiny_cubes.parent / 'cache'
    )
    by_magnitude = read(
        tiny('beta-vae', source=str(tiny_cubes), **{**CUBES, 'unit': '', 'zero_point': 22.5})
    )
    assert np.abs(by_unit.images.astype(int) - by_magnitude.images).max() <= 1


def composites(n, random_state=0):
    return np.random.default_rng(random_state).random((n, 3, GRID, GRID)).astype(np.float32)


def test_chunks_of_cutouts(read, tmp_path):
    """Composites stay as they are, flux is rendered, a row that is not measured is left out."""
    data = composites(12)
    rendering, flags = np.full(12, 'composite', dtype='U16'), np.zeros(12, np.int32)
    rendering[4:], flags[11] = 'sdss-grz', 8
    stack = CutoutStack(data, rendering, flags)
    names = [f'c{i}' for i in range(12)]
    label_table(names).write(tmp_path / 'labels.csv')
    config = tiny(labels=str(tmp_path / 'labels.csv'), **VOTES)
    galaxies = read(config, stacks=[(names[:5], stack[:5]), (names[5:], stack[5:])])
    assert galaxies.ids.tolist() == names
    assert (
        np.abs(np.moveaxis(galaxies.images[:4], -1, 1) / 255 - data[:4]).max() <= 0.5 / 255 + 1e-6
    )
    renderings = rendered.frame_entries(config)['renderings']
    entry = [r['name'] for r in renderings].index('sdss-grz')
    expected = Rendering(renderings)(torch.from_numpy(data[4:11]), torch.full((7,), entry)).numpy()
    assert (
        np.abs(np.moveaxis(galaxies.images[4:11], -1, 1) / 255 - expected).max() <= 0.5 / 255 + 1e-6
    )
    assert sorted([*galaxies.train, *galaxies.held_out]) == list(range(11))


def test_missing_pixels_become_sky(read):
    data = composites(4)
    data[0, :, :, :8] = np.nan
    stack = CutoutStack(data, np.full(4, 'composite'), np.zeros(4, np.int32))
    images = read(tiny('beta-vae'), stacks=[(list('abcd'), stack)]).images
    assert np.unique(images[0, :, :8].reshape(-1, 3), axis=0).tolist() == [[5, 5, 3]]


def test_chunks_of_another_grid_are_refused(read):
    stack = CutoutStack.from_composites(np.random.default_rng(0).random((2, 3, 16, 16)))
    with pytest.raises(ValueError, match='cutouts have 16 pixels a side; expected 32, the grid'):
        read(tiny('beta-vae'), stacks=[(['a', 'b'], stack)])


@pytest.fixture
def keys(monkeypatch):
    """Keys of the images that were rendered."""
    names, render_all = [], rendered._render_all

    def function(pieces, config, cache, key):
        names.append(key)
        return render_all(pieces, config, cache, key)

    monkeypatch.setattr(rendered, '_render_all', function)
    return names


def test_rendered_images_are_found_again(parquet_of, read, keys):
    config = parquet_of(rows())
    first = read(config)
    again = read(config.replaced(beta=3.0, steps=5))
    assert len(keys) == 1
    assert np.array_equal(first.images, again.images)
    assert first.fingerprint == again.fingerprint


def test_other_options_or_another_file_are_rendered_anew(parquet_of, read, keys):
    config = parquet_of(rows())
    images = [read(c).images for c in (config, config.replaced(rendering='legacy-composite'))]
    assert not np.array_equal(*images)
    read(parquet_of(rows()[::-1]))
    assert len(set(keys)) == 3


def test_two_sets_of_cutouts_do_not_share_a_file(read):
    ramp = np.linspace(0.0, 1.0, 2 * 3 * GRID**2).reshape(2, 3, GRID, GRID)
    stacks = [[(['a', 'b'], CutoutStack.from_composites(level * ramp))] for level in (0.2, 0.4)]
    first, second = (read(tiny('beta-vae'), stacks=one) for one in stacks)
    assert (first.images.max(), second.images.max()) == (51, 102)


def test_a_run_killed_while_it_renders_leaves_nothing_that_is_taken_for_images(
    parquet_of, read, monkeypatch
):
    config = parquet_of(rows())
    with monkeypatch.context() as patch:
        patch.setattr(np, 'savez', mock.Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            read(config)
    assert len(read(config)) == len(rows())


@pytest.mark.parametrize('name', ['teacher', 'initial'])
def test_a_file_that_is_not_there_is_told_before_images_are_rendered(parquet_of, read, keys, name):
    config = parquet_of(rows()).replaced(**{name: 'nowhere.file'})
    with pytest.raises(
        FileNotFoundError, match=rf'nowhere\.file: there is no such file \({name}\)'
    ):
        read(config)
    assert keys == []


def test_the_fingerprint_tells_votes_and_images(parquet_of, read):
    changed = rows()
    changed[1] = {
        **changed[1],
        'how-rounded-gz2_round_fraction': 0.5,
        'how-rounded-gz2_cigar_fraction': 0.5,
    }
    turned = rows()
    turned[1] = {**turned[1], 'image': turned[2]['image']}
    assert len({read(parquet_of(r)).fingerprint for r in (rows(), changed, turned)}) == 3


def damaged(n, *bad):
    """Rows of which some have no image."""
    return [
        {**row, 'image': {'bytes': b'no image', 'path': ''}} if i in bad else row
        for i, row in enumerate(rows(n))
    ]


def test_too_many_unreadable_images_are_counted_and_named(parquet_of, read):
    with pytest.raises(
        ValueError, match=r'2 of 48 images cannot be read, .* share of 0\.01 .*galaxy3, galaxy44'
    ):
        read(parquet_of(damaged(48, 3, 44)))


def test_a_few_unreadable_images_are_left_out(parquet_of, read, caplog):
    with caplog.at_level(logging.WARNING):
        galaxies = read(parquet_of(damaged(48, 3, 44), max_unreadable=0.05))
    assert '2 images cannot be read and are left out: galaxy3, galaxy44' in caplog.text
    assert len(galaxies) == 48
    assert {3, 44}.isdisjoint([*galaxies.train, *galaxies.held_out])
    assert (len(galaxies.train), len(galaxies.held_out)) == (39, 7)


def test_an_unreadable_fits_file_is_named(tiny_cubes, tmp_path, read):
    shutil.copytree(tiny_cubes, tmp_path / 'cubes')
    (tmp_path / 'cubes' / 'J03.fits').write_bytes(b'no image')
    config = tiny('beta-vae', source=str(tmp_path / 'cubes'), **CUBES)
    with pytest.raises(ValueError, match='1 of 25 images cannot be read.*: J03$'):
        read(config)


def test_a_galaxy_without_an_image_of_it_is_left_out(parquet_of, read, caplog):
    """A flat image shows no galaxy; that is no fault of the file."""
    flat = rows()
    flat[3] = {**flat[3], 'image': {'bytes': flat_png(), 'path': ''}}
    with caplog.at_level(logging.WARNING):
        galaxies = read(parquet_of(flat))
    assert '1 images show no galaxy' in caplog.text
    assert 3 not in galaxies.train


def flat_png():
    buffer = io.BytesIO()
    Image.fromarray(np.full((GRID, GRID, 3), 9, np.uint8)).save(buffer, 'PNG')
    return buffer.getvalue()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'questions': 'none'}, "a guided model needs votes, but data.questions is 'none'"),
        ({'suffix': ''}, "no column 'how-rounded_round_fraction'"),
        ({'class_column': 'sort'}, "no column 'sort'; there are id_str, split, kind"),
        ({'split_column': 'part'}, "no column 'part'"),
        ({'random_sample_column': 'odd'}, "no column 'odd'"),
        (
            {'train_split': 'training'},
            "column 'split' has no galaxy of split 'training'; it has train, test",
        ),
        ({'validation_split': 'val'}, "column 'split' has no galaxy of split 'val'"),
        ({'labels': 'none.csv'}, 'none.csv: there is no such file'),
        ({'source': 'none.parquet'}, 'none.parquet: there is no such file'),
        ({'source': ''}, 'there is no data.source'),
        ({'rendering': 'panstarrs'}, "no rendering 'panstarrs'"),
    ],
)
@pytest.mark.usefixtures('no_images')
def test_what_is_wrong_with_the_labels_is_told_before_images_are_read(
    tiny_parquet, read, options, message
):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read(tiny(**{'source': str(tiny_parquet), **PARQUET_LABELS, **options}))


@pytest.mark.usefixtures('no_images')
def test_guided_by_no_votes_is_refused_before_images_are_read(parquet_of, tiny_cubes, read):
    unvoted = [{**row, 'how-rounded-gz2_reach': 0.0} for row in rows(4)]
    with pytest.raises(ValueError, match="no galaxy has any; take the preset 'beta-vae'"):
        read(parquet_of(unvoted))
    with pytest.raises(ValueError, match=r'data\.labels names none'):
        read(tiny(source=str(tiny_cubes), **CUBES, **VOTES))


def test_votes_of_held_out_galaxies_alone_guide_nothing(parquet_of, read):
    unvoted = [
        {**row, 'how-rounded-gz2_reach': 0.5 if row['split'] == 'test' else 0.0} for row in rows()
    ]
    with pytest.raises(ValueError, match='no galaxy to learn from has any'):
        read(parquet_of(unvoted))


def test_labels_of_other_galaxies_are_refused(tiny_parquet, read, tmp_path):
    label_table(['x0', 'x1', 'x2']).write(tmp_path / 'labels.csv')
    with pytest.raises(
        ValueError, match=r"no identifier of the labels \('x0', .* images \('galaxy0', "
    ):
        read(tiny(source=str(tiny_parquet), labels=str(tmp_path / 'labels.csv'), **VOTES))


def test_a_set_without_a_row_is_refused(parquet_of, read):
    config = parquet_of(rows(1), 'beta-vae', split_column='', validation_split='')
    pq.write_table(pq.read_table(config.data.source)[:0], config.data.source)
    with pytest.raises(ValueError, match=r'there is no galaxy in .*set\.parquet'):
        read(config)
    with pytest.raises(ValueError, match='there is no galaxy in the stacks'):
        read(tiny('beta-vae'), stacks=[])


def test_nothing_left_to_learn_from(parquet_of, read):
    with pytest.raises(
        ValueError, match='no galaxy is left to learn from: 6 of 6 have an image, 6 are held out'
    ):
        read(
            parquet_of(
                rows(6), 'beta-vae', split_column='', validation_split='', validation_share=1.0
            )
        )


def test_without_a_validation_split_a_share_is_held_out(parquet_of, read, caplog):
    galaxies = read(parquet_of(rows(), validation_split='', validation_share=0.3))
    assert galaxies.train.max() < 40 and galaxies.held_out.max() < 40
    assert len(galaxies.train) + len(galaxies.held_out) == 40
    with caplog.at_level(logging.WARNING):
        galaxies = read(parquet_of(rows(), validation_split='', validation_share=0.0))
    assert len(galaxies.held_out) == 0 and 'cannot measure itself' in caplog.text


def test_held_out_galaxies_depend_on_the_identifier_alone():
    ids = np.array([f'g{i}' for i in range(2000)])
    chosen = dataset.validation_rows(ids, 0.1)
    assert 0.07 < chosen.mean() < 0.13
    assert np.array_equal(dataset.validation_rows(ids[::-1], 0.1), chosen[::-1])


def test_classes_may_be_numbers(parquet_of, read):
    numbered = [{**row, 'kind': i % 3} for i, row in enumerate(rows())]
    galaxies = read(parquet_of(numbered))
    assert galaxies.class_names == ['0', '1', '2']
    assert galaxies.classes.tolist() == [i % 3 for i in range(48)]


def test_a_teacher_guides_but_does_not_count_as_votes(tiny_parquet, read, tmp_path):
    teacher = Table({'id_str': [f'galaxy{i}' for i in range(9)]})
    teacher['how-rounded_round_fraction'], teacher['how-rounded_cigar_fraction'] = 0.25, 0.75
    teacher.write(tmp_path / 'teacher.csv')
    options = {**PARQUET_LABELS, 'teacher': str(tmp_path / 'teacher.csv'), 'teacher_weight': 0.5}
    galaxies = read(tiny(source=str(tiny_parquet), **options))
    votes = galaxies.votes['how-rounded']
    assert votes.weight[:10].tolist() == [
        np.float32(0.5 if i % 3 == 0 else 0.9) for i in range(9)
    ] + [0.0]
    assert votes.fractions[0].tolist() == [0.25, 0.75]
    assert galaxies.has_votes[:3].tolist() == [False, True, True]
