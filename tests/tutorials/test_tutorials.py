# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The tutorials: of public names alone, and run by the build of the documentation."""

import ast
import os
import re
import subprocess
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import pytest

import galvae_affiliated

TOP = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((TOP / 'tutorials').glob('*.py'))
# what a user has who has installed the package with the extra `plot`
INSTALLED = {'astropy', 'galvae_affiliated', 'matplotlib', 'numpy', 'PIL', 'photutils', 'pyarrow',
             'scipy', 'sep', 'sklearn', *sys.stdlib_module_names}


def parsed(script):
    return ast.parse(script.read_text(encoding='utf-8'))


def imports(script):
    """Pairs of a module and a name that is imported from it, or None."""
    for node in ast.walk(parsed(script)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


def public_names(module):
    """Names that a folder of the package lists; without importing it, which may need PyTorch."""
    folder = files(galvae_affiliated).joinpath(*module.split('.')[1:])
    listed = ast.parse((folder / '__init__.pyi').read_text(encoding='utf-8'))
    return {alias.asname or alias.name for node in listed.body if isinstance(node, ast.ImportFrom)
            for alias in node.names}


def assigned(script, name):
    """A literal that a script gives a name to."""
    for node in ast.walk(parsed(script)):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', None) == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f'{script.name} has no {name}')


def needed(script):
    return assigned(TOP / 'docs' / 'conf.py', 'TUTORIALS_NEED').get(script.stem, ())


@pytest.fixture(params=SCRIPTS, ids=lambda script: script.stem)
def script(request):
    return request.param


def test_there_are_tutorials_in_order():
    assert [script.stem[:2] for script in SCRIPTS] == [f'{i:02d}' for i in
                                                       range(1, len(SCRIPTS) + 1)]
    assert len(SCRIPTS) >= 9


def test_a_tutorial_has_a_title_cells_and_a_picture_at_its_end(script):
    title, line = ast.get_docstring(parsed(script)).split('\n')[:2]
    assert line == '=' * len(title)
    cells = re.split(r'(?m)^# %%$', script.read_text(encoding='utf-8'))
    assert len(cells) > 4
    drawn = [i for i, cell in enumerate(cells) if 'plt.show()' in cell]
    assert len(cells) - 2 <= drawn[-1]  # at most some words follow


def test_a_tutorial_uses_public_names_alone(script):
    for module, name in imports(script):
        if module.split('.')[0] == 'galvae_affiliated':
            assert name in public_names(module), f'{module}.{name}'


def test_libraries_that_may_be_missing_are_stated(script):
    libraries = {module.split('.')[0] for module, _ in imports(script)}
    modules = {module for module, _ in imports(script)}
    assert libraries - INSTALLED <= {*needed(script), 'pandas'}
    for folder, library in (('training', 'torch'), ('distributed', 'dask')):
        assert f'galvae_affiliated.{folder}' not in modules or library in needed(script)


def test_what_a_tutorial_writes_is_in_a_temporary_folder(script):
    text = script.read_text(encoding='utf-8')
    writes = re.search(r'(?m)^[^#\n]*(to_parquet|write_table|savetxt)\(', text)
    assert not writes or 'tempfile' in text


@pytest.mark.slow
def test_a_tutorial_runs_and_says_nothing_but_its_results(script):
    missing = [library for library in needed(script) if find_spec(library) is None]
    if missing:
        pytest.skip(f'{script.stem} needs {", ".join(missing)}')
    done = subprocess.run([sys.executable, script.name], cwd=script.parent, text=True,
                          capture_output=True, timeout=600,
                          env={**os.environ, 'MPLBACKEND': 'agg'}, check=False)
    assert done.returncode == 0, done.stderr
    # what PyTorch says of itself while it exports
    said = [line for line in done.stderr.splitlines()
            if 'Warning' in line and 'LeafSpec' not in line]
    assert not said
