# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The ``galvae`` command."""

import atexit
import gc
import os
import sys
import warnings

from galvae_affiliated import __version__
from galvae_affiliated.exceptions import DeviceError, GalvaeWarning
from galvae_affiliated.scripts import encode, models, train
from galvae_affiliated.scripts._common import (
    DONE,
    FAILURE,
    WRONG_USE,
    Parser,
    print_error,
    print_warning,
)

__all__ = ['main']

WRONG_CALLS = (ValueError, TypeError, KeyError, FileNotFoundError, FileExistsError,
               IsADirectoryError)
FAILURES = (DeviceError, OSError, MemoryError, ImportError, RuntimeError)


def main(args=None):
    """
    Run the command.

    Parameters
    ----------
    args : list of str, optional
        Words of the command line; None takes those of the process.

    Returns
    -------
    code : int
        0 done, 1 failure, 2 wrong use.
    """
    options = _build_parser().parse_args(args)
    # else the collector looks through all that was imported once more before the process ends
    atexit.register(gc.freeze)
    warnings.simplefilter('ignore')
    warnings.simplefilter('once', GalvaeWarning)
    warnings.showwarning = print_warning
    try:
        options.run(options)
    except BrokenPipeError:
        # the reader of our output has what it wanted; nothing is left to write to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return print_error('interrupted', FAILURE)
    except WRONG_CALLS as error:
        message = error.args[0] if isinstance(error, KeyError) else error
        return print_error(message, WRONG_USE)
    except FAILURES as error:
        return print_error(error, FAILURE)
    return DONE


def _build_parser():
    parser = Parser(prog='galvae', description='Galaxy morphology as columns of a table.')
    parser.add_argument('--version', action='version',
                        version=f'galvae_affiliated {__version__}')
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    for add_command in (encode.add_encode, train.add_train, train.add_sweep, train.add_fit_heads,
                        encode.add_demo, models.add_info, models.add_models, models.add_doctor):
        add_command(commands)
    return parser


if __name__ == '__main__':
    sys.exit(main())
