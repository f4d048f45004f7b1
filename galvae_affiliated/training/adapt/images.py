# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The galaxies of two surveys as a model sees them."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from galvae_affiliated._batches import row_slices
from galvae_affiliated.cutouts.sets import open_cutout_set
from galvae_affiliated.training.data.dataset import as_composites
from galvae_affiliated.training.networks.noise import noise_level
from galvae_affiliated.training.networks.preprocess import Preprocess, Rendering

__all__ = ['SurveyImages', 'check_target', 'read_survey']

logger = logging.getLogger(__name__)
CHUNK = 256  # cutouts rendered at a time
LEAST_GALAXIES = 100  # fewer say too little of a survey's distribution to hold some out
INNER, OUTER = 0.2, 0.4  # radii in sides of the image, of the galaxy's light and of what is around
LEAST_SIGNIFICANCE = 10.0  # of that light over the noise of the pixels
LEAST_WITH_LIGHT = 0.5  # share of a set
MOST_SHARED = 0.5  # share of a target's images that may be the source's too


@dataclass(frozen=True)
class SurveyImages:
    """
    Galaxies of one survey, rendered to what the model was trained on.

    Attributes
    ----------
    images : (N, grid, grid, 3) uint8 array
        Red, green, blue.
    ids : (N,) array of str
    name : str
        Of the set, for messages and the manifest.
    n_left_out : int
        Rows of the set that have no image that could be used.
    """

    images: np.ndarray
    ids: np.ndarray
    name: str = ''
    n_left_out: int = 0

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, rows):
        return SurveyImages(self.images[rows], self.ids[rows], self.name, self.n_left_out)

    def composites(self, rows=slice(None)):
        """(M, 3, grid, grid) float tensor in [0, 1] of some rows."""
        return as_composites(torch.from_numpy(np.array(self.images[rows])))


def read_survey(cutouts, model, *, split_column=None, split=None, max_galaxies=None, keep=(),
                random_state=0, name=None, **options):
    """
    Read and render the galaxies of a survey.

    Parameters
    ----------
    cutouts : str, path, `SurveyImages` or `~galvae_affiliated.cutouts.CutoutSource`
        A Parquet file or a folder of FITS cutouts, as
        `~galvae_affiliated.encode_cutout_set` takes them; or what has the cutouts already.
    model : `~galvae_affiliated.ModelBundle`
    split_column, split : str, optional
        Only the rows of a Parquet file where this column says so.
    max_galaxies : int, optional
        Of more, so many are drawn.
    keep : sequence of str, optional
        Identifiers of galaxies that are among them, as far as the set has them.
    random_state : int, optional
    name : str, optional
        Of the set; None takes the file's.
    **options
        Of `~galvae_affiliated.cutouts.open_cutout_set`.

    Returns
    -------
    survey : `SurveyImages`
        Without the rows that have no image of a galaxy; how many is logged.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such set, column or split.
    """
    if isinstance(cutouts, SurveyImages):
        _check_grid(cutouts.images, model)
        return cutouts
    path = Path(cutouts) if isinstance(cutouts, (str, Path)) else None
    source = cutouts if path is None else open_cutout_set(path, model.frame, **options)
    wanted = np.ones(len(source), dtype=bool)
    if split_column is not None:
        wanted = _rows_of_split(path, split_column, split)
    rows = np.flatnonzero(wanted)
    if max_galaxies is not None and len(rows) > max_galaxies:
        rows = _drawn_rows(rows, source, max_galaxies, set(keep), random_state)
    name = name or (path.name if path is not None else type(source).__name__)
    return _rendered(source, rows, model, name)


def _drawn_rows(rows, source, n_rows, keep, random_state):
    """So many of the rows: those that are kept in any case, and others at random."""
    rows = np.random.default_rng(random_state).permutation(rows)
    if keep:
        names = source.ids(slice(0, len(source))) or []
        kept = np.array([row < len(names) and names[row] in keep for row in rows])
        rows = np.concatenate([rows[kept], rows[~kept]])
    return np.sort(rows[:n_rows])


def _rows_of_split(path, column, split):
    """(N,) bool: rows of a Parquet file where a column says ``split``."""
    if path is None or not path.is_file():
        raise ValueError('a column of splits is one of a Parquet file; this set has none')
    schema = pq.read_schema(path)
    if column not in schema.names:
        raise ValueError(f'{path}: there is no column {column!r}; there are '
                         f'{", ".join(schema.names[:12])}')
    values = np.array([str(value) for value in
                       pq.read_table(path, columns=[column])[column].to_pylist()])
    rows = values == str(split)
    if not rows.any():
        raise ValueError(f'{path}: column {column!r} nowhere says {split!r}; it has '
                         f'{", ".join(sorted(set(values))[:8])}')
    return rows


def _rendered(source, rows, model, name):
    """`SurveyImages` of some rows of a `~galvae_affiliated.cutouts.CutoutSource`."""
    render = _Renderer(model)
    images = np.empty((len(rows), model.grid, model.grid, 3), dtype=np.uint8)
    ids, n = [], 0
    chunks = [piece for piece in row_slices(len(source), CHUNK)
              if ((rows >= piece.start) & (rows < piece.stop)).any()]
    for piece, stack in zip(chunks, source.stacks(chunks)):
        own = rows[(rows >= piece.start) & (rows < piece.stop)] - piece.start
        own = own[stack.measured[own]]
        names = source.ids(piece) or [str(i) for i in range(piece.start, piece.stop)]
        images[n:n + len(own)] = render(stack[own])
        ids += [str(names[i]) for i in own]
        n += len(own)
    if n < len(rows):
        logger.warning('%s: %d of %d rows have no image of a galaxy that could be brought to the '
                       'scale of the model, and are left out', name, len(rows) - n, len(rows))
    return SurveyImages(images[:n], np.array(ids, dtype=str), name, len(rows) - n)


class _Renderer:
    """Cutouts to 8-bit composites, as the model's own training had them."""

    def __init__(self, model):
        self.model = model
        self.rendering = Rendering(model.manifest.raw['renderings'])
        self.sky = Preprocess(model.grid).sky

    @torch.inference_mode()
    def __call__(self, stack):
        if not len(stack):
            return np.empty((0, self.model.grid, self.model.grid, 3), dtype=np.uint8)
        _check_grid(np.moveaxis(stack.data, 1, -1), self.model)
        image = torch.from_numpy(np.ascontiguousarray(stack.data, dtype=np.float32))
        index = torch.from_numpy(self.model.rendering_index(stack.rendering))
        composite = self.rendering(image, index)
        composite = torch.where(torch.isnan(composite), self.sky, composite.clamp(0.0, 1.0))
        return (255.0 * composite).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def _check_grid(images, model):
    if images.shape[1:] != (model.grid, model.grid, 3):
        raise ValueError(f'images have shape {images.shape[1:]}; the model {model.id} takes '
                         f'{(model.grid, model.grid, 3)}')


def check_target(target, source):
    """
    Refuse sets that a model cannot be adapted to, before any work.

    Parameters
    ----------
    target, source : `SurveyImages`

    Raises
    ------
    ValueError
        If a set has too few galaxies, hardly an image of the target shows one, or most of its
        images are the source's.
    """
    for survey, word in ((source, 'source'), (target, 'target')):
        if len(survey) < LEAST_GALAXIES:
            raise ValueError(f'the {word} {survey.name} has {len(survey)} galaxies that can be '
                             f'used; expected {LEAST_GALAXIES} or more')
        lit = _shows_light(survey)
        if lit.mean() < LEAST_WITH_LIGHT:
            raise ValueError(f'the {word} {survey.name} shows a galaxy in {lit.sum()} of '
                             f'{len(lit)} images; expected one in most of them')
    known = {image.tobytes() for image in source.images}
    shared = np.mean([image.tobytes() in known for image in target.images])
    if shared > MOST_SHARED:
        raise ValueError(f'{100 * shared:.0f} % of the images of the target {target.name} are '
                         f'those of the source {source.name}: there is nothing to adapt to')


def _shows_light(survey):
    """(N,) bool: the middle of an image is brighter than its surroundings by more than noise."""
    grid = survey.images.shape[1]
    x = np.arange(grid) - (grid - 1) / 2
    radius = np.hypot(x[None], x[:, None]) / grid
    inner = torch.from_numpy(radius < INNER)
    outer = torch.from_numpy((radius > OUTER) & (radius < 0.5))
    parts = []
    for rows in row_slices(len(survey), CHUNK):
        image = survey.composites(rows)
        noise = noise_level(image).mean((1, 2, 3)).clamp(min=1.0 / 255.0)
        grey = image.mean(1)
        light = grey[:, inner].mean(1) - grey[:, outer].mean(1)
        error = noise * np.sqrt(1.0 / int(inner.sum()) + 1.0 / int(outer.sum()))
        parts.append(light > LEAST_SIGNIFICANCE * error)
    return torch.cat(parts).numpy()
