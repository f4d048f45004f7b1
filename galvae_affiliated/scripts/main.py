# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The ``galvae`` command."""

import atexit
import gc
import os
import sys
import warnings

from galvae_affiliated import __version__
from galvae_affiliated.exceptions import DeviceError, GalvaeWarning
from galvae_affiliated.models._devices import DEVICES
from galvae_affiliated.scripts._common import (
    DONE,
    FAILURE,
    WRONG_USE,
    Parser,
    print_error,
    print_warning,
)
from galvae_affiliated.scripts.encode import add_encode, run_demo
from galvae_affiliated.scripts.models import run_doctor, run_info, run_models
from galvae_affiliated.scripts.train import add_fit_heads, add_sweep, add_train

__all__ = ['main']



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
    options = build_parser().parse_args(args)
    # else the collector looks through all that was imported once more before the process ends
    atexit.register(gc.freeze)
    warnings.simplefilter('ignore')
    warnings.simplefilter('once', GalvaeWarning)
    warnings.showwarning = print_warning
    try:
        options.run(options)
    except BrokenPipeError:
        # the reader of our output has what it wanted; nothing is left to say to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return print_error('interrupted', FAILURE)
    except (ValueError, TypeError, KeyError, FileNotFoundError, FileExistsError, IsADirectoryError) as error:
        return print_error(error.args[0] if isinstance(error, KeyError) else error, WRONG_USE)
    except (DeviceError, OSError, MemoryError, ImportError, RuntimeError) as error:
        return print_error(error, FAILURE)
    return DONE


def build_parser():
    top = Parser(prog='galvae', description='Galaxy morphology as columns of a table.')
    top.add_argument('--version', action='version', version=f'galvae_affiliated {__version__}')
    commands = top.add_subparsers(required=True, metavar='COMMAND')
    add_encode(commands)
    add_train(commands)
    add_sweep(commands)
    add_fit_heads(commands)
    demo = commands.add_parser('demo', help='encode the simulated field that comes with the package')
    demo.add_argument('-o', '--output', default='galvae_demo', help='folder for the table and the picture')
    demo.add_argument('--device', choices=('auto', *DEVICES), default='auto')
    demo.set_defaults(run=run_demo)
    info = commands.add_parser('info', help='print the card of a model')
    info.add_argument('model', nargs='?', help='name or file; the default model if left out')
    info.add_argument('--json', action='store_true', help='the whole manifest')
    info.set_defaults(run=run_info)
    models = commands.add_parser('models', help='list the models')
    models.set_defaults(run=run_models)
    doctor = commands.add_parser('doctor', help='tell what this installation can do')
    doctor.set_defaults(run=run_doctor)
    return top


if __name__ == '__main__':
    sys.exit(main())
