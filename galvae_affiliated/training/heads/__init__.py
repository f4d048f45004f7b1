# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What is fitted on latents that do not change any more: votes, classes and quantities."""
