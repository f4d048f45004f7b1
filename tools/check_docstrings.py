# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Check the docstrings of the package with numpydoc, as ``[tool.numpydoc_validation]`` says.

The same as ``numpydoc lint`` with the names of all files, which no shell has to expand.
Whether public names have examples, and all their parameters, is in
``tests/test_docstrings.py``.
"""

import sys
from pathlib import Path

from numpydoc.hooks.validate_docstrings import run_hook

TOP = Path(__file__).resolve().parents[1]


def main():
    files = sorted(str(path) for path in (TOP / 'galvae_affiliated').rglob('*.py'))
    return run_hook(files)


if __name__ == '__main__':
    sys.exit(main())
