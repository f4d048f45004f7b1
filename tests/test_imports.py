# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What importing and running the package loads."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import galvae_affiliated

ROOT = Path(galvae_affiliated.__file__).parent
HEAVY = ('torch', 'lightning', 'onnxruntime', 'sklearn', 'onnx', 'skl2onnx')


def loaded_after(code):
    """Names of ``HEAVY`` that a fresh interpreter has loaded after running ``code``."""
    code = f'import sys\n{code}\nprint(*[m for m in {HEAVY} if m in sys.modules])'
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    return result.stdout.split()


def test_importing_loads_nothing_heavy():
    assert loaded_after('import galvae_affiliated') == []


def test_encoding_alone_does_not_load_scikit_learn():
    code = (
        'import numpy as np\n'
        'from galvae_affiliated.models.encoder import Encoder\n'
        'Encoder().encode(np.random.default_rng(0).random((1, 3, 128, 128)))'
    )
    assert loaded_after(code) == ['onnxruntime']


def test_inference_never_loads_torch():
    code = (
        'import numpy as np\n'
        'from galvae_affiliated import encode_catalog\n'
        'from astropy.table import Table\n'
        'y, x = np.mgrid[:64, :64] - 31.5\n'
        'image = 50 * np.exp(-np.hypot(x, y) / 4) + np.random.default_rng(0).normal(size=(64, 64))\n'
        'table = encode_catalog({b: image for b in "grz"}, Table({"x": [31.5], "y": [31.5]}), unit="nmgy",\n'
        '                       pixel_scale=0.262)\n'
        'assert np.isfinite(np.asarray(table["galvae_latent"])).all()'
    )
    # nor scikit-learn, which takes as long to import as everything else
    assert loaded_after(code) == ['onnxruntime']


def test_a_configuration_is_read_without_torch():
    assert loaded_after('from galvae_affiliated.training import TrainingConfig\nTrainingConfig()') == []


def test_a_wrong_configuration_is_told_before_torch_is_loaded():
    words = "['train', 'none.toml', '-o', 'none.galvae']"
    assert loaded_after(f'from galvae_affiliated.scripts.main import main\nassert main({words}) == 2') == []


def imported(path):
    """Top-level names of all modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize(
    ('library', 'rooms'),
    [
        ('onnxruntime', {'models/_sessions.py'}),
        ('torch', {'training'}),
        ('lightning', {'training'}),
        ('onnx', {'training'}),
        ('reproject', {'images/field.py'}),
        ('distributed', {'distributed/_workers.py'}),
        ('matplotlib', {'plotting.py'}),
    ],
)
def test_a_library_has_one_room(library, rooms):
    found = set()
    for path in ROOT.rglob('*.py'):
        if any(name.split('.')[0] == library for name in imported(path)):
            place = path.relative_to(ROOT)
            found.add('training' if place.parts[0] == 'training' else str(place))
    assert found == rooms


def test_inference_does_not_import_training():
    # the commands for training import it when they run
    for path in set(ROOT.rglob('*.py')) - {ROOT / 'scripts/train.py'} - set((ROOT / 'training').rglob('*.py')):
        assert not any(name.startswith('galvae_affiliated.training') for name in imported(path)), path.name


@pytest.mark.parametrize('name', galvae_affiliated.__all__)
def test_public_names_exist(name):
    assert getattr(galvae_affiliated, name) is not None
    assert name in dir(galvae_affiliated)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match='no_such_name'):
        galvae_affiliated.no_such_name  # noqa: B018
