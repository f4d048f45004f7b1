# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a shell sees of the command: its help, its examples, its last lines, its completion."""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import types
from importlib.util import find_spec
from pathlib import Path

import pytest

from galvae_affiliated import get_model
from galvae_affiliated.scripts import _command
from galvae_affiliated.scripts._command import GROUPS, VERBS, build_parser
from galvae_affiliated.scripts._images import parse_zero_point

NEEDS = {'train': 'torch', 'sweep': 'torch', 'fit-heads': 'torch', 'fit-parts': 'torch',
         'adapt': 'torch', 'simulate': 'galsim', 'completion': 'shtab'}
MATPLOTLIB = ('demo', 'sweep', 'reconstruct')
# whose examples name what others wrote
AFTER = ('report', 'regions', 'send', 'outliers', 'similar', 'clusters', 'map', 'label')
PARSER = build_parser()


@pytest.mark.parametrize('verb', VERBS)
def test_the_help_of_a_verb(galvae, verb):
    run = galvae(verb, '--help')
    assert (run.code, run.err) == (0, '')
    assert run.out.startswith(f'usage: galvae {verb} ')
    examples = run.out.partition('examples:\n')[2].splitlines()
    assert examples and all(line.startswith(f'  galvae {verb}') for line in examples)
    assert max(map(len, run.out.partition('examples:')[0].splitlines())) < 100


@pytest.mark.parametrize('verb', VERBS)
def test_options_are_in_groups(verb):
    """But for the help, and of verbs of few options."""
    parser = PARSER.verbs[verb]
    options = parser._optionals._group_actions
    assert len(options) <= 4, [action.dest for action in options]
    for group in parser._action_groups:
        for action in group._group_actions:
            assert action.help or not action.option_strings, (verb, action.dest)


def test_the_help_lists_the_verbs_in_groups(galvae):
    run = galvae('--help')
    assert (run.code, run.err) == (0, '')
    place = 0
    for title, verbs in GROUPS.items():
        place = run.out.index(f'\n{title}:\n', place)
        for verb in verbs:
            place = run.out.index(f'\n  {verb} ', place)
    assert max(map(len, run.out.splitlines())) < 80


def test_who_says_nothing_is_led_to_the_help(galvae):
    run = galvae()
    assert (run.code, run.out) == (2, '')
    assert 'encode and look:' in run.err and 'galvae demo is a first try' in run.err


@pytest.mark.parametrize('verb', [verb for verb in VERBS if PARSER.verbs[verb].has_needs()])
def test_a_verb_alone_leads_to_an_example(galvae, verb):
    run = galvae(verb)
    assert (run.code, run.out) == (2, '')
    first, *examples, last = run.err.splitlines()
    assert first == f'galvae: error: galvae {verb} asks for more, for example'
    assert [line.strip() for line in examples] == list(PARSER.verbs[verb].examples)
    assert last == f'galvae {verb} --help lists what there is'


@pytest.mark.parametrize(('word', 'message'), [
    ('encod', "there is no command 'encod'; did you mean encode? galvae --help lists them"),
    ('doktor', 'did you mean doctor?'),
    ('xyz', "there is no command 'xyz'; galvae --help lists them")])
def test_a_word_that_is_no_verb(galvae, word, message):
    galvae(word).fails(2, message)


@pytest.mark.parametrize('words', [['--', 'models'], ['--', 'encode']])
def test_a_verb_after_dashes(galvae, words):
    assert 'unexpected' not in galvae(*words).err


def test_a_missing_option_is_told_in_one_line(galvae):
    galvae('generate', '-n', 3).fails(2, '-o/--output; galvae generate --help lists what')
    galvae('encode', 'x.fits').fails(2, '-o OUT is missing, the table to write')
    galvae('encode', 'x', '--foo').fails(2, 'arguments: --foo; galvae encode --help lists what')


@pytest.mark.parametrize(('text', 'expected'), [
    ('25.1', 25.1), ('g=25.1, r=25.3', {'g': 25.1, 'r': 25.3})])
def test_zero_points(text, expected):
    assert parse_zero_point(text) == expected


@pytest.mark.parametrize('verb', ['reconstruct', 'report'])
def test_wrong_zero_points_of_any_verb(galvae, verb):
    galvae(verb, 'x', '-o', 'y.png', '--zero-point', 'g=25,r').fails(
        2, "--zero-point: it is 'g=25,r'; expected a number, or one a band")


def test_the_modules_of_other_verbs_are_not_imported():
    code = ('import sys\nfrom galvae_affiliated.scripts._command import build_parser\n'
            'build_parser(["encode"])\nprint(*sys.modules)')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    loaded = {name.rpartition('.')[2] for name in done.stdout.split()
              if name.startswith('galvae_affiliated.scripts.')}
    assert loaded == {'_command', '_common', '_images', '_messages', '_outcome', '_request',
                      'encode'}
    assert not {'shtab', 'onnxruntime', 'pyarrow', 'torch'} & {*done.stdout.split()}


# ---- completion ---------------------------------------------------------------------------------


@pytest.mark.parametrize('shell', ['bash', 'zsh', 'tcsh'])
def test_completion_knows_verbs_and_options(galvae, shell):
    pytest.importorskip('shtab')
    run = galvae('completion', shell)
    assert (run.code, run.err) == (0, '')
    for verb in VERBS:
        assert verb in run.out
    for option in ('--zero-point', '--random-state', 'float16'):
        assert option.lstrip('-') in run.out
    assert '/tmp' not in run.out and os.getcwd() not in run.out


def test_bash_completes_by_it(galvae, tmp_path):
    pytest.importorskip('shtab')
    if shutil.which('bash') is None:
        pytest.skip('there is no bash')
    (tmp_path / 'script').write_text(galvae('completion', 'bash').out)
    lines = [f'source {tmp_path / "script"}', 'COMP_WORDS=(galvae enc); COMP_CWORD=1',
             '$(complete -p galvae | sed "s/.*-F \\([^ ]*\\).*/\\1/"); echo "${COMPREPLY[@]}"']
    done = subprocess.run(['bash', '-c', '\n'.join(lines)], capture_output=True, text=True)
    assert done.stdout.split() == ['encode']


def test_completion_says_what_to_install(galvae, monkeypatch):
    monkeypatch.setitem(sys.modules, 'shtab', None)
    galvae('completion', 'bash').fails(1, "pip install 'galvae_affiliated[shell]'")


# ---- the examples of the help -------------------------------------------------------------------


@pytest.fixture(scope='module')
def folder(tmp_path_factory, field_files):
    """The files that the examples name: three bands, their sources, a set, a configuration."""
    import training_sets
    from PIL import Image

    folder = tmp_path_factory.mktemp('examples')
    for band, path in field_files.items():
        shutil.copy(path, folder / f'{band}.fits')
    write_sources(folder / 'sources.fits')
    training_sets.write_parquet(folder / 'galaxies.parquet', training_sets.rows())
    Image.new('L', (1, 1))  # the plugins of Pillow are loaded here
    for name in ('cutouts', 'sdss', 'survey'):
        shutil.copy(folder / 'galaxies.parquet', folder / f'{name}.parquet')
    data = {**training_sets.PARQUET_LABELS, 'source': 'galaxies.parquet'}
    (folder / 'mine.toml').write_text(training_sets.tiny_toml(
        data=data, steps=10, n_heads=2, head_steps=30))
    return folder


def write_sources(path, n=72):
    """The galaxies of the field over and over, as exploring asks for some number, near by."""
    import astropy.units as u
    import numpy as np
    from astropy.table import Table
    from conftest import GALAXIES, PIXEL, R90

    rng = np.random.default_rng(3)
    x, y, scale, _, kind = (np.resize(values, n) for values in zip(*GALAXIES))
    radius = np.array([R90[k] for k in kind]) * scale * PIXEL * rng.uniform(0.9, 1.1, n)
    Table({'x': x + rng.uniform(-1, 1, n), 'y': y + rng.uniform(-1, 1, n),
           'petro_r90': radius * u.arcsec, 'mag': np.linspace(18, 21, n)}).write(path)


class Hub:
    """What `send` and `label` show people, which no test can do."""

    def __init__(self, monkeypatch):
        self.seen = []
        monkeypatch.setattr('galvae_affiliated.tables.samp.send_table', self.send)
        monkeypatch.setattr('webbrowser.open', self.seen.append)
        monkeypatch.setattr('galvae_affiliated.pages.labelling.LabelServer.run', lambda _: None)

    def send(self, table, *, name, client, timeout):
        self.seen.append(name)
        return [client or 'topcat']


def stand_in(model, *sets, **options):
    """A model that was adapted, or given parts: what takes minutes is tested elsewhere."""
    assert get_model(model).id
    manifest = types.SimpleNamespace(raw={'adapted': {}})
    return types.SimpleNamespace(id='new@0', write=lambda path, overwrite: None,
                                 manifest=manifest)


@pytest.fixture(scope='module')
def encoded(folder):
    """The examples of `encode`, by which there is a table for those of others."""
    from galvae_affiliated.scripts.main import main

    before = os.getcwd()
    os.chdir(folder)
    try:
        words = ['encode', 'g.fits', 'r.fits', 'z.fits', '--bands', 'g,r,z', '--catalog',
                 'sources.fits', '--no-reconstruction', '-o', 'table.fits', '--overwrite']
        assert main(words) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.mark.filterwarnings('ignore::UserWarning', 'ignore::FutureWarning',
                            'ignore:.*isinstance.*:DeprecationWarning')
@pytest.mark.parametrize('verb', VERBS)
def test_the_examples_run(verb, folder, request, training_galvae, monkeypatch):
    if verb in NEEDS and find_spec(NEEDS[verb]) is None:
        pytest.skip(f'there is no {NEEDS[verb]}')
    if verb in MATPLOTLIB:
        pytest.importorskip('matplotlib')
    if verb in AFTER:
        request.getfixturevalue('encoded')
    monkeypatch.chdir(folder)
    Hub(monkeypatch)
    if verb == 'adapt':
        monkeypatch.setattr('galvae_affiliated.training.adapt_model', stand_in)
        monkeypatch.setattr('galvae_affiliated.scripts.adapt._report_lines', lambda about: [])
    if verb == 'fit-parts':
        monkeypatch.setattr('galvae_affiliated.training.parts.fit_parts', stand_in)
        get_model().write(folder / 'mine.galvae', overwrite=True)
    for example in PARSER.verbs[verb].examples:
        words = shlex.split(example)
        assert words[0] == 'galvae'
        words = words[1:words.index('>')] if '>' in words else words[1:]
        if verb == 'train' and example != PARSER.verbs[verb].examples[0]:
            assert PARSER.parse_args(words).run  # trained once: it takes seconds
            continue
        if verb == 'encode' and (folder / words[words.index('-o') + 1] if '-o' in words
                                 else folder / 'none').exists():
            words.append('--overwrite')
        run = training_galvae(*words)
        assert run.code == 0, (example, run.err)
        assert_summed_up(words, run)


def assert_summed_up(words, run):
    """A run that writes ends with one line: what it wrote, what that is, and the time."""
    last = run.err.splitlines()[-1] if run.err else ''
    if '-o' in words:
        output = words[words.index('-o') + 1]
        assert re.fullmatch(rf'galvae: {re.escape(output)}: .+; \d+\.\d s', last), last
    elif words[0] in ('models', 'info', 'doctor', 'completion', 'similar'):
        assert not [line for line in run.err.splitlines() if not line.startswith('galvae: warn')]
    else:
        assert re.fullmatch(r'galvae: .+; \d+\.\d s', last), last


def test_every_verb_has_its_place():
    assert len(VERBS) == sum(map(len, GROUPS.values()))
    for verb, (module, text) in VERBS.items():
        assert text[0].islower() and not text.endswith('.')
        assert hasattr(importlib.import_module(f'{_command.FOLDER}.{module}'),
                       f'add_{verb.replace("-", "_")}')


def test_the_page_of_options_is_that_of_the_parser(monkeypatch):
    root = Path(__file__).resolve().parents[2]
    monkeypatch.syspath_prepend(str(root / 'tools'))
    tool = importlib.import_module('make_cli_reference')
    assert tool.PATH.read_text() == tool.options_page(), 'run tools/make_cli_reference.py'
