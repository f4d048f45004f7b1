# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The ``galvae`` command: a file a group of verbs; no arithmetic."""
