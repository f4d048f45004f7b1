# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Two coordinates of each galaxy, so that like is next to like; new ones on an old map."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galvae_affiliated._atomic import check_output, replacing
from galvae_affiliated.exceptions import ModelMismatchError
from galvae_affiliated.explore._columns import explore_columns
from galvae_affiliated.explore._latents import Metric, fit_metric, read_latents, spread
from galvae_affiliated.explore._nearest import nearest_rows
from galvae_affiliated.models._column import Column
from galvae_affiliated.tables.columns import check_column_names, with_columns

__all__ = ['LatentMap', 'add_map']

MAP_METHODS = ('pca', 'tsne', 'umap')
NAMES = ('galvae_map_x', 'galvae_map_y')
# of each method: module, package, and the extra that brings it
PACKAGES = {'tsne': ('openTSNE', 'openTSNE', 'map'), 'umap': ('umap', 'umap-learn', 'umap')}
MAX_FITTED = 10_000
LEAST_CLEAN = 30
# fitted rows between which a new one is placed
N_NEIGHBORS = 10
BLOCK = 65536
VERSION = 1


@dataclass(frozen=True)
class LatentMap:
    """
    A map of latents; `fit` and `load` make one.

    Attributes
    ----------
    model_id : str
        Model of the latents.
    method : {'pca', 'tsne', 'umap'}
    metric : Metric
    anchors : (n_anchors, n_coordinates) float32 array
        The rows that were fitted; empty for a linear map.
    layout : (n_anchors, 2) array
        Their places; (n_coordinates, 2) directions of a linear map.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galvae_affiliated.explore import LatentMap
    >>> latent = np.random.default_rng(0).normal(size=(200, 40)).astype('f4')
    >>> table = Table({'galvae_latent': latent})
    >>> fitted = LatentMap.fit(table, 'gz2-sdss-v3')
    >>> fitted.transform(latent[:5]).shape
    (5, 2)
    """

    model_id: str
    method: str
    metric: Metric
    anchors: np.ndarray
    layout: np.ndarray

    @classmethod
    def fit(cls, table, model=None, *, method='pca', metric=None, max_fitted=MAX_FITTED,
            random_state=0):
        """
        Make a map of the rows of a table that have no flags.

        Parameters
        ----------
        table : `~astropy.table.Table` or ``pandas.DataFrame``
            With latents.
        model : `~galvae_affiliated.ModelBundle`, str or path, optional
            That the latents must be of; None takes the one that the table states.
        method : {'pca', 'tsne', 'umap'}, optional
            'pca', the two directions in which the latents vary most; 'tsne' of openTSNE, or 'umap',
            UMAP of umap-learn, which keep neighbours together, and need the extras ``map``
            and ``umap``.
        metric : {'errors', 'white', 'standard'}, optional
            See `~galvae_affiliated.explore.SimilarityIndex.build`.
        max_fitted : int, optional
            Rows, evenly spaced, that are laid out; all others are placed between these.
        random_state : int, optional
            Of the layout.

        Returns
        -------
        map : `LatentMap`

        Raises
        ------
        KeyError, ModelMismatchError, ValueError
            If there are no latents, they are of another model, or there are too few.
        ImportError
            If the library of the method is not installed.
        """
        return cls._fit(read_latents(table, model), method, metric, max_fitted, random_state)

    @classmethod
    def _fit(cls, latents, method, metric=None, max_fitted=MAX_FITTED, random_state=0):
        if method not in MAP_METHODS:
            raise ValueError(f'the method is {method!r}; expected one of '
                             f'{", ".join(MAP_METHODS)}')
        latents.check_enough(LEAST_CLEAN, 'a map')
        fitted = fit_metric(latents, metric)
        rows = spread(np.flatnonzero(latents.clean), max_fitted)
        place = fitted(latents.latent[rows])
        if method == 'pca':
            return cls(latents.model.id, method, fitted, place[:0], _main_directions(place))
        layout = LAYOUTS[method](place, random_state)
        return cls(latents.model.id, method, fitted, place, np.asarray(layout, dtype=float))

    def transform(self, latent):
        """
        Places on the map.

        Parameters
        ----------
        latent : (N, n_latents) array
            Of the map's model.

        Returns
        -------
        places : (N, 2) float array
            NaN where there are no latents. A row that was not fitted is placed between the
            ten nearest that were, weighted by one over the squared distance.
        """
        latent = np.asarray(latent)
        places = np.full((len(latent), 2), np.nan)
        measured = np.flatnonzero(np.isfinite(latent).all(axis=1))
        for start in range(0, len(measured), BLOCK):
            rows = measured[start : start + BLOCK]
            places[rows] = self._placed(self.metric(latent[rows]))
        return places

    def save(self, path, *, overwrite=False):
        """
        Write the map to a file.

        Parameters
        ----------
        path : str or path
            NumPy's ``.npz``.
        overwrite : bool, optional
            Replace the file.

        Raises
        ------
        FileExistsError
            If the file exists.
        """
        check_output(path, overwrite)
        about = {'version': VERSION, 'model': self.model_id, 'method': self.method,
                 'metric': self.metric.name}
        with replacing(path) as unfinished, open(unfinished, 'wb') as file:
            np.savez(file, about=json.dumps(about), mean=self.metric.mean,
                     matrix=self.metric.matrix, anchors=self.anchors, layout=self.layout)

    @classmethod
    def load(cls, path):
        """
        Read a map that was saved.

        Parameters
        ----------
        path : str or path

        Returns
        -------
        map : `LatentMap`

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is no map, or of a newer version.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f'{path}: there is no such file')
        try:
            with np.load(path, allow_pickle=False) as file:
                about = json.loads(str(file['about']))
                arrays = {name: file[name] for name in ('mean', 'matrix', 'anchors', 'layout')}
            version = about['version']
        except (OSError, ValueError, KeyError, TypeError, EOFError):
            raise ValueError(f'{path}: this is not a map of latents') from None
        if version != VERSION:
            raise ValueError(f'{path}: the map has version {version}; expected {VERSION}')
        metric = Metric(about['metric'], arrays['mean'], arrays['matrix'])
        return cls(about['model'], about['method'], metric, arrays['anchors'], arrays['layout'])

    def _placed(self, place):
        if len(self.anchors) == 0:
            return place.astype(float) @ self.layout
        k = min(N_NEIGHBORS, len(self.anchors))
        distance, near = nearest_rows(place, [(0, self.anchors, None)], k)
        # a row that was fitted has a distance of zero to itself, and so its own place
        weight = 1.0 / np.maximum(distance, 1e-6) ** 2
        return np.einsum('ij,ijk->ik', weight / weight.sum(axis=1, keepdims=True),
                         self.layout[near])


def add_map(table, model=None, *, fitted=None, overwrite=False, **options):
    """
    Add two coordinates to a table in which similar galaxies are close.

    Parameters
    ----------
    table : `~astropy.table.Table` of N rows
        With latents. Not changed.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        That the latents must be of; None takes the one that the table states.
    fitted : `LatentMap`, optional
        An old map to place the rows on; None makes one.
    overwrite : bool, optional
        Replace columns of the same names.
    **options
        Those of `LatentMap.fit`.

    Returns
    -------
    table : `~astropy.table.Table`
        A new table with ``galvae_map_x`` and ``galvae_map_y``, masked where there are no
        latents.

    Raises
    ------
    KeyError, ModelMismatchError, ValueError, ImportError
        See `LatentMap.fit`; or if the columns exist, or the map is of another model.
    TypeError
        For options beside a map that was fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galvae_affiliated.explore import add_map
    >>> latent = np.random.default_rng(0).normal(size=(200, 40)).astype('f4')
    >>> table = Table({'galvae_latent': latent})
    >>> add_map(table, 'gz2-sdss-v3').colnames
    ['galvae_latent', 'galvae_map_x', 'galvae_map_y']
    """
    check_column_names(table, NAMES, overwrite=overwrite)
    latents = read_latents(table, model)
    if fitted is None:
        fitted = LatentMap._fit(latents, **{'method': 'pca', **options})
    elif options:
        raise TypeError(f'a map that was fitted has its options; got {", ".join(options)}')
    if fitted.model_id not in latents.model.same_latents:
        raise ModelMismatchError(f'the map is of the model {fitted.model_id}; the latents are '
                                 f'of {latents.model.id}')
    places = fitted.transform(latents.latent).astype(np.float32)
    columns = [Column(name, values, f'map by {fitted.method}', 'src.morph.param')
               for name, values in zip(NAMES, places.T)]
    about = {'method': fitted.method, 'metric': fitted.metric.name,
             'fitted_rows': len(fitted.anchors) or int(latents.clean.sum())}
    return with_columns(table, explore_columns(columns, latents.model, **about),
                        overwrite=overwrite)


def _main_directions(place):
    """(n_coordinates, 2) directions of the largest variance, in a sense that is fixed."""
    _, _, vectors = np.linalg.svd(place - place.mean(axis=0), full_matrices=False)
    directions = vectors[:2].T.astype(float)
    largest = np.abs(directions).argmax(axis=0)
    return directions * np.sign(directions[largest, [0, 1]])


def _tsne_layout(place, random_state):
    library = _library('tsne')
    perplexity = min(30.0, (len(place) - 1) / 3.0)
    return library.TSNE(n_components=2, perplexity=perplexity, initialization='pca',
                        random_state=random_state).fit(place)


def _umap_layout(place, random_state):
    library = _library('umap')
    return library.UMAP(n_components=2, random_state=random_state,
                        n_jobs=1).fit_transform(place)


def _library(method):
    """The module of a method, or an error that says how to get it."""
    import importlib

    module, package, extra = PACKAGES[method]
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImportError(f"method={method!r} needs {package}: "
                          f"pip install 'galvae_affiliated[{extra}]'") from None


LAYOUTS = {'tsne': _tsne_layout, 'umap': _umap_layout}
