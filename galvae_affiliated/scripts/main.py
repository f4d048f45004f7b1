# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The ``galvae`` command: one line for whatever ends it.

All that takes time to import is imported while the command runs, so that an interrupt
is told like any other.
"""

import os
import signal
import sys
import threading
from contextlib import suppress

from galvae_affiliated.scripts._messages import DONE, FAILURE, WRONG_USE, print_error

__all__ = ['main']

WRONG_CALLS = (ValueError, TypeError, KeyError, FileNotFoundError, FileExistsError,
               IsADirectoryError)
# ours are of these kinds too
FAILURES = (OSError, MemoryError, ImportError, RuntimeError)
# what else ends a run from outside; not there on Windows
ENDINGS = [getattr(signal, name) for name in ('SIGINT', 'SIGTERM', 'SIGHUP')
           if hasattr(signal, name)]
DEBUG = 'GALVAE_DEBUG'
AGAIN = 2.0  # seconds after which a signal that some library has swallowed is raised again


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
        0 done, 1 failure, 2 wrong use; 130 interrupted, and 128 more than the number of the
        signal for others that end a process.
    """
    _open_streams()
    words = sys.argv[1:] if args is None else args
    signals = _Signals()
    try:
        from galvae_affiliated.scripts import _command

        _command.run_command(args)
        if sys.stdout is not None:
            sys.stdout.flush()  # here an error can still be told
        return DONE
    except (Exception, KeyboardInterrupt, _Terminated) as error:
        signals.settle()
        return _print_failure(error, signals, words)
    finally:
        signals.settle()
        if args is not None:
            signals.restore()  # the caller goes on


class _Terminated(BaseException):
    """A batch system, or a terminal that was closed, ends the run."""


class _Signals:
    """
    The signals that end a run, as exceptions: what is unfinished is tidied up.

    A second one ends the process at once. Some libraries swallow every exception while they are
    being loaded or freed: one that has not come through after a while is raised again.
    """

    def __init__(self):
        self.number = None
        self.before = {}
        if threading.current_thread() is threading.main_thread():
            for number in ENDINGS:
                # what is ignored, as under nohup, stays so
                if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                    self.before[number] = signal.signal(number, self._end)

    def _end(self, number, _):
        self.number = number
        for known in self.before:
            signal.signal(known, signal.SIG_DFL)
        if hasattr(signal, 'setitimer'):
            self.before[signal.SIGALRM] = signal.signal(signal.SIGALRM, lambda *_: self._raise())
            signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)
        self._raise()

    def _raise(self):
        # Python ends with SIGINT after a KeyboardInterrupt in text that was executed, as the
        # code of a dataclass is, even if it was caught
        raise KeyboardInterrupt if self.number == signal.SIGINT else _Terminated

    def settle(self):
        """What was raised came through, or there is nothing left to end."""
        if self.number is not None and hasattr(signal, 'setitimer'):
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def restore(self):
        for number, handler in self.before.items():
            signal.signal(number, handler)


def _print_failure(error, signals, words):
    """Say in one line what ended the run; returns the code of the process."""
    if os.environ.get(DEBUG):
        import traceback

        traceback.print_exc()
    if signals.number is not None or isinstance(error, KeyboardInterrupt):
        # libraries turn an interrupt into errors of their own where they are being loaded
        number = signals.number or signal.SIGINT
        what = 'interrupted' if number == signal.SIGINT else 'terminated'
        more = ''
        if any(word.startswith('--chunk-size') for word in map(str, words)):
            more = '; the same command goes on where it was'
        return print_error(f'{what}{more}', 128 + number)
    if isinstance(error, BrokenPipeError):
        # the reader of our output has what it wanted; nothing is left to write to it
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    if isinstance(error, WRONG_CALLS):
        is_key = isinstance(error, KeyError) and error.args
        return print_error(error.args[0] if is_key else _text(error), WRONG_USE)
    if isinstance(error, FAILURES):
        return print_error(_text(error), FAILURE)
    return print_error(f'unexpected {_text(error)}; {DEBUG}=1 shows where', FAILURE)


def _text(error):
    """What an error says, and its kind where that is nothing, or nothing that was foreseen."""
    kind = 'out of memory' if isinstance(error, MemoryError) else type(error).__name__
    if not str(error):
        return kind
    return str(error) if isinstance(error, WRONG_CALLS + FAILURES) else f'{kind}: {error}'


def _open_streams():
    """
    Give the standard streams that are closed a place to go.

    The next file that is opened would take their number, and messages would be written to it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which takes the lowest number that is free
    if sys.stderr is None:
        sys.stderr = open(os.devnull, 'w')


if __name__ == '__main__':
    sys.exit(main())
