# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Training on your own cutouts
============================

A model of your own galaxies, with latents of your own choice: from cutouts to a file that ``galvae
encode`` takes. This run is tiny, and takes seconds; the network, the images and the steps of a
real one are larger, and nothing else is.

This tutorial needs PyTorch (``pip install 'galvae_affiliated[train]'``). The model that it makes
does not.

.. only:: not_run_09_own_model

    .. note:: This page was built without PyTorch, so that its code was not run.
"""

# %%
# Cutouts
# -------
#
# 400 painted galaxies, 48 pixels a side. Yours come from `~galvae_affiliated.make_cutouts`, or from
# a Parquet file or a folder of FITS images that the configuration names (``source``).

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from galvae_affiliated import CutoutStack
from galvae_affiliated.simulation import paint_galaxies

galaxies = paint_galaxies(400, grid=48, random_state=1)
stack = CutoutStack.from_composites(galaxies.images)
names = [f'J{i:03d}' for i in range(len(stack))]

# %%
# The run
# -------
#
# A preset, and what is to be another. Every option and its default are listed in the section on
# training; ``galvae train`` reads the same from a TOML file. A run that was killed goes on from its
# last checkpoint in the folder. At the end the graphs are exported and compared with PyTorch: a
# model that does not give the same numbers is not written.

from galvae_affiliated.training import TrainingConfig, train_model

config = TrainingConfig.of_preset(
    'beta-vae', n_latents=8, grid=48, widths=(16, 32, 64), depths=(1, 1, 1),
    decoder_widths=(64, 32, 16), beta=1.0, steps=400, batch_size=32, learning_rate=2e-3,
    ema_decay=0.98, accelerator='cpu', precision='32-true', float16=False, max_shift=1.0)
folder = Path(tempfile.mkdtemp())
model = train_model(config, folder / 'run', name='painted', stacks=[(names, stack)],
                    cache=folder / 'cache')
model

# %%
# ``model.write('painted.galvae')`` makes the file; ``galvae encode --model painted.galvae`` and all
# functions of this package take it.
#
# What it has learnt
# ------------------
#
# First the images, what the decoder makes of eight numbers, and the difference. After 400 steps it
# knows size, color and orientation, and blurs the arms: train for longer if yours look like this.

from galvae_affiliated.plotting import plot_reconstructions

kinds = np.array(galaxies.truth['kind'])
shown = [int(np.flatnonzero(kinds == kind)[3]) for kind in dict.fromkeys(kinds)]
axes = plot_reconstructions(galaxies.images[shown], model)
axes[0, 0].figure.set_size_inches(8, 4.2)

# %%
# The latents
# -----------
#
# The walk begins at a spiral, in the middle of each line, and goes along one latent by as much as
# the galaxies scatter in it, while all others stay. A latent whose line does not change has
# collapsed: the model does without it. What the others mean nobody told them. Look for orientation,
# size, color and how the light is spread, often two of them in one line.

from galvae_affiliated import LatentTransformer

transformer = LatentTransformer(model)
latents = transformer.transform(galaxies.images)
start = latents[shown[list(dict.fromkeys(kinds)).index('spiral')]]
steps = np.linspace(-2, 2, 11)[:, None] * latents.std(axis=0)

figure, axes = plt.subplots(len(start), 11, figsize=(8, 5.9))
figure.subplots_adjust(0.05, 0.005, 0.995, 0.995, wspace=0.03, hspace=0.03)
for i, line in enumerate(axes):
    line[0].text(-0.15, 0.5, f'{i}', transform=line[0].transAxes, ha='right', va='center')
    walk = start + steps * np.eye(len(start))[i]
    for axis, image in zip(line, transformer.inverse_transform(walk)):
        axis.imshow(image[:, 10:38, 10:38].transpose(1, 2, 0))
        axis.set_axis_off()
plt.show()

# sphinx_gallery_thumbnail_number = -1
