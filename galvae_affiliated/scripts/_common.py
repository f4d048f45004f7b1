# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the verbs of the command share: the parser, and groups of options."""

import argparse
from pathlib import Path

from galvae_affiliated import _atomic
from galvae_affiliated.models._devices import BATCH_SIZE, DEVICES, PRECISIONS
from galvae_affiliated.scripts._messages import WRONG_USE, print_error


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
                        help='float16 is for GPUs, int8 for processors with VNNI')
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


def parse_pairs(text, option):
    """NAME=VALUE,... as a dictionary."""
    pairs = {}
    for entry in filter(None, text.split(',')):
        name, equals, value = (part.strip() for part in entry.partition('='))
        if not (name and equals and value):
            raise ValueError(f'{option} has {entry!r}; expected NAME=VALUE')
        if name in pairs:
            raise ValueError(f'{option} has {name} twice')
        pairs[name] = value
    return pairs
