# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What importing and running the package loads."""

import ast
import graphlib
import importlib
import importlib.util
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
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
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
        'noise = np.random.default_rng(0).normal(size=(64, 64))\n'
        'image = 50 * np.exp(-np.hypot(x, y) / 4) + noise\n'
        'sources = Table({"x": [31.5], "y": [31.5]})\n'
        'table = encode_catalog({b: image for b in "grz"}, sources, unit="nmgy",\n'
        '                       pixel_scale=0.262)\n'
        'assert np.isfinite(np.asarray(table["galvae_latent"])).all()'
    )
    # nor scikit-learn, which takes as long to import as everything else
    assert loaded_after(code) == ['onnxruntime']


def test_a_configuration_is_read_without_torch():
    assert (
        loaded_after('from galvae_affiliated.training import TrainingConfig\nTrainingConfig()')
        == []
    )


def test_a_wrong_configuration_is_told_before_torch_is_loaded():
    words = "['train', 'none.toml', '-o', 'none.galvae']"
    assert (
        loaded_after(f'from galvae_affiliated.scripts.main import main\nassert main({words}) == 2')
        == []
    )


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
        ('onnxruntime', {'models/_sessions.py', 'training'}),
        ('torch', {'training'}),
        ('lightning', {'training'}),
        ('onnx', {'training'}),
        ('reproject', {'images/field.py'}),
        ('distributed', {'distributed/_workers.py'}),
        ('matplotlib', {'plotting'}),
    ],
)
def test_a_library_has_one_room(library, rooms):
    found = set()
    for path in ROOT.rglob('*.py'):
        if any(name.split('.')[0] == library for name in imported(path)):
            place = path.relative_to(ROOT)
            is_room = place.parts[0] in ('training', 'plotting')
            found.add(place.parts[0] if is_room else str(place))
    assert found == rooms


# what may be imported by what: each room uses those of the floors below it, and none beside it
FLOORS = [
    ['version', 'flags', 'exceptions', '_atomic', '_batches', '_optional', '_progress'],
    ['images'],
    ['sources'],
    ['cutouts'],
    ['models'],
    ['tables'],
    ['pipeline', 'plotting', 'simulation', 'surveys'],
    ['catalog', 'explore'],
    ['streaming'],
    ['distributed'],
    ['training.config', 'training.checkpoints'],
    ['training.networks'],
    ['training.data'],
    ['training.export', 'training.evaluate'],
    ['training.objectives', 'training.heads'],
    ['training'],
    ['pages'],
    ['scripts'],
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MODULES = {
    '.'.join(path.relative_to(ROOT).with_suffix('').parts): path
    for path in sorted(ROOT.rglob('*.py'))
}


def room_of(module):
    """The room of a module, or of a folder."""
    room = module
    while room not in FLOOR:
        assert room, f'{module} is in no room; FLOORS has to name one'
        room, _, _ = room.rpartition('.')
    return room


def modules_used(name):
    """The modules of the package that a module imports, wherever in it."""
    used = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.startswith('galvae_affiliated.')
        ):
            target = node.module.partition('.')[2]
            for alias in node.names:
                used.add(
                    f'{target}.{alias.name}' if f'{target}.{alias.name}' in MODULES else target
                )
    return used


@pytest.mark.parametrize('name', [name for name in MODULES if not name.endswith('__init__')])
def test_a_room_uses_those_below_it_alone(name):
    for used in modules_used(name):
        room, other = room_of(name), room_of(used)
        assert room == other or FLOOR[other] < FLOOR[room], f'{name} imports {used}'


def test_no_imports_go_round():
    graph = {name: modules_used(name) for name in MODULES}
    assert sum(map(len, graph.values())) > 100
    list(graphlib.TopologicalSorter(graph).static_order())  # or it names the circle


@pytest.mark.parametrize('name', [name for name in MODULES if not name.startswith('training')])
def test_inference_does_not_import_training(name):
    used = {used for used in modules_used(name) if used.startswith('training')}
    # the commands for training import it when they run
    assert not used or name in ('scripts.adapt', 'scripts.parts', 'scripts.train')


def test_folders_have_the_names_that_they_state():
    """Folders give their names lazily, and what they name exists."""
    folders = ('images', 'sources', 'cutouts', 'models', 'tables', 'explore', 'surveys',
               'distributed')
    for folder in folders:
        module = importlib.import_module(f'galvae_affiliated.{folder}')
        assert module.__all__
        if folder != 'distributed' or importlib.util.find_spec('distributed'):
            assert all(getattr(module, name) is not None for name in module.__all__)


@pytest.mark.parametrize('name', galvae_affiliated.__all__)
def test_public_names_exist(name):
    assert getattr(galvae_affiliated, name) is not None
    assert name in dir(galvae_affiliated)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match='no_such_name'):
        galvae_affiliated.no_such_name  # noqa: B018
