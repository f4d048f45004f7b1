# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Settings of the documentation; what is not set here comes from sphinx-astropy."""

from configparser import ConfigParser
from importlib.metadata import version as installed_version
from pathlib import Path

from sphinx_astropy.conf.v3 import *

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


def setup(app):
    app.connect('config-inited', keep_own_references)
