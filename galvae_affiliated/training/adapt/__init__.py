# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A trained encoder learns to give the galaxies of another survey the same latents."""
