# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Trained networks as ONNX graphs in a bundle."""
