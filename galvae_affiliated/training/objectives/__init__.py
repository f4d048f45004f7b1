# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What is minimised: one objective a module, all of one shape."""
