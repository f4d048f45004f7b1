# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which galaxies make up a batch."""

import numpy as np
import pytest

pytest.importorskip('torch')

from galvae_affiliated.training.data.sampler import MixedSampler

LABELLED, UNLABELLED = np.arange(10), np.arange(10, 50)
MIX = {'batch_size': 8, 'share': 0.25, 'steps': 30, 'random_state': 1}


def test_batches_have_the_share_that_was_asked():
    batches = list(MixedSampler(LABELLED, UNLABELLED, **MIX))
    assert len(batches) == 30
    assert all(sum(row < 10 for row in batch) == 2 and len(batch) == 8 for batch in batches)
    # a round draws everyone once
    assert sorted(row for batch in batches[:5] for row in batch if row < 10) == list(range(10))


def test_batches_of_a_resumed_run_are_those_of_an_unbroken_one():
    sampler = MixedSampler(LABELLED, UNLABELLED, **MIX, start=12)
    assert len(sampler) == 30  # Lightning counts the batches before the start as well
    assert len(list(sampler)) == 18
    assert list(sampler) == list(MixedSampler(LABELLED, UNLABELLED, **MIX))[12:]


def test_two_processes_draw_what_one_would_have():
    """Together they walk through the rounds that one process walks through in twice the steps."""
    ranks = [list(MixedSampler(LABELLED, UNLABELLED, **MIX, rank=r, world_size=2)) for r in (0, 1)]
    alone = list(MixedSampler(LABELLED, UNLABELLED, **{**MIX, 'steps': 60}))
    assert [batch for pair in zip(*ranks) for batch in pair] == alone


@pytest.mark.parametrize(
    ('labelled', 'unlabelled'), [(np.arange(0), np.arange(8)), (np.arange(8), np.arange(0))]
)
def test_with_one_kind_of_galaxies_all_are_drawn(labelled, unlabelled):
    batches = list(
        MixedSampler(labelled, unlabelled, batch_size=4, share=0.5, steps=2, random_state=0)
    )
    assert sorted(sum(batches, [])) == list(range(8))
