# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Batches of galaxies for a run."""

import lightning
import numpy as np
from torch.utils.data import DataLoader, Subset

from galvae_affiliated.training.data.sampler import MixedSampler

__all__ = ['GalaxyData']

VALIDATION_BATCH = 128


class GalaxyData(lightning.LightningDataModule):
    """
    Batches to learn from, a share of each with votes, and batches of the galaxies held out.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
    galaxies : `~galvae_affiliated.training.data.dataset.GalaxySet`
    start : int, optional
        Step that the run goes on from.
    """

    def __init__(self, config, galaxies, *, start=0):
        super().__init__()
        self.config = config
        self.galaxies = galaxies
        self.start = start

    def train_dataloader(self):
        """Batches of images and rows; galaxies that votes did not select are drawn more often."""
        galaxies, fit = self.galaxies, self.config.training
        has_votes = galaxies.has_votes[galaxies.train]
        labelled, others = galaxies.train[has_votes], galaxies.train[~has_votes]
        more = labelled[galaxies.unselected[labelled]]
        more = np.tile(more, self.config.data.random_sample_factor - 1)
        batches = MixedSampler(
            np.concatenate([labelled, more]), others, batch_size=fit.batch_size,
            share=fit.labelled_share, steps=fit.steps, random_state=fit.random_state,
            start=self.start, rank=self.trainer.global_rank, world_size=self.trainer.world_size)
        return DataLoader(galaxies, batch_sampler=batches, num_workers=0)

    def val_dataloader(self):
        """Batches of images and rows of the galaxies held out."""
        held_out = Subset(self.galaxies, self.galaxies.held_out.tolist())
        return DataLoader(held_out, batch_size=VALIDATION_BATCH)
