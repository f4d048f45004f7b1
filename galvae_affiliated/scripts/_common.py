# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the verbs of the command share: the parser, and groups of options."""

import argparse
import shutil
import textwrap
from pathlib import Path

from galvae_affiliated import _atomic
from galvae_affiliated.scripts._messages import WRONG_USE, print_error

INDENT = '  '  # of examples


class Parser(argparse.ArgumentParser):
    """States a wrong option in one line, as all that is wrong is stated; its help has examples."""

    def __init__(self, **options):
        # examples stay in lines of their own
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        self.examples = ()

    def describe(self, text, *examples, run):
        """
        What the command does, and how it is called.

        Parameters
        ----------
        text : str
            One paragraph.
        *examples : str
            Lines of a shell that run as they are, given the files that they name.
        run : function of options
            Returns the line that sums up what was done, or None.
        """
        self.description = text
        self.examples = examples
        self.epilog = '\n'.join(['examples:', *(INDENT + line for line in examples)])
        self.set_defaults(run=run)

    def format_help(self):
        before = self.description
        self.description = before and textwrap.fill(before, shutil.get_terminal_size().columns - 2)
        try:
            return super().format_help()
        finally:
            self.description = before

    def has_needs(self):
        """Whether there are words that cannot be left out."""
        return any(action.required for action in self._actions)

    def mark_files(self, names, mark):
        """Give the words and options that are called so what a completion takes for files."""
        for action in self._actions:
            if action.metavar in names or action.dest == 'images':
                action.complete = mark

    def error(self, message):
        self.exit(print_error(f'{message}; {self.prog} --help lists what there is', WRONG_USE))


def add_model_option(parser):
    parser.add_argument('--model', metavar='NAME',
                        help='name or file of the model; galvae models lists those that have one')


def add_device_option(parser):
    from galvae_affiliated.models._devices import DEVICES

    parser.add_argument('--device', choices=('auto', *DEVICES), default='auto',
                        help='auto takes CUDA where it starts, else the CPU')


def add_engine_options(parser):
    """Where and how to compute; see `engine_options`."""
    from galvae_affiliated.models._devices import BATCH_SIZE, PRECISIONS

    add_device_option(parser)
    parser.add_argument('--precision', choices=PRECISIONS, default='float32',
                        help='float16 is for GPUs, int8 for processors with VNNI')
    parser.add_argument('--n-threads', type=int, metavar='N',
                        help='on the CPU; all that the process may use if left out')
    parser.add_argument('--batch-size', type=int, default=BATCH_SIZE, metavar='N',
                        help=f'cutouts a call of the network (default {BATCH_SIZE})')


def add_model_group(parser, *, engine=False):
    """The options of the model and the device, in a group; with ``engine`` all of the latter."""
    group = parser.add_argument_group('model and device')
    add_model_option(group)
    (add_engine_options if engine else add_device_option)(group)
    return group


def engine_options(options):
    """Keywords of `~galvae_affiliated.Engine`."""
    return {name: getattr(options, name)
            for name in ('device', 'precision', 'n_threads', 'batch_size')}


def add_drawing_options(group, default):
    """What a sharp decoder draws beside what latents hold; names are those of models.details."""
    group.add_argument(
        '--details', choices=('none', 'galaxy', 'all'), default=default,
        help='what a sharp decoder adds to what latents hold: nothing, knots and arms, or these '
        f'and the texture of the sky, so that images look like data (default {default})')
    group.add_argument('--random-state', type=int, metavar='SEED',
                       help='the same number, the same pictures')


def add_output_options(parser, metavar, text, replaced=None, *, required=True):
    """
    The file to write, and whether one that exists is replaced; see `check_output`.

    Returns
    -------
    group : object
        For other options of the output.
    """
    group = parser.add_argument_group('output')
    group.add_argument('-o', '--output', required=required, metavar=metavar, help=text)
    add_overwrite_option(group, replaced or metavar)
    return group


def add_overwrite_option(parser, replaced):
    parser.add_argument('--overwrite', action='store_true', help=f'replace {replaced}')


def check_output(path, overwrite):
    """Refuse a file that cannot be written, before the work for it."""
    _atomic.check_output(path, overwrite, hint='--overwrite replaces it')


def is_cutout_set(images):
    """Whether the images of the command line are one set of cutouts."""
    first = Path(images[0])
    return len(images) == 1 and (first.is_dir() or first.suffix.lower() in ('.parquet', '.pq'))


def parse_names(text):
    """'A,B,...' as a list; None where nothing was given."""
    return None if text is None else [name.strip() for name in text.split(',')]


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
