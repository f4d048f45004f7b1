# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Options that say how images are to be read; every verb that takes images has these."""

import argparse

from galvae_affiliated.scripts._common import parse_pairs


def parse_zero_point(text):
    """
    The zero point of an option.

    Parameters
    ----------
    text : str
        '25.1', or one a band such as 'g=25.1,r=25.3'.

    Returns
    -------
    zero_point : float or dict of str to float

    Raises
    ------
    `argparse.ArgumentTypeError`
        If it is neither.
    """
    try:
        if '=' not in text:
            return float(text)
        return {band: float(value) for band, value in parse_pairs(text, 'it').items()}
    except ValueError:
        raise argparse.ArgumentTypeError(f'it is {text!r}; expected a number, or one a band such '
                                         'as g=25.1,r=25.3') from None


# name of the keyword to what argparse is told
READING = {
    'bands': {'metavar': 'NAMES', 'help': 'one or more bands in the order of the images, such as '
              "g,r,z, VIS, HSC-I or '814 nm'"},
    'unit': {'metavar': 'UNIT', 'help': "flux unit, such as nmgy, uJy or MJy/sr, in place of the "
             "header's"},
    'zero_point': {'metavar': 'MAG', 'type': parse_zero_point,
                   'help': 'AB magnitude of one count, for all bands or as g=25.1,r=25.3,...'},
    'pixel_scale': {'metavar': 'ARCSEC', 'type': float,
                    'help': 'side of a pixel, in place of the WCS; the galaxies of a set are '
                    'measured then'},
    'already_scaled': {'action': 'store_true',
                       'help': "of a set: the cutouts are at the model's scale already"},
    'rendering': {'metavar': 'NAME', 'help': 'how the images enter the model; galvae info lists '
                  'the names, and linear is for 8-bit pictures that were not compressed'},
}


def add_reading_options(parser, names=tuple(READING), prefix='', **changes):
    """
    Add options of reading; see `reading_options`.

    Parameters
    ----------
    parser : `argparse.ArgumentParser` or group
    names : sequence of str, optional
        Which of `READING`.
    prefix : str, optional
        Before the name of each, such as 'source-'.
    **changes
        Name to what argparse is told otherwise, a dict.
    """
    for name in names:
        parser.add_argument(f'--{prefix}{name.replace("_", "-")}',
                            **{**READING[name], **changes.get(name, {})})


def reading_options(options, names=tuple(READING), prefix=''):
    """Keywords of the options that `add_reading_options` added."""
    return {name: getattr(options, f'{prefix}{name}') for name in names}
