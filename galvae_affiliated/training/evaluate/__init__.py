# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Scores of images, votes and quantities, for sweeps, model cards and benchmarks."""
