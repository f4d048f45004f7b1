# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Files that say the same, pinned workflows, and distributions that hold what they should."""

import importlib.util
import json
import re
import shutil
import subprocess
import tarfile
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

TOP = Path(__file__).parents[1]
WORKFLOWS = sorted((TOP / '.github' / 'workflows').glob('*.yml'))


def text_of(name):
    return (TOP / name).read_text(encoding='utf-8')


@pytest.fixture(scope='module')
def metadata():
    config = ConfigParser(interpolation=None)
    config.read(TOP / 'setup.cfg', encoding='utf-8')
    return config


def test_the_archive_and_the_package_say_the_same(metadata):
    package = metadata['metadata']
    zenodo, citation = json.loads(text_of('.zenodo.json')), yaml.safe_load(text_of('CITATION.cff'))
    assert zenodo['title'] == citation['title'] == package['name']
    assert zenodo['license'] == citation['license'] == package['license_expression']
    assert [one['name'] for one in zenodo['creators']] == [package['author']]
    assert [one['name'] for one in citation['authors']] == [package['author']]
    assert citation['repository-code'] == package['url']
    related = {one['identifier'] for one in zenodo['related_identifiers']}
    assert related == {one['doi'] for one in citation['references']}


def test_citations_are_those_of_the_readme():
    cited = re.findall(r'https://doi\.org/(\S+?)>`', text_of('README.rst'))
    assert {one['doi'] for one in yaml.safe_load(text_of('CITATION.cff'))['references']} == {*cited}


@pytest.mark.parametrize('path', WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_to_commits(path):
    used = re.findall(r'uses: (\S+)(.*)', path.read_text(encoding='utf-8'))
    assert used
    for action, comment in used:
        assert re.fullmatch(r'[\w/.-]+@[0-9a-f]{40}', action), action
        assert re.fullmatch(r' # v\d+\.\d+\.\d+', comment), (action, comment)


def test_nothing_is_published_that_was_not_tested():
    jobs = yaml.safe_load(text_of('.github/workflows/release.yml'))['jobs']
    publish = jobs['publish']
    assert {*publish['needs']} == {'build', 'test'}
    assert "startsWith(github.ref, 'refs/tags/v')" in publish['if']
    assert publish['environment']['name'] == 'pypi'
    # only this job can ask for a token, and it builds nothing
    assert publish['permissions'] == {'id-token': 'write'}
    assert not any('run' in step for step in publish['steps'])
    assert all('id-token' not in jobs[name].get('permissions', {}) for name in ('build', 'test'))


def test_versions_of_python_are_tested(metadata):
    versions = re.findall(r'Python :: (3\.\d+)', metadata['metadata']['classifiers'])
    assert metadata['options']['python_requires'] == f'>={versions[0]}'
    included = yaml.safe_load(text_of('.github/workflows/ci.yml'))['jobs']['tox']['strategy'][
        'matrix']['include']
    firm = {job['python'] for job in included if not job.get('may_fail')}
    assert {*versions} == firm


def test_fragments_have_a_kind_that_is_known():
    kinds = re.findall(r'^directory = "(\w+)"$', text_of('towncrier.toml'), re.MULTILINE)[1:]
    assert kinds == ['feature', 'bugfix', 'api', 'other']
    for path in (TOP / 'changes').iterdir():
        if path.name not in ('README.rst', 'template.rst'):
            assert re.fullmatch(rf'[+\w-]+\.({"|".join(kinds)})(\.\d+)?\.rst', path.name)


@pytest.fixture
def checks(tmp_path, monkeypatch):
    """The tool, of a small package in a checkout."""
    if shutil.which('git') is None:
        pytest.skip('needs git')
    spec = importlib.util.spec_from_file_location('check_distributions',
                                                  TOP / 'tools' / 'check_distributions.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(tool, 'TOP', tmp_path / 'top')
    for name in ('galvae_affiliated/a.py', 'galvae_affiliated/data/b.onnx', 'tests/c.py'):
        path = tmp_path / 'top' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('')
    subprocess.run(['git', 'init', '-q', tmp_path / 'top'], check=True)
    subprocess.run(['git', '-C', tmp_path / 'top', 'add', '.'], check=True)
    return tool


def write_distributions(folder, *, wheel=(), sdist=(), without=()):
    """A wheel and an sdist of the small package with more files, or fewer."""
    folder.mkdir()
    inside = ['galvae_affiliated/a.py', 'galvae_affiliated/data/b.onnx',
              'galvae_affiliated/version.py']
    meta = ['galvae_affiliated-1.dist-info/licenses/LICENSE.rst',
            'galvae_affiliated-1.dist-info/entry_points.txt']
    with zipfile.ZipFile(folder / 'galvae_affiliated-1-py3-none-any.whl', 'w') as archive:
        for name in [*inside, *meta, *wheel]:
            if name not in without:
                archive.writestr(name, '')
    with tarfile.open(folder / 'galvae_affiliated-1.tar.gz', 'w:gz') as archive:
        for name in [*inside, 'tests/c.py', 'PKG-INFO', *sdist]:
            if name not in without:
                archive.addfile(tarfile.TarInfo(f'galvae_affiliated-1/{name}'))
    return str(folder)


def test_distributions_that_hold_what_they_should(checks, tmp_path, capsys):
    assert checks.main([write_distributions(tmp_path / 'dist')]) == 0
    assert 'hold what they should' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('files', 'message'),
    [
        ({'wheel': ['tests/c.py']}, 'whl holds tests/c.py'),
        ({'wheel': ['galvae_affiliated/notes.txt']}, 'whl holds galvae_affiliated/notes.txt'),
        ({'sdist': ['runs/last.ckpt']}, 'tar.gz holds runs/last.ckpt'),
        ({'without': ['galvae_affiliated/data/b.onnx']}, 'whl lacks galvae_affiliated/data/b.onnx'),
        ({'without': ['tests/c.py']}, 'tar.gz lacks tests/c.py'),
    ],
)
def test_other_distributions_are_refused(checks, tmp_path, capsys, files, message):
    assert checks.main([write_distributions(tmp_path / 'dist', **files)]) == 1
    assert message in capsys.readouterr().err


def test_a_folder_without_distributions_is_told(checks, tmp_path):
    with pytest.raises(SystemExit, match='expected one'):
        checks.main([str(tmp_path)])
