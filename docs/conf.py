# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Settings of the documentation; what is not set here comes from sphinx-astropy."""

import hashlib
import logging
import subprocess
import sys
import warnings
from configparser import ConfigParser
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.ext.autodoc.mock import mock
from sphinx.util.nodes import make_refnode
from sphinx_astropy.conf.v3 import *

from galvae_affiliated.training import TrainingConfig

HERE = Path(__file__).parent

# libraries of extras that tutorials need, looked for before any is replaced by a mock
TUTORIALS_NEED = {'03_survey': ('dask', 'pandas'), '04_own_labels': ('torch', 'skl2onnx'),
                  '07_simulated_field': ('galsim',), '09_own_model': ('torch', 'lightning')}
MISSING = {name: [library for library in libraries if find_spec(library) is None]
           for name, libraries in TUTORIALS_NEED.items()}

# the reference of the training can be built without its libraries, which are large
mock([name for name in ('torch', 'lightning', 'onnx', 'onnxscript', 'skl2onnx', 'pandas')
      if find_spec(name) is None]).__enter__()

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
html_static_path = ['_static']
html_css_files = ['custom.css']
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

# scripts of ../tutorials are run, and become the pages of tutorials/, which are not kept
extensions += ['sphinx_gallery.gen_gallery']
# these have a page all the same, which says so, and the links to them hold
NOT_RUN = [name for name in MISSING if MISSING[name]]
for name in NOT_RUN:
    tags.add(f'not_run_{name}')
sphinx_gallery_conf = {
    'examples_dirs': ['../tutorials'],
    'gallery_dirs': ['tutorials'],
    'filename_pattern': rf'[/\\](?!{"|".join(NOT_RUN) or "-"})[^/\\]*$',
    'within_subsection_order': 'FileNameSortKey',
    'abort_on_example_error': True,
    'remove_config_comments': True,
    'image_srcset': ['2x'],
    'thumbnail_size': (480, 320),
    'show_signature': False,
    'write_computation_times': False,
    'min_reported_time': 3600,
}
# what PyTorch and Lightning say of themselves is no result of a tutorial
warnings.filterwarnings('ignore', '.*LeafSpec.*', FutureWarning)
warnings.filterwarnings('ignore', r'var\(\): degrees of freedom', UserWarning)
warnings.filterwarnings('ignore', module='torch|lightning')
for logger in ('torch.onnx._internal.exporter._registration', 'lightning.fabric.utilities.seed',
               'lightning.pytorch.utilities.rank_zero',
               'lightning.pytorch.trainer.connectors.checkpoint_connector'):
    logging.getLogger(logger).setLevel(logging.ERROR)

nitpicky = True
# lines of "<role> <target>", for references that cannot be resolved
exceptions = (HERE / 'nitpick-exceptions.txt').read_text().splitlines()
nitpick_ignore = [tuple(line.split(None, 1)) for line in exceptions
                  if line.strip() and not line.startswith('#')]


FIGURES = (HERE / 'figures').resolve()
NOT_DRAWN = {'training', 'scripts', 'distributed', 'pages', 'explore', 'surveys', 'simulation'}


def draw_figures(app):
    """
    Run the scripts of ``figures``, into ``figures/built``, unless nothing they depend on changed.

    They depend on the code of the package but for some folders, on its data, among it the default
    model, and on themselves.
    """
    package = HERE.parent / project
    known = [path for path in sorted(package.glob('**/*'))
             if path.suffix in ('.py', '.fits', '.ecsv', '.galvae')
             and not NOT_DRAWN & set(path.relative_to(package).parts)]
    shared = hashlib.sha256()
    measured = sorted([*HERE.glob('*.ecsv'), *HERE.glob('*.json')])
    for path in [*known, *measured, FIGURES / '_demo.py']:
        shared.update(path.read_bytes())
    built = FIGURES / 'built'
    for script in sorted(FIGURES.glob('[!_]*.py')):
        state = shared.copy()
        state.update(script.read_bytes())
        stamp = built / f'{script.stem}.sha256'
        if not stamp.exists() or stamp.read_text() != state.hexdigest():
            subprocess.run([sys.executable, script, built], check=True, cwd=FIGURES)
            stamp.write_text(state.hexdigest())


def keep_own_references(app, config):
    """Without intersphinx, look only for what this documentation itself has to provide."""
    if int(config.disable_intersphinx):
        config.nitpick_ignore_regex = [*config.nitpick_ignore_regex, (r'.*', rf'(?!{project}).*')]


def find_documented(app, env, node, contnode):
    """
    A name of the package that is documented under another path: at the top level, or in a folder.

    Docstrings name what is in their own module by its name alone.
    """
    target = node.get('reftarget', '')
    name = target.rpartition('.')[2]
    if node.get('refdomain') != 'py' or ('.' in target and not target.startswith(f'{project}.')):
        return None
    kinds = 'class', 'exception', 'function', 'data'
    # a class has an entry for the module that defines it as well, of the same page
    found = [entry for full, entry in env.get_domain('py').objects.items()
             if full.rpartition('.')[2] == name and entry.objtype in kinds]
    if len({entry.docname for entry in found}) != 1:
        return None
    place = found[0]
    return make_refnode(app.builder, node['refdoc'], place.docname, place.node_id, contnode)


class TrainingKeys(Directive):
    """The keys of a section of a training run's TOML file, from the fields of its class."""

    required_arguments = 1

    def run(self):
        table = ['.. list-table::', '   :header-rows: 1', '   :widths: 25 18 57', '',
                 '   * - key', '     - default', '     - meaning']
        section = TrainingConfig.model_fields[self.arguments[0]].annotation
        for name, field in section.model_fields.items():
            table += [f'   * - ``{name}``', f'     - {toml_value(field.default)}',
                      f'     - {field.description}']
        node = nodes.Element()
        self.state.nested_parse(StringList(table, 'TrainingConfig'), self.content_offset, node)
        return node.children


def toml_value(value):
    """A default as it would stand in the file; a dash for those that are not there."""
    if value is None or value == '':
        return '--'
    if isinstance(value, bool):
        return f'``{str(value).lower()}``'
    return f'``{list(value) if isinstance(value, tuple) else value!r}``'


def setup(app):
    app.connect('config-inited', keep_own_references)
    app.connect('builder-inited', draw_figures)
    app.connect('missing-reference', find_documented)
    app.add_directive('training-keys', TrainingKeys)
