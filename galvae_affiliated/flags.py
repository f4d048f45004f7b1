# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Named bits that say what is known against a row."""

from astropy.nddata.bitmask import extend_bit_flag_map, interpret_bit_flags

__all__ = ['GalvaeFlags', 'UNMEASURED', 'describe_flags', 'flag_meanings']

# name: (bit value, whether rows that have it are masked, meaning)
BITS = {
    'BAD_POSITION': (1, True, 'the position is missing or not finite'),
    'OFF_IMAGE': (2, True, 'the position lies outside the image'),
    'NO_DATA': (4, True, 'the cutout is empty: every pixel is missing, or all are equal'),
    'NO_RADIUS': (8, True, 'no radius was given and none could be measured'),
    'BAD_RADIUS': (16, True,
                   'the given radius is negative, zero, or far larger than the image'),
    'UNREADABLE': (32, True, 'the image of this row could not be read'),
    'EDGE': (64, False, 'part of the cutout lies outside the image'),
    'MISSING_PIXELS': (128, False,
                       'more than 2 per cent of the pixels near the galaxy are missing'),
    'SMALL': (256, False,
              'the radius is under 3 pixels: the image does not resolve a morphology'),
    'FAINT': (512, False,
              'the galaxy is hardly brighter than the noise (signal to noise under 10)'),
    'POOR_FIT': (1024, False, 'the decoder explains the cutout worse than 99 per cent of the '
                 'training images'),
    'SCALE_ESTIMATED': (2048, False, 'nobody said the flux unit: the scale was estimated from '
                        'the noise'),
    'ARTIFACT': (4096, False,
                 'the light is of one band and sharp or straight, or saturated, or a spike of a '
                 'star; or the likeliest answer is a star or an artifact: it may be no galaxy'),
    'RADIUS_UNCERTAIN': (8192, False, 'the radius was measured, but noise, neighbours or an edge '
                         'leave it uncertain: the cutout may be of a wrong size'),
    'POINT_SOURCE': (16384, False,
                     'not larger than a star in this image: a star, or not resolved'),
    'BLENDED': (32768, False, 'borders on a source of ten times its light, and may be a piece '
                'of it: measured sources alone'),
}

GalvaeFlags = extend_bit_flag_map('GalvaeFlags',
                                  **{name: bit for name, (bit, _, _) in BITS.items()})
"""The bits of the ``galvae_flags`` column, by name (see `astropy.nddata.bitmask`)."""
UNMEASURED = sum(bit for bit, masked, _ in BITS.values() if masked)
"""Bits of rows that have no latents; their values are masked."""


def describe_flags(value):
    """
    Names of the bits that are set.

    Parameters
    ----------
    value : int
        An element of a ``galvae_flags`` column.

    Returns
    -------
    names : list of str

    Examples
    --------
    >>> from galvae_affiliated.flags import describe_flags
    >>> describe_flags(66)
    ['OFF_IMAGE', 'EDGE']
    """
    value = interpret_bit_flags(int(value)) or 0
    return [name for name, (bit, _, _) in BITS.items() if value & bit]


def flag_meanings():
    """
    What each bit means.

    Returns
    -------
    meanings : dict of str to (int, bool, str)
        Name to bit, whether the row's values are masked, and the meaning.
    """
    return dict(BITS)
