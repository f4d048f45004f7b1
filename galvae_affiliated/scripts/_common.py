# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the verbs of the command share: groups of options, messages, progress."""

import argparse
import sys
from pathlib import Path

from galvae_affiliated import _atomic
from galvae_affiliated.models._devices import BATCH_SIZE, DEVICES, PRECISIONS

DONE, FAILURE, WRONG_USE = 0, 1, 2


class Parser(argparse.ArgumentParser):
    """States a wrong option in one line, as all that is wrong is stated."""

    def error(self, message):
        self.exit(print_error(f'{message}; {self.prog} --help lists what there is', WRONG_USE))


def add_model_option(parser):
    parser.add_argument('--model', metavar='NAME', help='name or file of the model')


def add_device_option(parser):
    parser.add_argument('--device', choices=('auto', *DEVICES), default='auto',
                        help='auto takes CUDA where it starts, else the CPU')


def add_engine_options(parser):
    """Where and how to compute; see `engine_options`."""
    add_device_option(parser)
    parser.add_argument('--precision', choices=PRECISIONS, default='float32',
                        help='float16 is for GPUs')
    parser.add_argument('--n-threads', type=int, metavar='N',
                        help='on the CPU; all that the process may use if left out')
    parser.add_argument('--batch-size', type=int, default=BATCH_SIZE, metavar='N',
                        help='cutouts a call of the network')


def engine_options(options):
    """Keywords of `~galvae_affiliated.Engine`."""
    return {name: getattr(options, name)
            for name in ('device', 'precision', 'n_threads', 'batch_size')}


def add_output_options(parser, metavar, text, replaced=None):
    """The file to write, and whether one that exists is replaced; see `check_output`."""
    parser.add_argument('-o', '--output', required=True, metavar=metavar, help=text)
    add_overwrite_option(parser, replaced or metavar)


def add_overwrite_option(parser, replaced):
    parser.add_argument('--overwrite', action='store_true', help=f'replace {replaced}')


def check_output(path, overwrite):
    """Refuse a file that cannot be written, before the work for it."""
    _atomic.check_output(path, overwrite, hint='--overwrite replaces it')


def is_cutout_set(images):
    """Whether the images of the command line are one set of cutouts."""
    first = Path(images[0])
    return len(images) == 1 and (first.is_dir() or first.suffix.lower() in ('.parquet', '.pq'))


def is_interactive():
    """Whether a person sees the standard error stream: progress and messages are for them."""
    return sys.stderr.isatty()


def print_error(message, code):
    """One line on the standard error stream."""
    print('galvae: error:', ' '.join(str(message).split()) or 'unknown', file=sys.stderr)
    return code


def print_warning(message, *_, **__):
    print('galvae: warning:', ' '.join(str(message).split()), file=sys.stderr)


def print_done(message):
    """What was done, for a person at a terminal; the output itself is in files."""
    if is_interactive():
        print('galvae:', message, file=sys.stderr)
