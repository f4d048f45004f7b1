# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the verbs of the command share."""

import argparse
import sys
from pathlib import Path

DONE, FAILURE, WRONG_USE = 0, 1, 2


def print_error(message, code):
    """One line on the standard error stream."""
    print('galvae: error:', ' '.join(str(message).split()) or 'unknown', file=sys.stderr)
    return code


def print_warning(message, *_, **__):
    print('galvae: warning:', ' '.join(str(message).split()), file=sys.stderr)


class Parser(argparse.ArgumentParser):
    """Tells a wrong option in one line, as all that is wrong is told."""

    def error(self, message):
        self.exit(print_error(f'{message}; {self.prog} --help lists what there is', WRONG_USE))


def is_cutout_set(images):
    first = Path(images[0])
    return len(images) == 1 and (first.is_dir() or first.suffix.lower() in ('.parquet', '.pq'))


def check_output(path, overwrite):
    if Path(path).exists() and not overwrite:
        raise FileExistsError(f'{path} exists; --overwrite replaces it')
    if not Path(path).absolute().parent.is_dir():
        raise FileNotFoundError(f'{path}: there is no folder {Path(path).absolute().parent}')


def progress_bar():
    """A progress bar on a terminal, nothing in a pipe."""
    if not sys.stderr.isatty():
        return None
    from astropy.utils.console import ProgressBar

    bars = []

    def update(done, total):
        if not bars:
            bars.append(ProgressBar(total, file=sys.stderr))
        bars[0].update(done)

    return update


def print_done(message):
    """What was done, for a person at a terminal; the output itself is in files."""
    if sys.stderr.isatty():
        print('galvae:', message, file=sys.stderr)
