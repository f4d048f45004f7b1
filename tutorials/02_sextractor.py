# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A SExtractor catalogue and your own radii
=========================================

A cutout has the size of its galaxy: 5.12 petroR90 a side. So the radius matters more than any
other column. This tutorial takes a catalogue of SExtractor, turns its sizes into petroR90, and
shows what a wrong radius does.
"""

# %%
# The catalogue
# -------------
#
# You have one; here it is made by `SEP <https://sep.readthedocs.io>`_, the library of SExtractor's
# algorithms, and written as SExtractor writes it.

import tempfile
from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import sep
from astropy.io import fits
from astropy.table import Table

data = files('galvae_affiliated') / 'data'
image = fits.getdata(data / 'demo_field.fits', 'r').astype('f4')
background = sep.Background(image)
image -= background.back()
kernel = np.outer([1, 2, 1], [1, 2, 1])
found, segments = sep.extract(image, 3.0, err=background.rms(), minarea=20, deblend_cont=0.05,
                              filter_kernel=kernel, segmentation_map=True)
# pixels of neighbours are masked, as SExtractor does
own = {'segmap': segments, 'seg_id': np.arange(1, len(found) + 1)}
shape = [found[name] for name in ('x', 'y', 'a', 'b', 'theta')]
kron, _ = sep.kron_radius(image, *shape, 6.0, **own)
flux, _, _ = sep.sum_ellipse(image, *shape, 2.5 * kron, **own)
half, _ = sep.flux_radius(image, *shape[:2], 6.0 * found['a'], 0.5, normflux=flux, **own)

names = ['X_IMAGE', 'Y_IMAGE', 'FLUX_AUTO', 'A_IMAGE', 'B_IMAGE', 'KRON_RADIUS', 'FLUX_RADIUS']
units = ['pixel', 'pixel', 'count', 'pixel', 'pixel', '', 'pixel']
columns = [found['x'] + 1, found['y'] + 1, flux, found['a'], found['b'], 2.5 * kron, half]
large = found['npix'] > 100
path = Path(tempfile.mkdtemp()) / 'field.cat'
header = '\n'.join(f'{i:4d} {name:16s} {name.lower()} [{unit}]' if unit else
                   f'{i:4d} {name:16s} {name.lower()}'
                   for i, (name, unit) in enumerate(zip(names, units), 1))
np.savetxt(path, np.transpose(columns)[large], fmt='%11.4f', header=header, comments='#')
print(*path.read_text().splitlines()[:9], sep='\n')

# %%
# It is read by astropy. In the shell, ``--catalog field.cat`` reads it too.

catalog = Table.read(path, format='ascii.sextractor')
len(catalog)

# %%
# Sizes to petroR90
# -----------------
#
# `~galvae_affiliated.sources.convert_to_r90` knows how the sizes of SExtractor go with petroR90,
# from simulated galaxies, and how much this scatters. Give it all sizes that there are: their
# ratios tell how concentrated a galaxy is. ``FLUX_RADIUS`` alone must guess that.

from galvae_affiliated.sources import convert_to_r90

seeing = 4.2  # pixels: 1.1 arcsec
catalog['petro_r90'], scatter = convert_to_r90(
    flux_radius=catalog['FLUX_RADIUS'], a_image=catalog['A_IMAGE'], b_image=catalog['B_IMAGE'],
    kron_radius=catalog['KRON_RADIUS'], psf_fwhm=seeing * catalog['A_IMAGE'].unit)
print(f'scatter: {np.median(scatter / catalog["petro_r90"]):.0%}')

# %%
# Two ways
# --------
#
# A column ``petro_r90`` is used where there is one. Without it the radii are measured in the image.
# Positions named as SExtractor names them are known to count from one.

from galvae_affiliated import encode_catalog, open_field

field = open_field(str(data / 'demo_field.fits'), bands='g,r,z')
converted = encode_catalog(field, catalog)
measured = encode_catalog(field, catalog[[name for name in catalog.colnames
                                          if name != 'petro_r90']])

# %%
# The field is simulated, so the true radii are known. Both ways should lie near the line. Galaxies
# that are off by more than 30 per cent are named: SExtractor has cut the ring in pieces, so that
# its sizes are those of the bulge, and what belongs to a merging pair is a matter of taste.

truth = Table.read(data / 'demo_truth.ecsv')
distance = np.hypot(catalog['X_IMAGE'] - 1 - truth['x'].value[:, None],
                    catalog['Y_IMAGE'] - 1 - truth['y'].value[:, None])
truth, rows = truth[distance.min(axis=1) < 4], distance.argmin(axis=1)[distance.min(axis=1) < 4]
true = truth['petro_r90'].value

figure, axis = plt.subplots(figsize=(5, 4.5), layout='constrained')
ends = np.array([2.2, 20])
axis.plot(ends, ends, color='0.7')
axis.fill_between(ends, ends / 1.15, ends * 1.15, color='0.9', zorder=0)
for label, table, marker in (('from SExtractor', converted, 'o'), ('measured', measured, 's')):
    radius = table['galvae_radius'].quantity.to_value('arcsec')[rows]
    error = abs(radius / true - 1)
    axis.plot(true, radius, marker, alpha=0.7, label=label)
    for i in np.flatnonzero(error > 0.3):
        axis.annotate(truth['kind'][i], (true[i], radius[i]), xytext=(0, 6),
                      textcoords='offset points', ha='center', fontsize='small')
    print(f'{label:16s} median error {np.median(error):.1%}')
axis.set(xscale='log', yscale='log', xlabel='true petroR90 / arcsec', ylabel='petroR90 / arcsec',
         xticks=[3, 5, 10, 15], yticks=[3, 5, 10, 15], xlim=ends, ylim=ends)
for side in (axis.xaxis, axis.yaxis):
    side.set_major_formatter('{x:g}')
    side.set_minor_formatter('')
axis.legend()
plt.show()

# %%
# What a wrong radius does
# ------------------------
#
# The same galaxies at half of their measured radius, at that radius, and at twice of it. In
# training the size varied by about 15 per cent (the grey band above), so small errors do
# nothing. Half of the radius leaves the outer parts out; twice of it makes a small galaxy, with
# neighbours in the cutout and few pixels for its details. Compare the fractions down each column:
# twice does the more harm.

from galvae_affiliated import make_cutouts
from galvae_affiliated.plotting import plot_cutouts

kinds = ['spiral, tight', 'barred spiral', 'spiral, loose', 'edge-on, dust lane', 'ring',
         'smooth, round']
chosen = [rows[truth['kind'].tolist().index(kind)] for kind in kinds]
galaxies = measured[chosen]['X_IMAGE', 'Y_IMAGE', 'galvae_radius']
galaxies.rename_column('galvae_radius', 'measured')

figure, axes = plt.subplots(3, len(chosen), figsize=(9, 6.6), layout='constrained')
for line, factor in zip(axes, (0.5, 1.0, 2.0)):
    radius = factor * galaxies['measured'].quantity
    table = encode_catalog(field, galaxies, radius=radius)
    plot_cutouts(make_cutouts(field, galaxies, radius=radius), table, axes=line)
    line[0].text(-0.12, 0.5, f'{factor:g} petroR90', rotation=90, va='center', ha='center',
                 transform=line[0].transAxes)
plt.show()

# sphinx_gallery_thumbnail_number = -1
