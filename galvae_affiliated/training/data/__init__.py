# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxies to learn from: their images and labels, batches of them, and random views."""
