# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Training galaxies as other surveys would show them."""

import numpy as np
import pytest

from galvae_affiliated import CutoutStack, GalvaeFlags, get_model
from galvae_affiliated.cutouts import ModelFrame
from galvae_affiliated.simulation.templates import unrendered
from galvae_affiliated.training.other_looks import (
    LOOKS,
    _rendered,
    in_grey,
    known_looks,
    other_look,
)

GRID, N = 128, 40
FRAME = get_model().frame


@pytest.fixture(scope='module')
def composites():
    """Discs of some color on a sky with noise."""
    rng = np.random.default_rng(0)
    x = np.arange(GRID) - (GRID - 1) / 2
    disc = np.exp(-np.hypot(x, x[:, None]) / rng.uniform(6, 10, (N, 1, 1, 1)))
    images = 0.03 + 0.5 * disc * np.reshape([1.2, 1.0, 0.7], (3, 1, 1))
    return (images + 0.005 * rng.standard_normal(images.shape)).astype(np.float32)


def look(name, images, seed=0):
    return other_look(name, images, images, FRAME, np.random.default_rng(seed))


def test_a_rendering_is_undone_and_done_again(composites):
    entry = next(entry for entry in FRAME.renderings if entry.kind == 'flux')
    flux = unrendered(composites, entry)
    assert flux.dtype == np.float32
    np.testing.assert_allclose(_rendered(flux, entry), composites, atol=1e-4)


@pytest.mark.parametrize(
    ('name', 'kind', 'n_bands'),
    [('flux', 'flux', 3), ('two bands', 'flux', 2), ('one band', 'flux', 1),
     ('picture', 'rerender', 3)],
)
def test_looks_enter_as_what_they_are(composites, name, kind, n_bands):
    stack = look(name, composites)
    ways = {entry.name: entry.kind for entry in FRAME.renderings}
    assert len(stack) == N and stack.measured.all()
    assert {ways[rendering] for rendering in stack.rendering} == {kind}
    assert set(stack.n_bands) == {n_bands}
    assert ((stack.flags & GalvaeFlags.FEW_BANDS) > 0).all() == (n_bands < 3)
    assert np.isfinite(stack.data).all()


def test_both_sets_of_bands_are_seen(composites):
    assert set(look('flux', composites).rendering) == {'sdss-gri', 'sdss-grz'}


def test_the_galaxy_stays_in_the_middle_and_differs(composites):
    stack = look('flux', composites)
    light = stack.data.mean(axis=1)
    middle = light[:, 54:74, 54:74].mean(axis=(1, 2))
    edge = light[:, :12].mean(axis=(1, 2))
    assert (middle > edge).mean() > 0.95
    noise = stack.data[:, 1, 2:10].std(axis=(1, 2))
    assert np.ptp(np.log(noise)) > 1.5
    assert np.array_equal(stack.data, look('flux', composites).data)
    assert not np.array_equal(stack.data, look('flux', composites, seed=1).data)


def test_grey_flux_is_grey(composites):
    rendering = next(entry for entry in FRAME.renderings if entry.kind == 'flux')
    flux = CutoutStack(unrendered(composites[:4], rendering), np.full(4, rendering.name),
                       np.zeros(4, dtype=np.int32))
    grey = in_grey(flux, FRAME)
    np.testing.assert_allclose(_rendered(grey.data, rendering)[:, [0, 2]],
                               _rendered(grey.data, rendering)[:, [1, 1]], atol=1e-6)
    assert set(grey.bands) == {'r,r,r'}
    plain = in_grey(CutoutStack.from_composites(composites[:4]), FRAME)
    np.testing.assert_array_equal(plain.data, composites[:4][:, [1, 1, 1]])
    for stack in (grey, plain):
        assert (stack.flags == GalvaeFlags.FEW_BANDS).all()
        assert set(stack.n_bands) == {1}


def test_looks_that_a_model_can_be_shown():
    assert known_looks(FRAME) == list(LOOKS)
    assert known_looks(FRAME, grey=False) == ['picture', 'flux', 'two bands']
    plain = ModelFrame('plain', 64, 5.0, FRAME.renderings[:1])
    assert known_looks(plain) == []


def test_an_unknown_look_is_refused(composites):
    with pytest.raises(ValueError, match="look is 'sketch'; expected one of picture, flux"):
        look('sketch', composites)
