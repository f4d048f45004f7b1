# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxies that are known in both surveys."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

__all__ = ['pair_rows', 'read_pairs']

logger = logging.getLogger(__name__)


def read_pairs(pairs):
    """
    Identifiers of galaxies in both surveys.

    Parameters
    ----------
    pairs : str, path, `pandas.DataFrame` or (P, 2) array of str
        A CSV file or a frame whose first two columns are the identifiers, of whichever survey
        first.

    Returns
    -------
    identifiers : (P, 2) array of str

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it does not have two columns.
    """
    if isinstance(pairs, (str, Path)):
        try:
            pairs = pd.read_csv(pairs, dtype=str, keep_default_na=False)
        except FileNotFoundError:
            raise FileNotFoundError(f'{pairs}: there is no such file') from None
        except (ValueError, UnicodeDecodeError) as error:
            raise ValueError(f'{pairs}: this is not a CSV file that can be read '
                             f'({error})') from None
    values = np.asarray(pairs, dtype=str)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(f'the pairs have shape {values.shape}; expected two columns of '
                         'identifiers')
    return np.char.strip(values[:, :2])


def pair_rows(identifiers, source_ids, target_ids):
    """
    Rows of the pairs in two surveys.

    Parameters
    ----------
    identifiers : (P, 2) array of str
        See `read_pairs`.
    source_ids, target_ids : (N,), (M,) arrays of str

    Returns
    -------
    rows : (Q, 2) int array
        Row of the source and row of the target, of the pairs that are in both; how many are not
        is logged.

    Raises
    ------
    ValueError
        If no pair is in both.
    """
    places = [{name: row for row, name in enumerate(ids)} for ids in (source_ids, target_ids)]
    found = [_rows(order, places) for order in (identifiers, identifiers[:, ::-1])]
    rows = max(found, key=len)
    if not len(rows):
        raise ValueError(f'of {len(identifiers)} pairs ({", ".join(identifiers[0])}, ...) none is '
                         'in both the source and the target' if len(identifiers) else
                         'there are no pairs')
    if len(rows) < len(identifiers):
        logger.warning('%d of %d pairs are not in both sets, and are left out',
                       len(identifiers) - len(rows), len(identifiers))
    return np.array(rows, dtype=int)


def _rows(identifiers, places):
    return [(places[0][a], places[1][b]) for a, b in identifiers
            if a in places[0] and b in places[1]]
