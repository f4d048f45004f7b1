# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The ways of this package from a mosaic to a table: in memory, chunk by chunk, and over a Dask cluster.

What the classes of all paths share: they are made outside the measured time; ``table`` reads images and catalogue and
returns a table with a row a source, in the order of the catalogue; ``arrays`` makes cutouts as the path takes them and
is not measured; ``latents`` encodes those.
"""

import shutil
import tempfile
from pathlib import Path

from astropy.table import Table

from galvae_affiliated import LatentTransformer, encode_catalog, get_model
from galvae_affiliated.catalog import make_cutouts
from galvae_affiliated.streaming import stream_catalog


class Ours:
    """
    `~galvae_affiliated.encode_catalog`.

    Parameters
    ----------
    settings : dict
        ``model`` (name, file or None), ``device`` ('cpu' or 'cuda') and ``n_threads``.
    reconstruction : bool, optional
        Whether ``galvae_recon_chi2`` is wanted, as it is by default; the other paths deliver nothing like it.
    """

    def __init__(self, settings, reconstruction=True):
        self.settings, self.bundle = settings, get_model(settings['model'])
        self.options = {'reconstruction': reconstruction, 'device': settings['device']}
        self.transformer = LatentTransformer(self.bundle, device=settings['device'])

    def table(self, images, catalog, n_rows=None):
        """
        Encode.

        Parameters
        ----------
        images : dict of str to str
            Band to FITS file.
        catalog : str
            File of the catalogue.
        n_rows : int, optional
            Only so many of its first rows.

        Returns
        -------
        table : `~astropy.table.Table`
        """
        return encode_catalog(images, Table.read(catalog)[:n_rows], self.bundle, **self.options)

    def arrays(self, images, catalog, n_rows):
        """A `~galvae_affiliated.CutoutStack`."""
        return make_cutouts(images, Table.read(catalog), self.bundle, rows=slice(n_rows))

    def latents(self, arrays):
        """(N, n_latents) array."""
        return self.transformer.transform(arrays)


class Stream(Ours):
    """`~galvae_affiliated.streaming.stream_catalog` into Parquet; ``chunk`` of the settings is the rows of a chunk."""

    def __init__(self, settings, reconstruction=True):
        super().__init__(settings, reconstruction)
        self.folder = Path(tempfile.mkdtemp())

    def table(self, images, catalog, n_rows=None):
        """The path of the Parquet file, which is there until this object is closed."""
        path = self.folder / 'table.parquet'
        stream_catalog(images, Table.read(catalog)[:n_rows], path, self.bundle, chunk_size=self.settings['chunk'],
                       overwrite=True, **self.options)
        return path

    def close(self):
        """Remove the table."""
        shutil.rmtree(self.folder)


class Cluster(Ours):
    """
    `~galvae_affiliated.distributed.tiles.encode_fields` with as many workers as there are threads for the other paths.

    Each is a process with one thread. The catalogue is cut into a task a worker, as each task opens the images; the
    time of the tables' way back is in what is measured, and the start of the cluster is not.
    """

    TASKS_A_WORKER = 1

    def __init__(self, settings, reconstruction=True):
        from distributed import Client, LocalCluster

        super().__init__(settings, reconstruction)
        self.folder = tempfile.mkdtemp()
        self.n_workers = settings['n_threads']
        cluster = LocalCluster(n_workers=self.n_workers, threads_per_worker=1, processes=True, dashboard_address=None,
                               local_directory=self.folder)
        self.client = Client(cluster)

    def table(self, images, catalog, n_rows=None):
        """Encode; see `Ours`."""
        from galvae_affiliated.distributed.tiles import encode_fields

        sources = Table.read(catalog)[:n_rows]
        chunk = max(1, -(-len(sources) // (self.n_workers * self.TASKS_A_WORKER)))
        table, = encode_fields([(images, sources)], self.client, model=self.bundle, chunk_size=chunk, **self.options)
        return table

    def close(self):
        """Stop the workers."""
        self.client.cluster.close()
        self.client.close()
        shutil.rmtree(self.folder, ignore_errors=True)
