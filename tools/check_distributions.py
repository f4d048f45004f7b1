# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Check what a wheel and an sdist hold: all that is needed, and nothing else.

``python -m build`` makes them; then ``python tools/check_distributions.py dist``. The sdist
is compared with the files that git knows, where this is a checkout.
"""

import argparse
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
PACKAGE = 'galvae_affiliated'
# the build writes these into the sdist
BUILT = ('PKG-INFO', 'setup.cfg', f'{PACKAGE}.egg-info/', f'{PACKAGE}/version.py')
# of the wheel: files of the package itself with these endings, and its metadata
WHEEL_ENDINGS = ('.py', '.pyi', '.fits', '.ecsv', '.galvae', '.onnx', '.json', '.html', '.css',
                 '.js')
# what a package index takes without being asked
MAX_BYTES = 100_000_000


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('folder', type=Path, help='with one wheel and one sdist')
    folder = parser.parse_args(words).folder
    wheel, sdist = only(folder, '*.whl'), only(folder, '*.tar.gz')
    complaints = [*check_wheel(wheel), *check_sdist(sdist)]
    complaints += [f'{file.name} has {file.stat().st_size} bytes'
                   for file in (wheel, sdist) if file.stat().st_size > MAX_BYTES]
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    if not complaints:
        print(f'{wheel.name} and {sdist.name} hold what they should')
    return bool(complaints)


def only(folder, pattern):
    """The one file of a pattern."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        sys.exit(f'{folder} has {len(found)} files {pattern}; expected one')
    return found[0]


def check_wheel(path):
    """What is wrong with the files of a wheel, a line each."""
    with zipfile.ZipFile(path) as archive:
        names = {name for name in archive.namelist() if not name.endswith('/')}
    stem = '-'.join(path.name.split('-')[:2])
    inside = {name for name in names if name.startswith(f'{PACKAGE}/')}
    meta = {name for name in names if name.startswith(f'{stem}.dist-info/')}
    needed = {str(file.relative_to(TOP)).replace('\\', '/') for file in
              (TOP / PACKAGE).rglob('*') if file.suffix in WHEEL_ENDINGS}
    needed |= {f'{PACKAGE}/version.py', f'{stem}.dist-info/licenses/LICENSE.rst',
               f'{stem}.dist-info/entry_points.txt'}
    return [*(f'{path.name} lacks {name}' for name in sorted(needed - names)),
            *(f'{path.name} holds {name}' for name in sorted(names - inside - meta)),
            *(f'{path.name} holds {name}' for name in sorted(inside)
              if not name.endswith(WHEEL_ENDINGS))]


def check_sdist(path):
    """What is wrong with the files of an sdist, a line each."""
    with tarfile.open(path) as archive:
        names = {name.partition('/')[2] for name in archive.getnames()
                 if archive.getmember(name).isfile()}
    known = subprocess.run(['git', '-C', TOP, 'ls-files'], capture_output=True, text=True)
    if known.returncode:
        sys.exit(f'{TOP} is no checkout, so that nothing tells what {path.name} should hold')
    known = set(known.stdout.splitlines())
    return [*(f'{path.name} lacks {name}' for name in sorted(known - names)),
            *(f'{path.name} holds {name}' for name in sorted(names - known)
              if not name.startswith(BUILT))]


if __name__ == '__main__':
    sys.exit(main())
