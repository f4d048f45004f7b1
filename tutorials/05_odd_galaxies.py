# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Odd galaxies, and galaxies like one
===================================

Two questions that need no labels: which galaxies of a survey are like no others, and which are like
this one? Both are asked of the latents, and take seconds where looking at all pictures would take
days.
"""

# %%
# A survey with something in it
# -----------------------------
#
# 300 painted galaxies of common kinds, and eight that are none of these: three mergers, two pairs
# of ellipticals, a ring, a gravitational arc, and a galaxy that a satellite crossed. Nobody tells
# the package which they are.

import matplotlib.pyplot as plt
import numpy as np
from astropy.table import Table

from galvae_affiliated import add_latents, add_morphology
from galvae_affiliated.simulation import paint_galaxies

common = paint_galaxies(300, ['smooth', 'edge-on', 'spiral', 'barred'], random_state=5).images
rare = paint_galaxies(8, ['merging'] * 3 + ['smooth'] * 4 + ['ring'], random_state=1).images
names = ['merger', 'merger', 'merger', 'pair', 'pair', 'arc', 'trail', 'ring']
for i, shift in ((3, (18, 20)), (4, (25, -15))):
    rare[i] += 0.8 * np.roll(rare[i], shift, axis=(1, 2))
y, x = np.mgrid[:128, :128] - 63.5
arc = np.exp(-((np.hypot(x, y) - 27) / 2) ** 2 - (np.arctan2(y, x) / 0.8) ** 2)
rare[5] += arc * np.reshape([0.25, 0.4, 0.7], (3, 1, 1))
rare[6] += 0.6 * np.exp(-((0.5 * x + y - 20) / 1.5) ** 2)

images = np.concatenate([common, rare.clip(0, 1)])
shuffled = np.random.default_rng(0).permutation(len(images))
images = images[shuffled]
table = Table({'id_str': [f'J{i:03d}' for i in range(len(images))]})
table = add_morphology(add_latents(table, images))

# %%
# Odd ones
# --------
#
# ``galvae_outlier_score`` is minus the logarithm of the share of galaxies that are as odd: 2 is one
# in a hundred. The reason names the latents in which a galaxy differs most from its neighbours, in
# units of their errors. ``votes=()`` lets the latents alone decide; without it, the predicted
# fraction of volunteers who would find something odd counts too, which is better for mergers, and
# worse for what no volunteer was asked, such as trails.

from galvae_affiliated.explore import add_outlier_scores

table = add_outlier_scores(table, votes=())
table['number'] = shuffled - len(common)  # of those that were put in; below zero for the others
ranked = table[np.argsort(-table['galvae_outlier_score'])]
for row in ranked[:4]:
    print(f'{row["galvae_outlier_score"]:.1f} {row["id_str"]}: {row["galvae_outlier_reason"]}')

# %%
# The twelve oddest. Those that were put in have an orange frame; the others are spirals that are
# extreme among these, as some galaxies must be. The list says where all eight are: what is found
# within the first tenth of a table needs a tenth of the looking.

for place, row in enumerate(ranked, 1):
    if row['number'] >= 0:
        print(f'{place:4d} of {len(table)}: {names[row["number"]]}')

figure, axes = plt.subplots(2, 6, figsize=(9, 3.6), layout='constrained')
for axis, row in zip(axes.flat, ranked):
    axis.imshow(images[int(row['id_str'][1:])].transpose(1, 2, 0))
    axis.set(xticks=[], yticks=[])
    is_rare = row['number'] >= 0
    name = names[row['number']] if is_rare else ''
    axis.set_title(f'{row["galvae_outlier_score"]:.1f} {name}', fontsize=9)
    axis.spines[:].set(color='orange', linewidth=3, visible=is_rare)
plt.show()

# %%
# Galaxies like one
# -----------------
#
# An index of the latents answers in milliseconds, also for surveys that do not fit in memory. It is
# asked for galaxies like a barred spiral, an edge-on one, and one of the pairs. Orientation counts
# for little. A galaxy that has no like finds what is least unlike, so look at the distances too, in
# the table that ``query`` returns.

from galvae_affiliated.explore import SimilarityIndex

index = SimilarityIndex.build(table)
edge_on = int(np.argmax(table['disk-edge-on_reach_fraction'] * table['disk-edge-on_yes_fraction']))
barred = int(np.argmax(table['bar_reach_fraction'] * table['bar_yes_fraction']))
pair = int(np.flatnonzero(table['number'] == 3)[0])

figure, axes = plt.subplots(3, 8, figsize=(9, 3.6), layout='constrained')
for line, row in zip(axes, (barred, edge_on, pair)):
    found = index.query(table['id_str'][row], n=7)
    for axis, neighbor in zip(line, [row, *found['row']]):
        axis.imshow(images[neighbor].transpose(1, 2, 0))
        axis.set_axis_off()
axes[0, 0].set_title('like this:', fontsize=9)
axes[0, 1].set_title('nearest', fontsize=9)
plt.show()

# %%
# A map
# -----
#
# The first two principal components of the latents, with a picture at each place that is not taken
# yet. Kinds lie side by side. The oddest galaxies (orange) lie between the kinds, or where others
# are in this plane and far from them in other latents: distances on a map mean little. Look at it,
# and measure with the latents.

from galvae_affiliated.explore import add_map

table = add_map(table, method='pca')
places = np.column_stack([table[name].filled(np.nan) for name in table.colnames
                          if name.startswith('galvae_map')][:2])
low, high = np.nanpercentile(places, [1, 99], axis=0)
places = (places - low) / (high - low)
oddest = [int(name[1:]) for name in ranked['id_str'][:8]]

figure, axis = plt.subplots(figsize=(9, 6), layout='constrained')
axis.set(xlim=(-0.06, 1.06), ylim=(-0.06, 1.06), facecolor='#050505', xticks=[], yticks=[],
         xlabel='first component', ylabel='second component')
size, drawn = np.array([0.026, 0.039]), []
for row in [*oddest, *range(len(images))]:
    here = places[row]
    if np.isfinite(here).all() and all(np.any(abs(here - other) > 1.5 * size) for other in drawn):
        (left, bottom), (right, top) = here - size, here + size
        axis.imshow(images[row][:, 32:96, 32:96].transpose(1, 2, 0),
                    extent=(left, right, bottom, top), zorder=2)
        axis.add_patch(plt.Rectangle((left, bottom), *(2 * size), fill=False, edgecolor='orange',
                                     linewidth=2, zorder=3, visible=row in oddest))
        drawn.append(here)
axis.set_aspect('auto')
plt.show()

# sphinx_gallery_thumbnail_number = -1
