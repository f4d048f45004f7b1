# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Pictures of tables."""

import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

from galvae_affiliated import CutoutStack, get_model
from galvae_affiliated.catalog import open_field
from galvae_affiliated.flags import GalvaeFlags as Flags
from galvae_affiliated.plotting import caption, check_picture, draw_gallery, gallery_rows
from galvae_affiliated.plotting._field_map import sample_field
from galvae_affiliated.plotting.gallery import _what_is_drawn

pytest.importorskip('matplotlib')


def test_galleries_lead_with_what_can_be_trusted():
    flags = [Flags.POINT_SOURCE, Flags.RADIUS_UNCERTAIN, Flags.EDGE, 0, Flags.NO_RADIUS,
             Flags.ARTIFACT, 0, Flags.SCALE_ESTIMATED]
    table = Table({'galvae_flags': flags, 'galvae_radius': [90.0, 80, 70, 3, 60, 95, 5, 4]})
    assert gallery_rows(table).tolist() == [6, 7, 3, 2, 1, 5, 0]
    assert gallery_rows(table, limit=2).tolist() == [6, 7]


def test_it_is_said_what_is_left_out():
    flags = np.array([0, Flags.EDGE, Flags.NO_RADIUS, 0])
    table = Table({'galvae_flags': flags, 'galvae_radius': [4.0, 3.0, 2.0, 1.0]})
    assert _what_is_drawn(table, np.array([0, 3])) == (
        '2 of 4 rows; 1 more are measured and not drawn; 1 could not be measured')
    assert _what_is_drawn(table[:2], np.array([0, 1])) == '2 of 2 rows; in orange: flagged (EDGE)'


@pytest.mark.parametrize('name', ['a.txt', 'a', 'a.fits', 'a.png.bak'])
def test_endings_of_no_picture_are_refused(name):
    with pytest.raises(ValueError, match=f'{name}: the ending .* is none of a picture; expected'):
        check_picture(name)
    for good in ('a.png', 'b.PDF', 'c.svg', 'd.jpg'):
        check_picture(good)


@pytest.fixture(scope='module')
def model():
    return get_model()


def table_of(model, n, flags=0):
    rng = np.random.default_rng(0)
    columns = {f'{question}_{answer}_fraction': rng.random(n)
               for question, answers in model.questions.items() for answer in answers}
    return Table({'id_str': [f'galaxy number {i} of many' for i in range(n)], **columns,
                  'galvae_flags': np.full(n, flags), 'galvae_radius': np.arange(n) + 10.0})


def composites(model, n):
    y, x = np.mgrid[:model.grid, :model.grid] - (model.grid - 1) / 2
    image = np.exp(-np.hypot(x, 2 * y + x / 2) / 15)
    return CutoutStack.from_composites(np.broadcast_to(image, (n, 3, *image.shape)))


def test_captions_name_rows_and_their_likeliest_answers(model):
    table = table_of(model, 12)
    lines = caption(table[11], model).splitlines()
    assert lines[:2] == ['row 12', 'galaxy number 11 of\u2026']
    assert len(lines) in (3, 4, 5)
    table.remove_column('id_str')
    assert caption(table[11], model).splitlines()[1] == lines[2]


@pytest.mark.parametrize('n', [0, 1, 9])
def test_a_gallery_of_ready_cutouts(model, tmp_path, n):
    table = table_of(model, n, Flags.SMALL | Flags.EDGE)
    rows = gallery_rows(table)
    draw_gallery(tmp_path / 'a.png', composites(model, n), table, rows, model)
    with Image.open(tmp_path / 'a.png') as picture:
        pixels = np.asarray(picture.convert('RGB')).astype(int)
    # what is said of flagged rows is orange
    is_orange = (pixels[..., 0] > 200) & (pixels[..., 2] < 60)
    assert bool(is_orange.any()) == (n > 0)


def field_of(shape, model):
    y, x = np.mgrid[:shape[0], :shape[1]]
    noise = np.random.default_rng(0).normal(0, 0.02, shape)
    image = 5 * np.exp(-np.hypot(x - 90, y - 40) / 6) + noise
    return open_field(dict.fromkeys('grz', image), model, unit='nmgy', pixel_scale=0.262)


def test_a_gallery_of_a_field_has_a_map(model, tmp_path):
    field = field_of((120, 160), model)
    table = table_of(model, 1)
    stack = composites(model, 1)
    stack.radius[:] = 12.0
    sizes = []
    for places in ({}, {'field': field, 'positions': np.array([[90.0, 40.0]])}):
        draw_gallery(tmp_path / 'a.png', stack, table, np.array([0]), model, **places)
        with Image.open(tmp_path / 'a.png') as picture:
            sizes.append(picture.size)
    assert sizes[1][0] > sizes[0][0] + 400


def test_maps_of_large_fields_are_sampled(model, monkeypatch):
    field = field_of((120, 160), model)
    whole = sample_field(field)
    assert whole.shape == (120, 160)
    assert np.unravel_index(whole.argmax(), whole.shape) == (40, 90) or whole[40, 90] == 1
    monkeypatch.setattr('galvae_affiliated.plotting._field_map.SIDE', 50)
    assert sample_field(field).shape == (30, 40)
