# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Random views of composites."""

import pytest

torch = pytest.importorskip('torch')

from training_sets import GRID, PARQUET_LABELS, galaxy, tiny  # noqa: E402

from galvae_affiliated.training.data.augment import random_view  # noqa: E402

TINY = tiny(**PARQUET_LABELS)
IMAGES = torch.from_numpy(galaxy(1)).float().expand(16, 3, GRID, GRID)


def test_a_view_is_the_same_for_the_same_seed():
    first, second, other = (
        random_view(IMAGES, TINY.augmentation, torch.Generator().manual_seed(s)) for s in (5, 5, 6)
    )
    for a, b in zip(first, second):
        torch.testing.assert_close(a, b, equal_nan=True, atol=0, rtol=0)
    assert (first[1] - other[1]).abs().max() > 0.1


def test_a_view_keeps_the_light():
    """A rotation moves light about; the sum stays."""
    _, clean = random_view(
        IMAGES, tiny(max_shift=0.0, max_zoom=0.0).augmentation, torch.Generator().manual_seed(5)
    )
    torch.testing.assert_close(clean.sum((1, 2, 3)), IMAGES.sum((1, 2, 3)), rtol=0.1, atol=0)
    assert (clean - IMAGES).abs().max() > 0.1


def test_views_lose_an_edge_as_often_as_is_asked():
    never, always = (
        random_view(IMAGES, tiny(cut_share=share).augmentation, torch.Generator().manual_seed(5))
        for share in (0.0, 1.0)
    )
    assert not torch.isnan(never[0]).any()
    assert torch.isnan(always[0]).any((1, 2, 3)).float().mean() > 0.5
    assert not torch.isnan(always[1]).any()
