# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Named bits that say what is known against a row."""

__all__ = ['GalvaeFlags', 'UNMEASURED', 'describe_flags', 'flag_meanings']

# name: (bit value, whether rows that have it are masked, meaning)
BITS = {
    'BAD_POSITION': (1, True, 'the position is missing or not finite'),
    'OFF_IMAGE': (2, True, 'the position lies outside the image'),
    'NO_DATA': (4, True, 'the cutout is empty: every pixel is missing, or all are equal'),
    'NO_RADIUS': (8, True, 'no radius was given and none could be measured'),
    'BAD_RADIUS': (16, True,
                   'the given radius is negative, zero, or far larger than the image; or the pixel '
                   'scale of a cutout is none'),
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
                        'the noise, or the brightness of a linear picture'),
    'ARTIFACT': (4096, False,
                 'the light is of one band and sharp or straight, or saturated, or a spike of a '
                 'star; or a picture has the straight edge of missing data or a streak across it; '
                 'or the likeliest answer is a star or an artifact: it may be no galaxy'),
    'RADIUS_UNCERTAIN': (8192, False, 'the radius was measured, but noise, neighbours or an edge '
                         'leave it uncertain: the cutout may be of a wrong size'),
    'POINT_SOURCE': (16384, False,
                     'not larger than a star in this image: a star, or not resolved'),
    'BLENDED': (32768, False, 'borders on a source of ten times its light, and may be a piece '
                'of it: measured sources alone'),
    'FEW_BANDS': (65536, False, 'fewer than three bands: the channels of the model are made of one '
                  'or two, and color says nothing'),
    'UNRESOLVED': (131072, False, 'too small against the point spread function, or the pixels, '
                   'for a morphology'),
    'UNLIKE_TRAINING': (262144, False, 'an image such as hardly any that the model was trained on: '
                        'galvae_applicability_reasons says why'),
}


class BitNames:
    """
    Names of bits, as attributes and as keys; they do not change.

    The functions of `astropy.nddata.bitmask` take it as their ``flag_name_map``. Its own class for
    that is not used here: with it a tenth of the time of each start is spent on sparse arrays.

    Parameters
    ----------
    title : str
        What they are of.
    **bits : int

    Examples
    --------
    >>> from astropy.nddata.bitmask import bitfield_to_boolean_mask
    >>> from galvae_affiliated import GalvaeFlags
    >>> GalvaeFlags.EDGE, GalvaeFlags['EDGE']
    (64, 64)
    >>> bitfield_to_boolean_mask([0, 1, 64], ignore_flags='EDGE', flag_name_map=GalvaeFlags)
    array([False,  True, False])
    """

    def __init__(self, title, /, **bits):
        self.__dict__.update(_title=title, **bits)

    def __getitem__(self, name):
        try:
            return self.__dict__[name]
        except KeyError:
            raise AttributeError(f'there is no bit {name!r} of {self._title}') from None

    def __setattr__(self, name, value):
        raise AttributeError(f'the bits of {self._title} do not change')

    def __repr__(self):
        return f'<BitNames {self._title}: {", ".join(n for n in vars(self) if n[0] != "_")}>'


GalvaeFlags = BitNames('GalvaeFlags', **{name: bit for name, (bit, _, _) in BITS.items()})
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
    value = int(value)
    return [name for name, (bit, _, _) in BITS.items() if value & bit]


def flag_meanings():
    """
    What each bit means.

    Returns
    -------
    meanings : dict of str to (int, bool, str)
        Name to bit, whether the row's values are masked, and the meaning.

    Examples
    --------
    >>> from galvae_affiliated import flag_meanings
    >>> bit, is_masked, meaning = flag_meanings()['EDGE']
    >>> bit, is_masked
    (64, False)
    """
    return dict(BITS)
