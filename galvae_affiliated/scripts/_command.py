# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The verbs of the ``galvae`` command."""

import argparse
import atexit
import difflib
import gc
import importlib
import sys
import time
import warnings

from galvae_affiliated import __version__
from galvae_affiliated.exceptions import GalvaeWarning
from galvae_affiliated.scripts._common import INDENT, Parser
from galvae_affiliated.scripts._messages import (
    WRONG_USE,
    print_error,
    print_line,
    print_text,
    print_warning,
)

FOLDER = 'galvae_affiliated.scripts'
# group to verb to the module of its options, and what it does. The module is imported for its
# own verb alone
GROUPS = {
    'encode and look': {
        'encode': ('encode', 'add latents and morphology to a catalogue'),
        'demo': ('encode', 'encode the simulated field that comes with the package'),
        'report': ('report', 'show a table with latents as one page for a browser'),
        'reconstruct': ('draw', 'show cutouts beside what the decoder makes of them'),
        'regions': ('regions', 'write the sources as regions of DS9'),
        'send': ('regions', 'send a table to TOPCAT, Aladin and others'),
    },
    'explore': {
        'outliers': ('explore', 'score how odd each galaxy of a table is'),
        'similar': ('explore', 'find the galaxies of a table that are most like one'),
        'clusters': ('explore', 'divide the galaxies of a table into stable kinds'),
        'map': ('explore', 'give each galaxy a place next to similar ones'),
        'label': ('label', 'say which galaxies are interesting, and find more'),
    },
    'generate': {
        'generate': ('generate', 'draw galaxies that nobody saw'),
        'traverse': ('draw', 'draw what a latent, or an answer, changes'),
        'simulate': ('simulate', 'draw galaxies of a model into images of a field'),
    },
    'train': {
        'train': ('train', 'train a model on your own galaxies'),
        'sweep': ('train', 'compare models with several numbers of latents'),
        'fit-heads': ('train', 'teach a model your own labels'),
        'fit-parts': ('parts', 'teach a model what its training galaxies are like'),
        'adapt': ('adapt', 'fine-tune a model so that another survey shares its latents'),
    },
    'models and this machine': {
        'models': ('models', 'list the models, and what each is for'),
        'info': ('models', 'print the card of a model'),
        'doctor': ('models', 'report what this installation can do'),
        'completion': ('completion', 'print the script by which a shell completes commands'),
    },
}
VERBS = {verb: about for verbs in GROUPS.values() for verb, about in verbs.items()}


def run_command(args=None):
    """
    Run what the words ask for.

    Parameters
    ----------
    args : list of str, optional
        See `~galvae_affiliated.scripts.main.main`.
    """
    start = time.monotonic()
    words = [str(word) for word in (sys.argv[1:] if args is None else args)]
    parser = build_parser([word for word in words if word in VERBS][:1])
    _check_words(parser, words)
    options, more = parser.parse_known_args(words)
    for verb in parser.verbs.values() if more else ():
        verb.error(f'unrecognized arguments: {" ".join(more)}')
    # else the collector looks through all that was imported once more before the process ends
    atexit.register(gc.freeze)
    warnings.simplefilter('ignore')
    warnings.simplefilter('once', GalvaeWarning)
    warnings.showwarning = print_warning
    summary = options.run(options)
    if summary is not None:
        print_line(f'{summary}; {time.monotonic() - start:.1f} s')


def build_parser(verbs=tuple(VERBS)):
    """
    The parser of the command.

    Parameters
    ----------
    verbs : sequence of str, optional
        Those that get their options; the others are known by name.

    Returns
    -------
    parser : `~galvae_affiliated.scripts._common.Parser`
        Its ``verbs`` are the parsers of these, and ``commands`` is what chooses among them.
    """
    parser = Parser(prog='galvae', usage='galvae COMMAND ...')
    parser.description = 'Galaxy morphology as columns of a table.'
    parser.epilog = _list_of_verbs()
    parser.add_argument('--version', action='version',
                        version=f'galvae_affiliated {__version__}')
    parser.commands = parser.add_subparsers(required=True, metavar='COMMAND', prog='galvae',
                                            help=argparse.SUPPRESS)
    parser.verbs = {}
    for verb, (module, text) in VERBS.items():
        if verb in verbs:
            parser.verbs[verb] = parser.commands.add_parser(verb, help=text)
            add = importlib.import_module(f'{FOLDER}.{module}')
            getattr(add, f'add_{verb.replace("-", "_")}')(parser.verbs[verb])
        else:
            parser.commands.add_parser(verb)
    return parser


def _list_of_verbs():
    """The verbs in their groups, as the help shows them."""
    width = max(map(len, VERBS))
    lines = []
    for title, verbs in GROUPS.items():
        lines += [f'{title}:', *(f'{INDENT}{verb:{width}s}  {text}'
                                 for verb, (_, text) in verbs.items()), '']
    return '\n'.join([*lines, 'galvae COMMAND --help has options and examples; '
                      'galvae demo is a first try.'])


def _check_words(parser, words):
    """Lead who does not know what to say to the help, or to an example."""
    if not words:
        print_text(parser.format_help())
        raise SystemExit(WRONG_USE)
    verb = words[0]
    if not verb.startswith('-') and verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f'; did you mean {near[0]}?' if near else ';'
        raise SystemExit(print_error(f'there is no command {verb!r}{hint} galvae --help lists '
                                     'them', WRONG_USE))
    if len(words) == 1 and verb in VERBS and parser.verbs[verb].has_needs():
        code = print_error(f'galvae {verb} asks for more, for example', WRONG_USE)
        more = '\n'.join(INDENT + example for example in parser.verbs[verb].examples)
        print_text(f'{more}\ngalvae {verb} --help lists what there is')
        raise SystemExit(code)
