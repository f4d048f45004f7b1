# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A column before it is one of a table: what a result says of itself."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Column:
    """
    Values of N rows, and what they are.

    Attributes
    ----------
    name : str
    values : (N,) or (N, M) array
        Floats that are not finite count as missing.
    description : str
        Short: VOTable breaks long ones into lines.
    ucd : str
        Unified content descriptor of the IVOA.
    unit : `~astropy.units.Unit` or None
    mask : (N,) bool array or bool
        Rows that are missing besides.
    meta : dict
        What else the column of a table states.
    """

    name: str
    values: np.ndarray
    description: str
    ucd: str
    unit: object = None
    mask: object = False
    meta: dict = field(default_factory=dict)
