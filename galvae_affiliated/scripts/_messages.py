# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the command says to a person, on the standard error stream; loaded before all else."""

import re
import sys

DONE, FAILURE, WRONG_USE = 0, 1, 2
# would be obeyed by a terminal: names from files are part of messages
CONTROL = dict.fromkeys((*range(32), *range(127, 160)), '�')

# names of keywords, which a user of the command knows as options
SHELL_WORDS = re.compile(r'\b(pixel_scale|zero_point|radius_unit|position_columns|chunk_size|'
                         r'n_samples|n_threads|batch_size|already_scaled|scalar_columns|'
                         r'psf_fwhm|overwrite)(=True)?\b(?!\s*=)')


def is_interactive():
    """Whether a person sees the standard error stream: progress and messages are for them."""
    return sys.stderr is not None and sys.stderr.isatty()


def print_error(message, code):
    """One line on the standard error stream."""
    _print_line(f'error: {one_line(message) or "unknown"}')
    return code


def print_warning(message, *_, **__):
    _print_line(f'warning: {one_line(message)}')


def print_text(text):
    """Lines of help of our own, on the standard error stream."""
    if sys.stderr is not None:
        print(text, file=sys.stderr)


def print_line(message):
    """What was done, for the log of a batch system, too."""
    _print_line(one_line(message))


def one_line(message):
    """A message as a line that a terminal can be trusted with, in the words of a shell."""
    words = SHELL_WORDS.sub(_as_option, ' '.join(str(message).split()))
    return words.translate(CONTROL)


def _as_option(match):
    """'pixel_scale' -> '--pixel-scale'; a verb such as 'overwrite' stays one."""
    name, value = match.groups()
    if name == 'overwrite' and not value:
        return name
    return '--' + name.replace('_', '-')


def _print_line(text):
    if sys.stderr is not None:
        print('galvae:', text, file=sys.stderr)
