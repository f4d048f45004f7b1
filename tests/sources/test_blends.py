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


def test_a_faint_source_on_the_edge_of_a_bright_one_is_blended():
    assert blended_sources(*two_sources(1.0)).tolist() == [False, True]


@pytest.mark.parametrize('options', [{'light': 5.0}, {'light': 1.0, 'gap': 1}])
def test_one_as_bright_or_apart_is_not(options):
    assert blended_sources(*two_sources(**options)).tolist() == [False, False]


def test_a_short_common_border_is_none():
    labels, light = two_sources(1.0)
    labels[labels == 2], light[15:21, 35:41] = 0, 0.0
    labels[15:17, 35], labels[15:22, 36:42], light[15:22, 35:42] = 2, 2, 1.0
    assert blended_sources(labels, light).tolist() == [False, False]


def test_no_source_at_all():
    assert blended_sources(np.zeros((5, 5), int), np.full((5, 5), np.nan)).tolist() == []
