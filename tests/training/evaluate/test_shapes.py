# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Shapes of simulated galaxies in composites."""

import sys

import numpy as np
import pytest

from galvae_affiliated.training.evaluate.shapes import (
    SHAPES,
    STRUCTURE,
    picture_shapes,
    picture_structure,
)

SIDE = 128
COLORS = np.array([0.6, 0.4, 0.2])  # of red, green, blue


def galaxy(radius=8.0, ratio=1.0, shift=0.0):
    """Composite of a Gaussian of this radius with half of the light along its long axis."""
    y, x = np.mgrid[:SIDE, :SIDE] - 0.5 * (SIDE - 1)
    width = radius / np.sqrt(2.0 * np.log(2.0))
    light = np.exp(-0.5 * (((x - shift) / width) ** 2 + (y / width / ratio) ** 2))
    noise = np.random.default_rng(0).normal(0.0, 0.003, (3, SIDE, SIDE))
    return 0.05 + COLORS[:, None, None] * light + noise


def test_size_form_and_colors_of_a_gaussian():
    shapes = picture_shapes([galaxy(), galaxy(12.0, 0.5)])
    assert tuple(shapes) == SHAPES
    np.testing.assert_allclose(shapes['size'], [8.0, 8.8], rtol=0.06)
    np.testing.assert_allclose(shapes['ellipticity'], [0.0, 0.5], atol=0.03)
    np.testing.assert_allclose(shapes['color g - r'], 2.5 * np.log10(2.0), atol=0.02)
    np.testing.assert_allclose(shapes['color r - i'], 2.5 * np.log10(1.5), atol=0.02)


def test_no_galaxy_in_the_middle_is_no_measure():
    images = np.stack([np.full((3, SIDE, SIDE), 0.05), galaxy(shift=40.0), galaxy()])
    for values in picture_shapes(images).values():
        assert np.isfinite(values).tolist() == [False, False, True]


def test_a_neighbour_does_not_count():
    alone = picture_shapes(galaxy()[None])
    beside = picture_shapes((galaxy() + galaxy(3.0, shift=40.0) - 0.05)[None])
    for name in SHAPES:
        np.testing.assert_allclose(beside[name], alone[name], atol=0.1)


def test_structure_of_a_smooth_and_of_a_lopsided_galaxy():
    pytest.importorskip('statmorph')
    lopsided = galaxy() + 0.6 * (galaxy(5.0, shift=14.0) - 0.05)
    found = picture_structure(np.stack([galaxy(), lopsided, np.full((3, SIDE, SIDE), 0.05)]))
    assert tuple(found) == STRUCTURE
    assert found['asymmetry'][0] < 0.05 < 0.15 < found['asymmetry'][1]
    assert found['m20'][0] < found['m20'][1]
    assert 0.3 < found['gini'][0] < 0.7
    assert np.isnan([values[2] for values in found.values()]).all()


def test_statmorph_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, 'statmorph', None)
    with pytest.raises(ModuleNotFoundError, match='pip install statmorph'):
        picture_structure(galaxy()[None])
