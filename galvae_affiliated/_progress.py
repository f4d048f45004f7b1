# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How far a long call has come."""

import sys


def progress_callback(progress):
    """
    What a long call calls after each of its steps.

    Parameters
    ----------
    progress : bool, callable or None
        True shows a bar on the standard error stream. A callable takes the number of
        rows done and the number of all.

    Returns
    -------
    callback : callable
        Takes the two numbers.

    Raises
    ------
    TypeError
        If it is neither.
    """
    if progress is None or progress is False:
        return lambda done, total: None
    if progress is True:
        return _ProgressBar()
    if not callable(progress):
        raise TypeError(f'progress is {progress!r}; expected True, False, or a callable that '
                        'takes the rows done and the rows of all')
    return progress


class _ProgressBar:
    """A bar that is drawn when the number of all rows is known."""

    def __init__(self):
        self.bar = None

    def __call__(self, done, total):
        if self.bar is None:
            from astropy.utils.console import ProgressBar

            self.bar = ProgressBar(total, file=sys.stderr)
        self.bar.update(done)
