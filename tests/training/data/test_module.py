# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Batches of a run."""

import collections
import types

import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('lightning')

from training_sets import GRID, tiny

from galvae_affiliated.training.data import dataset
from galvae_affiliated.training.data.labels import Votes
from galvae_affiliated.training.data.module import GalaxyData


def drawn_from(galaxies, config):
    """How often each row is drawn in a run."""
    data = GalaxyData(config, galaxies)
    data.trainer = types.SimpleNamespace(world_size=1, global_rank=0)
    return collections.Counter(
        row for batch in data.train_dataloader().batch_sampler for row in batch
    )


def test_unselected_galaxies_are_drawn_more_often():
    """10 with votes, of which 2 were not selected, and 10 without."""
    votes = {
        'how-rounded': Votes(
            np.full((20, 2), 0.5, np.float32), np.repeat([1.0, 0.0], 10).astype(np.float32)
        )
    }
    images = np.zeros((20, GRID, GRID, 3), np.uint8)
    galaxies = dataset.GalaxySet(
        images, [f'g{i}' for i in range(20)], votes=votes, unselected=np.arange(20) < 2
    )
    drawn = drawn_from(
        galaxies, tiny(batch_size=8, labelled_share=0.5, steps=30, random_sample_factor=3)
    )
    # 14 places a round: two rows thrice, eight once; 120 draws
    assert [drawn[row] for row in (0, 1)] == pytest.approx([120 * 3 / 14] * 2, abs=3)
    assert [drawn[row] for row in range(2, 10)] == pytest.approx([120 / 14] * 8, abs=1)
    assert [drawn[row] for row in range(10, 20)] == [12] * 10
