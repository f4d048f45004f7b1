# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which galaxies make up the batch of a step."""

import numpy as np
from torch.utils.data import Sampler

__all__ = ['MixedSampler']


class MixedSampler(Sampler):
    """
    Batches of which a fixed share has votes; a batch depends on its number alone.

    So a resumed run draws what an unbroken one would have drawn, and a galaxy
    without votes is drawn however rare or common votes are.

    Parameters
    ----------
    labelled, unlabelled : (N,) int arrays
        Rows to draw from; each pool is walked through in a new order a round.
    batch_size : int
    share : float
        Of the batch that is drawn from ``labelled``.
    steps : int
        Number of batches.
    random_state : int
    start : int, optional
        Number of the first batch, when a run is resumed.
    rank, world_size : int, optional
        Which of the processes of a run this is; together they draw as one with larger
        batches.
    """

    def __init__(self, labelled, unlabelled, *, batch_size, share, steps, random_state, start=0,
                 rank=0, world_size=1):
        n_labelled = round(batch_size * share) if len(unlabelled) else batch_size
        n_labelled = n_labelled if len(labelled) else 0
        self.pools = [(labelled, n_labelled), (unlabelled, batch_size - n_labelled)]
        self.steps = steps
        self.random_state = random_state
        self.start = start
        self.rank = rank
        self.world_size = world_size

    def __len__(self):
        # those before the start too: Lightning goes on counting where a killed run was, and would
        # end the epoch of a shorter loader early and draw its first batches again
        return self.steps

    def __iter__(self):
        for step in range(self.start, self.steps):
            number = step * self.world_size + self.rank
            drawn = [self._draw_rows(*pool, number, i) for i, pool in enumerate(self.pools)]
            yield np.concatenate(drawn).tolist()

    def _draw_rows(self, rows, size, number, pool):
        """The ``size`` rows of one batch, from an endless row of shuffled rounds."""
        place = np.arange(number * size, (number + 1) * size)
        if not size:
            return place
        rounds = place // len(rows)
        order = {r: np.random.default_rng((self.random_state, pool, r)).permutation(rows)
                 for r in np.unique(rounds)}
        return np.array([order[r][p % len(rows)] for r, p in zip(rounds, place)])
