# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Galaxies on demand, and a simulated field
=========================================

A model that holds the density of its latents can draw galaxies that nobody saw, of the kind that
you ask for. Put into a field with noise and seeing they tell what a survey would recover.

This tutorial needs `GalSim <https://galsim-developers.github.io/GalSim>`_ (``pip install
'galvae_affiliated[simulate]'``).

.. only:: not_run_07_simulated_field

    .. note:: This page was built without GalSim, so that its code was not run.
"""

# %%
# Galaxies on demand
# ------------------
#
# ``answers`` says what the volunteers would have to say; the questions that lead there are answered
# too. Latents are drawn until the model's own heads agree. Look at what they have in common down
# each line, and how they differ along it. Latents hold no knots and no noise: the decoder that
# draws here has learnt to invent them from random numbers.

import matplotlib.pyplot as plt
import numpy as np

from galvae_affiliated import get_model

model = get_model()
wanted = {'anything': None,
          'round': {'how-rounded': 'round'},
          'edge-on': {'disk-edge-on': 'yes'},
          'arms': {'has-spiral-arms': 'yes'},
          'merger': {'odd-feature': 'merger'}}

figure, axes = plt.subplots(len(wanted), 10, figsize=(9, 4.8))
figure.subplots_adjust(0.09, 0.01, 0.995, 0.99, wspace=0.04, hspace=0.04)
for line, (name, answers) in zip(axes, wanted.items()):
    drawn = model.generate(10, random_state=3, answers=answers)
    line[0].text(-0.1, 0.5, name, transform=line[0].transAxes, ha='right', va='center')
    for axis, image in zip(line, drawn.images):
        axis.imshow(image.transpose(1, 2, 0))
        axis.set_axis_off()
plt.show()

# %%
# A field
# -------
#
# `~galvae_affiliated.simulation.simulate_field` draws galaxies into images in nanomaggies, with a
# PSF and noise of your choice: here a piece of a ground-based survey of 1.2 arcsec seeing. A
# catalogue of your own can say where which galaxy is; this one is drawn at random.

from galvae_affiliated.simulation import random_catalog, simulate_field

shape, pixel_scale, seeing = (700, 1000), 0.262, 1.2
catalog = random_catalog(90, shape, pixel_scale=pixel_scale, magnitudes=(15.5, 19.5),
                         random_state=3)
simulated = simulate_field(catalog, model, shape=shape, pixel_scale=pixel_scale, psf_fwhm=seeing,
                           noise=0.008, random_state=3)
simulated.truth.colnames

# %%
# As if it were observed
# ----------------------
#
# The images go the way of any others. Without a catalogue the sources are detected, and their radii
# measured.

from galvae_affiliated import encode_catalog, open_field

field = open_field(simulated.images, unit='nmgy', pixel_scale=pixel_scale)
table = encode_catalog(field, psf_fwhm=seeing)
truth = simulated.truth
distance = np.hypot(truth['x'][:, None] - table['x_centroid'], truth['y'][:, None]
                    - table['y_centroid'])
nearest, found = distance.argmin(axis=1), distance.min(axis=1) < 3
print(f'{found.sum()} of {len(truth)} galaxies found; {len(table)} sources detected')

# %%
# What comes back
# ---------------
#
# Above the field as it was observed, with the sources that were detected. Below on the left, the
# measured radius over the true one: near one for bright galaxies, and larger where the seeing
# blurs a small one. On the right, the fraction of volunteers who would see features or a disc: what
# the model says of the observed galaxies, against what it says of the latents that they were drawn
# from. On the line nothing is lost. Most of what was drawn as smooth comes back as smooth. What was
# drawn with features lies lower: seeing and noise hide some of the arms. What lies far above the
# line has a neighbour in its cutout, and most of it a flag.
# So take such a field to test detection, radii, flags and blends, and to ask at which seeing arms
# are still seen.

from galvae_affiliated import Engine
from galvae_affiliated.models import predict_votes
from galvae_affiliated.plotting import plot_field

figure = plt.figure(figsize=(9, 10.5), layout='constrained')
grid = figure.add_gridspec(2, 2, height_ratios=[1.9, 1])
above = plot_field(field, table, ax=figure.add_subplot(grid[0, :]))
above.set(xlabel='x / pixels', ylabel='y / pixels')
left, right = (figure.add_subplot(grid[1, column]) for column in (0, 1))

observed, true = table[nearest[found]], truth[found]
clean = np.array(observed['galvae_flags']) == 0
ratio = np.array(observed['galvae_radius'] / true['petro_r90'].value)
name = 'smooth-or-featured_featured-or-disk_fraction'
drawn = predict_votes(true['galvae_latent'], model, Engine()).fractions['smooth-or-featured'][:, 1]
for rows, color, label in ((~clean, 'gold', 'with flags'), (clean, 'tab:green', 'without flags')):
    left.plot(true['mag'].value[rows], ratio[rows], 'o', color=color, label=label)
    right.plot(drawn[rows], np.array(observed[name])[rows], 'o', color=color, label=label)
left.axhline(1, color='0.7', zorder=0)
right.plot([0, 1], [0, 1], color='0.7', zorder=0)
left.set(xlabel='r magnitude', ylabel='measured petroR90 / true', yscale='log')
left.set_yticks([0.5, 1, 2, 4], ['0.5', '1', '2', '4'])
left.minorticks_off()
right.set(xlabel='fraction "features or disc" as drawn', ylabel='as observed', xlim=(0, 1),
          ylim=(0, 1))
left.legend()
plt.show()

# sphinx_gallery_thumbnail_number = -1
