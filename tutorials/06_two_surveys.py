# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Two surveys: other bands, other seeing
======================================

A model knows the survey that it was trained on. Another one has other bands, or one alone, and
other seeing and noise; latents of both are then not to be mixed without a look. This tutorial
asks first what one band loses, and then brings a second survey to the first with a
`~galvae_affiliated.surveys.SurveyAdapter`.
"""

# %%
# One band
# --------
#
# The field of the package in three bands, in two, and in r alone. The plan of the channels says
# what goes where, and rows of fewer than three bands have the flag ``FEW_BANDS``.

from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
from astropy.table import Table

from galvae_affiliated import encode_catalog, make_cutouts, open_field
from galvae_affiliated.plotting import plot_cutouts

data = files('galvae_affiliated') / 'data'
catalog = Table.read(data / 'demo_truth.ecsv')['x', 'y', 'petro_r90', 'kind']
fields = {bands: open_field(str(data / 'demo_field.fits'), bands=bands)
          for bands in ('g,r,z', 'g,z', 'r')}
tables = {bands: encode_catalog(field, catalog) for bands, field in fields.items()}
for bands, field in fields.items():
    print(f'{bands:6s} channels {field.plan.channels}')

# %%
# Compare the fractions down a column. What the shape tells stays as it is in one band; where color
# says something too, as of the irregular galaxy in the last column, the answers change. These
# galaxies are large and bright: small and faint ones lose more.

shown = [9, 14, 19, 23, 0, 25]
figure, axes = plt.subplots(3, len(shown), figsize=(9, 6.6), layout='constrained')
for line, bands in zip(axes, fields):
    plot_cutouts(make_cutouts(fields[bands], catalog[shown]), tables[bands][shown], axes=line)
    line[0].text(-0.12, 0.5, bands, rotation=90, va='center', ha='center',
                 transform=line[0].transAxes)
plt.show()

# %%
featured = {bands: np.array(table['smooth-or-featured_featured-or-disk_fraction'])
            for bands, table in tables.items()}
for bands in ('g,z', 'r'):
    change = abs(featured[bands] - featured['g,r,z'])
    print(f'{bands:4s} change of the fraction "features or disc": median {np.median(change):.3f}, '
          f'largest {change.max():.2f}')

# %%
# Another survey
# --------------
#
# 300 painted galaxies, and the same galaxies as a second survey sees them: its seeing is worse, its
# images are noisier, and its color balance is another. The first 60 are known to be in both, as a
# crossmatch would find.

from scipy.ndimage import gaussian_filter

from galvae_affiliated import add_latents
from galvae_affiliated.simulation import paint_galaxies

ours = paint_galaxies(300, ['smooth', 'edge-on', 'spiral', 'barred'], random_state=8).images
theirs = gaussian_filter(ours, (0, 0, 2.0, 2.0)) * np.array([1.0, 0.85, 0.7])[:, None, None]
theirs = np.clip(theirs + np.random.default_rng(0).normal(0.02, 0.025, ours.shape), 0, 1)
names = Table({'id_str': [f'J{i:03d}' for i in range(300)]})
source, target = (add_latents(names, images.astype('f4'), reconstruction=False)
                  for images in (ours, theirs))

# %%
# The adapter is a linear map of latents. Half of the galaxies fit it, and the others say whether it
# helps. Read the verdict first: a map that is of no use changes nothing, and cannot be saved.

from galvae_affiliated.surveys import SurveyAdapter

adapter = SurveyAdapter.fit(source, target, pairs=np.column_stack([np.arange(60)] * 2))
print(adapter)

# %%
# ``adapter.save('gz2-sdss-v3', 'theirs.galvae', 'their survey')`` makes a model of it, for
# ``galvae encode --model theirs.galvae``. Where a linear map is not enough, ``galvae adapt``
# trains the encoder itself.
#
# Before and after
# ----------------
#
# Galaxies that were not given as pairs, in the plane of the first two principal components of the
# first survey. A line leads from a galaxy in the first survey (grey) to itself in the second
# (colored). Before, neighbouring lines are parallel: that is what the surveys differ by, and it is
# not the same for all kinds. After, the lines are short and point anywhere. The table above is the
# measure: it is of galaxies left out.

from galvae_affiliated import get_latents

first, second = get_latents(source), get_latents(target)
mean = first.mean(axis=0)
axes_of = np.linalg.svd(first - mean, full_matrices=False)[2][:2].T
rows = np.arange(60, 300)

figure, axes = plt.subplots(1, 3, figsize=(10, 4), width_ratios=[0.55, 1, 1], layout='constrained')
pairs = np.concatenate([np.concatenate([survey[row].transpose(1, 2, 0)[20:108, 20:108]
                                        for survey in (ours, theirs)], axis=1)
                        for row in (61, 64, 70, 72)])
axes[0].imshow(pairs)
axes[0].set_axis_off()
axes[0].set_title('ours, theirs', fontsize='medium')
for axis, latents, title, color in ((axes[1], second, 'before', 'C1'),
                                    (axes[2], adapter.transform(second), 'after', 'C2')):
    here, there = ((values[rows] - mean) @ axes_of for values in (first, latents))
    axis.plot(*np.stack([here, there]).transpose(2, 0, 1), color='0.8', linewidth=0.7, zorder=0)
    axis.plot(*here.T, '.', color='0.5', markersize=4, label='first survey')
    axis.plot(*there.T, '.', color=color, markersize=4, label='second survey')
    distance = np.median(np.linalg.norm(first[rows] - latents[rows], axis=1))
    axis.set_title(f'{title}: median distance {distance:.2f}', fontsize='medium')
    axis.set(xlabel='first component')
    axis.legend(fontsize='small', loc='best')
axes[1].set_ylabel('second component')
limits = np.array([[axis.get_xlim(), axis.get_ylim()] for axis in axes[1:]])
for axis in axes[1:]:
    axis.set(xlim=(limits[:, 0].min(), limits[:, 0].max()),
             ylim=(limits[:, 1].min(), limits[:, 1].max()))
plt.show()

# sphinx_gallery_thumbnail_number = -1
