# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Settings of the documentation; what is not set here comes from sphinx-astropy."""

import re
from configparser import ConfigParser
from dataclasses import fields
from importlib.metadata import version as installed_version
from inspect import getdoc
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx_astropy.conf.v3 import *

from galvae_affiliated.training import TrainingConfig

HERE = Path(__file__).parent

setup_cfg = ConfigParser(interpolation=None)
setup_cfg.read(HERE.parent / 'setup.cfg', encoding='utf-8')
metadata = dict(setup_cfg['metadata'])

project = metadata['name']
author = metadata['author']
copyright = f'2026, {author}'
release = installed_version(project)
version = '.'.join(release.split('.')[:2])

highlight_language = 'python3'
html_title = f'{project} {release}'
html_theme_options = {'github_url': metadata['url']}
htmlhelp_basename = f'{project}doc'
man_pages = [('index', project, metadata['description'], [author], 1)]
latex_documents = [('index', f'{project}.tex', f'{project} Documentation', author, 'manual')]

github_issues_url = f'{metadata["url"]}/issues/'
linkcheck_timeout = 60
linkcheck_ignore = [r'https://github\.com/galvae-affiliated/.*', r'https://doi\.org/.*']

intersphinx_mapping['sklearn'] = ('https://scikit-learn.org/stable/', None)
intersphinx_mapping['photutils'] = ('https://photutils.readthedocs.io/en/stable/', None)
intersphinx_mapping['torch'] = ('https://docs.pytorch.org/docs/stable/', None)
del intersphinx_mapping['h5py']

# diagrams would need Graphviz, and nearly all our classes have no family
automodapi_inheritance_diagram = False
toc_object_entries = False

nitpicky = True
# lines of "<role> <target>", for references that cannot be resolved
nitpick_ignore = [tuple(line.split(None, 1)) for line in (HERE / 'nitpick-exceptions.txt').read_text().splitlines()
                  if line.strip() and not line.startswith('#')]


def keep_own_references(app, config):
    """Without intersphinx, look only for the targets that this documentation itself has to provide."""
    if int(config.disable_intersphinx):
        config.nitpick_ignore_regex = [*config.nitpick_ignore_regex, (r'.*', rf'(?!{project}).*')]


class TrainingKeys(Directive):
    """The keys of a section of a training run's TOML file, from the docstring and the defaults of `TrainingConfig`."""

    required_arguments = 1

    def run(self):
        table = ['.. list-table::', '   :header-rows: 1', '   :widths: 25 18 57', '',
                 '   * - key', '     - default', '     - meaning']
        attributes = getdoc(TrainingConfig).split('Attributes\n----------\n')[1]
        defaults = {f.name: toml_value(f.default) for f in fields(TrainingConfig)
                    if f.metadata['section'] == self.arguments[0]}
        for names, meaning in re.findall(r'^(\w[\w, ]*) : .*\n((?:    .*\n?)+)', attributes, re.MULTILINE):
            names = [name for name in names.split(', ') if name in defaults]
            if names:
                cells = lines_of(f'``{name}``' for name in names), lines_of(defaults.pop(name) for name in names)
                table += [f'   * - {cells[0]}', f'     - {cells[1]}', f'     - {" ".join(meaning.split())}']
        if defaults:
            raise self.error(f'the docstring of TrainingConfig says nothing of {", ".join(defaults)}')
        node = nodes.Element()
        self.state.nested_parse(StringList('\n'.join(table).splitlines(), 'TrainingConfig'), self.content_offset, node)
        return node.children


def lines_of(words):
    """A table's cell with a line a word, so that keys and defaults stand side by side."""
    return '\n       '.join(f'| {word}' for word in words)


def toml_value(value):
    """A default as it would stand in the file; a dash for those that are not there."""
    if value is None or value == '':
        return '--'
    if isinstance(value, bool):
        return f'``{str(value).lower()}``'
    return f'``{list(value) if isinstance(value, tuple) else value!r}``'


def setup(app):
    app.connect('config-inited', keep_own_references)
    app.add_directive('training-keys', TrainingKeys)
