# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A field: from images to a table with photutils
==============================================

Three images of one field become a table of morphologies. The sources are found with photutils,
as in any other project; this package adds its columns to that catalogue.

The field is the one that comes with the package: a simulated piece of sky in g, r and z with 26
large galaxies of known kinds, faint ones, and stars.
"""

# %%
# Images
# ------
#
# `~galvae_affiliated.open_field` reads the bands, brings them to one grid and one unit, and
# measures their sky and noise. It does so once, for all calls that follow. Units and pixel scale
# are in the headers of these files; images without any say them here (``unit``, ``zero_point``,
# ``pixel_scale``).

from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
from astropy.table import Table

from galvae_affiliated import open_field

data = files('galvae_affiliated') / 'data'
field = open_field(str(data / 'demo_field.fits'), bands='g,r,z')
field.shape, field.pixel_scale, field.plan.channels

# %%
# Sources
# -------
#
# Any catalogue with positions will do. Here photutils finds what is three times brighter than
# the noise, and separates what touches. The contrast of deblending matters: with photutils' own
# 0.001 each knot of a spiral becomes a source. At 0.3 the knots stay in their galaxies, and
# neighbours are still told apart.

from astropy.convolution import convolve
from astropy.io import fits
from astropy.wcs import WCS
from photutils.background import Background2D
from photutils.segmentation import (
    SourceCatalog,
    deblend_sources,
    detect_sources,
    make_2dgaussian_kernel,
)

with fits.open(data / 'demo_field.fits') as hdus:
    image, wcs = hdus['r'].data.astype(float), WCS(hdus['r'].header)
background = Background2D(image, 86)
image -= background.background
smooth = convolve(image, make_2dgaussian_kernel(3.0, size=5))
segments = detect_sources(smooth, 3.0 * background.background_rms, 20)
segments = deblend_sources(smooth, segments, 20, contrast=0.3, progress_bar=False)
sources = SourceCatalog(image, segments, convolved_data=smooth, wcs=wcs)
len(sources)

# %%
# One call
# --------
#
# The catalogue of photutils goes in as it is. A row comes back for each source, in the same order,
# with the columns of photutils first. The radii are measured, since photutils does not know the
# one that sets the size of a cutout (petroR90).

from galvae_affiliated import encode_catalog

table = encode_catalog(field, sources)
some = table['label', 'galvae_radius', 'smooth-or-featured_answer', 'bar_yes_fraction'][:5]
some.round(2)
some

# %%
# What can be trusted
# -------------------
#
# ``galvae_flags`` says what speaks against a row. Most sources of a field are too faint or too
# small for a morphology, and stars have none.

from galvae_affiliated import describe_flags

names, counts = np.unique([name for flags in table['galvae_flags']
                           for name in describe_flags(flags)], return_counts=True)
Table({'flag': names, 'sources': counts})

# %%
# In the picture, sources without a flag are green and the others yellow; a red one would have no
# latents. The circles are petroR90. Look for two circles on one galaxy, and for circles that are
# too large or beside the light: such rows have a wrong cutout, and so a wrong morphology. Here
# the merging pair is in two pieces, and two faint sources beside the largest spiral got radii
# that are far too large. Both have the flag ``RADIUS_UNCERTAIN``.

from galvae_affiliated.plotting import plot_field

ax = plot_field(field, table)
ax.figure.set_size_inches(7, 7)

# %%
# The galaxies
# ------------
#
# The largest sources without flags, as the network sees them, with the likeliest answers down the
# tree of Galaxy Zoo 2. All have the same size in their cutouts. Read the captions against the
# pictures: whether the arms and bars are there, and how the fractions fall where it is
# hard to say.

from galvae_affiliated import make_cutouts
from galvae_affiliated.plotting import plot_cutouts

clean = table[table['galvae_flags'] == 0]
largest = clean[np.argsort(clean['galvae_radius'])[::-1][:16]]
# the columns of positions and radii are those of the table
cutouts = make_cutouts(field, largest, radius='galvae_radius')

figure, axes = plt.subplots(2, 8, figsize=(11, 4.3), layout='constrained')
plot_cutouts(cutouts, largest, axes=axes)
plt.show()

# %%
# The table is an astropy table like any other:
#
# .. code-block:: python
#
#     table.write('galaxies.parquet')
#
# In the shell the same is ``galvae encode g.fits r.fits z.fits --bands g,r,z --catalog
# sources.fits -o galaxies.parquet``.
#
# sphinx_gallery_thumbnail_number = 2
