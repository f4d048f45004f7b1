# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest

from galvae_affiliated.sources._segments import SegmentPixels, border_pairs
from galvae_affiliated.sources.blends import blended_sources, shared_borders


def two_sources(light, gap=0, width=6):
    """A large source of light one a pixel, and a small one beside it."""
    labels, values = np.zeros((40, 60), int), np.zeros((40, 60), np.float32)
    labels[5:35, 5:35], values[5:35, 5:35] = 1, 1.0
    part = slice(15, 15 + width), slice(35 + gap, 41 + gap)
    labels[part], values[part] = 2, light
    return labels, values


def blended(labels, light, half_light=10.0):
    x, y = np.array([19.5, 37.5]), np.array([19.5, 17.5])
    pixels = SegmentPixels(labels)
    flux = pixels.sum(pixels.of(light))
    return blended_sources(border_pairs(labels), flux, x, y, np.full(2, half_light)).tolist()


def test_a_faint_source_on_the_edge_of_a_bright_one_is_blended():
    assert blended(*two_sources(1.0)) == [False, True]


def test_one_far_out_in_the_halo_is_not():
    assert blended(*two_sources(1.0), half_light=5.0) == [False, False]


@pytest.mark.parametrize('options', [{'light': 5.0}, {'light': 1.0, 'gap': 1}])
def test_one_as_bright_or_apart_is_not(options):
    assert blended(*two_sources(**options)) == [False, False]


def test_a_short_common_border_is_none():
    labels, light = two_sources(1.0)
    labels[labels == 2], light[15:21, 35:41] = 0, 0.0
    labels[15:17, 35], labels[15:22, 36:42], light[15:22, 35:42] = 2, 2, 1.0
    assert blended(labels, light) == [False, False]


def test_no_source_at_all():
    none = np.zeros(0)
    borders = border_pairs(np.zeros((5, 5), int))
    assert blended_sources(borders, none, none, none, none).tolist() == []
    assert shared_borders(*borders, 0).tolist() == []


def test_share_of_the_border():
    labels = np.zeros((6, 8), dtype=int)
    labels[1:5, 1:4], labels[1:5, 4:7] = 1, 2
    assert np.allclose(shared_borders(*border_pairs(labels), 2), 4 / 14)
    alone = np.pad(np.ones((2, 2), dtype=int), 1)
    assert np.allclose(shared_borders(*border_pairs(alone), 1), 0)
