# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A survey by chunks, with Dask and LSDB
======================================

A survey does not fit in memory, and its run will be killed at least once. This tutorial writes a
table chunk by chunk, breaks off in the middle, goes on, and then spreads the same work over the
workers of Dask. The data are small here; nothing else would change.

This tutorial needs Dask (``pip install 'galvae_affiliated[dask]'``). Its first half does not.

.. only:: not_run_03_survey

    .. note:: This page was built without Dask, so that its code was not run.
"""

# %%
# Cutouts in a file
# -----------------
#
# Many surveys come as cutouts in Parquet files with the columns ``id_str`` and ``image``, the
# layout of the Galaxy Zoo sets. This one holds 400 painted galaxies.

import io
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from galvae_affiliated.simulation import paint_galaxies

galaxies = paint_galaxies(400, random_state=7)


def png(composite):
    buffer = io.BytesIO()
    Image.fromarray((255 * composite.transpose(1, 2, 0)).round().astype('u1')).save(buffer, 'PNG')
    return buffer.getvalue()


folder = Path(tempfile.mkdtemp())
pictures = [png(image) for image in galaxies.images]
pq.write_table(pa.table({'id_str': [f'J{i:04d}' for i in range(400)],
                         'ra': np.random.default_rng(0).uniform(150, 152, 400),
                         'image': [{'bytes': picture} for picture in pictures]}),
               folder / 'cutouts.parquet', row_group_size=100)

# %%
# Chunk by chunk
# --------------
#
# `~galvae_affiliated.stream_cutout_set` keeps the rows of one chunk in memory, and each finished
# chunk on the disk. Here the run is broken off after a third: an exception, a killed job and a
# node that went down are the same to it.
#
# ``already_scaled=True`` says that these cutouts are 5.12 petroR90 a side, so that no radius needs
# to be measured. For a field, `~galvae_affiliated.stream_catalog` takes images and a catalogue
# in the same way.

from galvae_affiliated import stream_cutout_set


class Killed(Exception):
    """What a queue does to jobs."""


def kill(done, total):
    if done > total / 3:
        raise Killed(f'killed after {done} of {total} rows')


def run(progress):
    return stream_cutout_set(folder / 'cutouts.parquet', folder / 'latents.parquet',
                             chunk_size=50, already_scaled=True, progress=progress)


try:
    run(kill)
except Killed as error:
    print(error)
print(*sorted(path.name for path in folder.iterdir()), sep='\n')

# %%
# The same call goes on after the last finished chunk. The folder with the parts is gone at the end,
# and the file is the one that an unbroken run would have written. Another call in its place, with
# other options or images, would be refused.

first = []
print(run(lambda done, total: first.append(done)), 'rows; this run began at row', first[0])
print(*sorted(path.name for path in folder.iterdir()), sep='\n')

# %%
# Reading a few columns
# ---------------------
#
# A Parquet file is read by column, so a question to a survey costs what its answer needs.

fractions = pq.read_table(folder / 'latents.parquet', columns=[
    'id_str', 'galvae_flags', 'smooth-or-featured_featured-or-disk_fraction',
    'disk-edge-on_yes_fraction'])
fractions.shape

# %%
# With Dask
# ---------
#
# `~galvae_affiliated.distributed.encode_partition` goes into the ``map_partitions`` of any data
# frame. ``partition_meta`` tells Dask the columns before the work. On a cluster, start a
# ``Client`` first, and send the model to the workers once: ``model =
# share_model(client=client)``.

import dask.dataframe as dd

from galvae_affiliated.distributed import encode_partition, partition_meta

frame = dd.read_parquet(folder / 'cutouts.parquet', split_row_groups=True)
options = {'already_scaled': True, 'reconstruction': False}
meta = partition_meta(frame, **options)
encoded = frame.map_partitions(encode_partition, meta=meta, **options)
encoded.to_parquet(folder / 'dask')
encoded.npartitions, len(encoded.columns)

# %%
# A catalogue of LSDB takes the same function, and keeps its sky coordinates and index, so
# that it can be crossmatched afterwards. This needs ``pip install lsdb``, and is not run here:
#
# .. code-block:: python
#
#     import lsdb
#
#     catalog = lsdb.open_catalog('hats/cutouts', columns=['ra', 'dec', 'id_str', 'image'])
#     encoded = catalog.map_partitions(encode_partition, already_scaled=True)
#     encoded.write_catalog('hats/latents', catalog_name='latents')
#
# The numbers are those of the streamed table:

together = dd.read_parquet(folder / 'dask').compute()
featured = together['smooth-or-featured_featured-or-disk_fraction'].to_numpy()
streamed = fractions['smooth-or-featured_featured-or-disk_fraction'].to_numpy()
print(f'largest difference: {np.max(abs(featured - streamed)):.1g}')

# %%
# The survey in one picture
# -------------------------
#
# Columns are bins of the predicted fraction of volunteers who would see features or a disc; each
# shows galaxies that were drawn at random from its bin. From left to right, smooth galaxies should
# give way to discs and spirals. If they do not, the images are not what the model expects: look at
# the unit, the order of the bands, and the radii.

good = (fractions['galvae_flags'].to_numpy() == 0) & np.isfinite(featured)
edges = np.linspace(0, 1, 11)
bins = np.digitize(featured, edges) - 1
rng = np.random.default_rng(3)

figure, axes = plt.subplots(4, 10, figsize=(9, 5.2), height_ratios=[1, 1, 1, 1.8])
figure.subplots_adjust(0.08, 0.1, 0.98, 1, wspace=0.02, hspace=0.02)
for column in range(10):
    rows = rng.permutation(np.flatnonzero(good & (bins == column)))[:3]
    for axis in axes[:3, column]:
        axis.set_axis_off()
    for axis, row in zip(axes[:3, column], rows):
        axis.imshow(Image.open(io.BytesIO(pictures[row])))
for axis in axes[3]:
    axis.remove()
histogram = figure.add_subplot(axes[3, 0].get_gridspec()[3, :])
histogram.hist(featured[good], bins=edges, rwidth=0.94, color='0.4')
histogram.set(xlim=(0, 1), ylabel='galaxies', yscale='log',
              xlabel='predicted fraction of "features or disc"')
histogram.spines[['top', 'right']].set_visible(False)
plt.show()
