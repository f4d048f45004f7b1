# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest

from galvae_affiliated.sources.blends import blended_sources


def two_sources(light, gap=0, width=6):
    """A large source of light one a pixel, and a small one beside it."""
    labels, values = np.zeros((40, 60), int), np.zeros((40, 60), np.float32)
    labels[5:35, 5:35], values[5:35, 5:35] = 1, 1.0
    part = slice(15, 15 + width), slice(35 + gap, 41 + gap)
    labels[part], values[part] = 2, light
    return labels, values


def blended(labels, light, half_light=10.0):
    x, y = np.array([19.5, 37.5]), np.array([19.5, 17.5])
    return blended_sources(labels, light, x, y, np.full(2, half_light)).tolist()


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
    nothing = np.zeros((5, 5), int), np.full((5, 5), np.nan)
    assert blended_sources(*nothing, none, none, none).tolist() == []
