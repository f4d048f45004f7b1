# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How well quantities are predicted."""

import numpy as np

__all__ = ['quantity_scores']

MAD = 1.4826  # robust scatter of a normal distribution over its median absolute deviation


def quantity_scores(true, value, error):
    """
    How well values with errors predict the true ones.

    Parameters
    ----------
    true, value, error : (N,) arrays

    Returns
    -------
    scores : dict of str to float
        ``rmse``; ``scatter``, 1.4826 times the median absolute deviation; ``bias``, the mean
        of predicted minus true; ``r2``; ``within 1 error``, the share that lies so near.
    """
    residual = value - true
    return {'rmse': float(np.sqrt(np.mean(residual ** 2))),
            'scatter': float(MAD * np.median(np.abs(residual - np.median(residual)))),
            'bias': float(residual.mean()),
            'r2': float(1 - np.mean(residual ** 2) / np.var(true)),
            'within 1 error': float(np.mean(np.abs(residual) <= error))}
