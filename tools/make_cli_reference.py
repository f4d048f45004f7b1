# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Write the page of all options of the command, from its parser: docs/cli_options.rst."""

import argparse
import textwrap
from pathlib import Path

from galvae_affiliated.scripts._command import GROUPS, build_parser

PATH = Path(__file__).resolve().parents[1] / 'docs' / 'cli_options.rst'
TITLE = 'Options of every command'
ABOUT = """\
.. made by tools/make_cli_reference.py: change the parser, not this file

{line}
{title}
{line}

What ``galvae COMMAND --help`` says. Each example runs as it is, given the files that it names.
"""
WIDTH, NARROW = 100, 68  # of text, and of an example
HIDDEN = ('help',)


def options_page():
    """The page, as text."""
    parser = build_parser()
    parts = [ABOUT.format(line='*' * len(TITLE), title=TITLE)]
    for title, verbs in GROUPS.items():
        parts.append(_heading(title[0].upper() + title[1:], '='))
        parts += [_section(verb, parser.verbs[verb]) for verb in verbs]
    return '\n'.join(parts)


def _heading(text, line):
    return f'{text}\n{line * len(text)}\n'


def _section(verb, parser):
    """One command: what it does, examples, and its options by group."""
    name = f'galvae {verb}'
    parts = [_heading(name, '-'), f'.. program:: {name}\n', _filled(parser.description), '']
    parts += ['.. code-block:: bash\n', *map(_continued, parser.examples), '']
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.dest not in HIDDEN]
        if not actions:
            continue
        title = 'words' if group is parser._positionals else group.title
        about = f': {group.description}' if group.description else ''
        parts += [f'**{title[0].upper()}{title[1:]}**{about}\n']
        parts += [_option(action) for action in actions]
    return '\n'.join(parts)


def _continued(example):
    """A line of a shell, cut where it is too long for a page."""
    lines = textwrap.wrap(example, NARROW, subsequent_indent='    ', break_on_hyphens=False,
                          break_long_words=False)
    return textwrap.indent(' \\\n'.join(lines), '    ')


def _option(action):
    """An option, or a word, with what it means."""
    value = _value(action)
    names = [f'{name}{f" {value}" if value else ""}' for name in action.option_strings]
    text = _filled(_escaped(action.help or _of_word(action)), '   ')
    return f'.. option:: {", ".join(names or [value])}\n\n{text}\n'


def _value(action):
    """What follows the name of an option; '' for a switch."""
    if action.nargs == 0:
        return ''
    value = action.metavar or (
        '{' + ','.join(action.choices) + '}' if action.choices else action.dest.upper())
    return f'{value}...' if action.nargs in ('+', argparse.REMAINDER) else value


def _of_word(action):
    """What a word is that has no help of its own."""
    words = {'images': 'images, or a set of cutouts', 'set': 'set of cutouts',
             'config': 'TOML file of a run', 'labels': 'table or set with labels',
             'table': 'as galvae encode wrote it', 'shell': 'that completes'}
    return words[action.dest]


def _escaped(text):
    """Help as reStructuredText takes it."""
    return text.replace('\\', '\\\\').replace('*', '\\*').replace('|', '\\|').replace('`', '\\`')


def _filled(text, indent=''):
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent,
                         break_on_hyphens=False, break_long_words=False)


if __name__ == '__main__':
    PATH.write_text(options_page())
