# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The networks: what goes into them, encoders, decoders and vote heads, and what they give."""
