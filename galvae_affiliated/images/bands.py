# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Bands by name or wavelength, and which of a model's channels each of them enters."""

import re
from dataclasses import dataclass, field
from itertools import combinations

import astropy.units as u
import numpy as np

__all__ = ['Band', 'ChannelPlan', 'parse_band', 'plan_channels']

# Pivot wavelengths in nm, rounded, from the instruments' handbooks and the SVO Filter Profile
# Service: SDSS u to z and LSST y, Bessell, VISTA, Euclid, HST ACS and WFC3 (F300W, F450W, F702W
# of WFPC2), JWST NIRCam, Roman, WISE, GALEX
WAVELENGTHS = {
    'u': 356, 'g': 470, 'r': 618, 'i': 749, 'z': 895, 'y': 971,
    'U': 360, 'B': 436, 'V': 545, 'R': 641, 'I': 798,
    'Y': 1020, 'J': 1252, 'H': 1645, 'K': 2150, 'Ks': 2150,
    'VIS': 715, 'YE': 1081, 'JE': 1367, 'HE': 1771,
    'F275W': 271, 'F300W': 299, 'F336W': 335, 'F390W': 392, 'F435W': 433, 'F438W': 433,
    'F450W': 456, 'F475W': 475, 'F555W': 536, 'F606W': 592, 'F625W': 631, 'F702W': 692,
    'F775W': 769, 'F814W': 805, 'F850LP': 903, 'F098M': 986, 'F105W': 1055, 'F110W': 1153,
    'F125W': 1249, 'F140W': 1392, 'F160W': 1537,
    'F070W': 704, 'F090W': 902, 'F115W': 1154, 'F140M': 1405, 'F150W': 1501, 'F162M': 1627,
    'F182M': 1845, 'F200W': 1990, 'F210M': 2096, 'F250M': 2503, 'F277W': 2786, 'F300M': 2996,
    'F335M': 3365, 'F356W': 3563, 'F360M': 3621, 'F410M': 4092, 'F430M': 4280, 'F444W': 4421,
    'F460M': 4624, 'F480M': 4834,
    'F062': 620, 'F087': 869, 'F106': 1059, 'F129': 1292, 'F146': 1437, 'F158': 1577,
    'F184': 1841, 'F213': 2125,
    'W1': 3368, 'W2': 4618, 'NUV': 230, 'FUV': 153,
}
# words before or after the name of a band; letters are small in these surveys,
OPTICAL = {'sdss', 'des', 'decam', 'decals', 'ls', 'legacy', 'legacysurvey', 'hsc', 'lsst',
           'lsstcam', 'comcam', 'lsstcomcam', 'rubin', 'ps1', 'panstarrs', 'megacam', 'megaprime',
           'cfht', 'cfhtls', 'unions', 'kids', 'omegacam', 'vst', 'skymapper', 'bass', 'mzls',
           'bok', 'csst', 'subaru', 'suprimecam', 'gmos', 'delve', 'splus', 'jplus', 'wfst'}
# capitals in these, and those of NISP in these
INFRARED = {'vista', 'vircam', 'viking', 'vhs', 'video', 'ultravista', 'ukidss', 'uhs', 'ukirt',
            'wfcam', '2mass'}
EUCLID = {'euclid', 'euc', 'nisp', 'nir'}
OTHERS = {'hst', 'acs', 'wfc', 'wfc3', 'uvis', 'ir', 'wfpc2', 'jwst', 'nircam', 'niriss', 'roman',
          'wfi', 'clear', 'wise', 'unwise', 'galex', 'bessell', 'johnson', 'cousins', 'band',
          'filter'}
SURVEYS = OPTICAL | INFRARED | EUCLID | OTHERS
LIMITS = (100.0, 10_000.0)  # nm: of the light of stars
LENGTH = re.compile(r'^([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([A-Za-zµμ]+)$', re.IGNORECASE)
UNITS = {'nm': u.nm, 'um': u.um, 'µm': u.um, 'μm': u.um, 'micron': u.um, 'microns': u.um,
         'a': u.AA, 'aa': u.AA, 'angstrom': u.AA, 'angstroms': u.AA}
N_CHANNELS = 3


@dataclass(frozen=True)
class Band:
    """
    A band of images.

    Attributes
    ----------
    name : str
        As the user names it.
    standard : str
        Name in the table of bands, without that of a survey; the wavelength where the band was
        given by it.
    wavelength : float
        In nm; NaN where nothing is known of the band.

    Examples
    --------
    >>> from galvae_affiliated.images import parse_band
    >>> band = parse_band('F814W')
    >>> band.standard, band.wavelength
    ('F814W', 805.0)
    """

    name: str
    standard: str
    wavelength: float = np.nan


@dataclass(frozen=True)
class ChannelPlan:
    """
    How bands become the three channels that a model takes.

    Attributes
    ----------
    place : int
        Which of the model's sets of bands the channels stand for.
    bands : tuple of str
        Those that are used, from red to blue.
    weights : tuple of 3 tuple of float
        A row a channel from red to blue: what it takes of the surface brightness of each band.

    Examples
    --------
    >>> from galvae_affiliated.images import plan_channels
    >>> plan = plan_channels(['VIS'], [('i', 'r', 'g')])
    >>> plan.channels, plan.is_few
    ('VIS,VIS,VIS', True)
    """

    place: int
    bands: tuple
    weights: tuple = field(repr=False)

    @property
    def channels(self):
        """str : Bands of the channels from red to blue, such as 'i,r,g', 'r,r,r', 'z,z+g,g'."""
        return ','.join('+'.join(band for band, weight in zip(self.bands, row) if weight)
                        for row in self.weights)

    @property
    def is_few(self):
        """bool : Whether there are fewer bands than channels."""
        return len(self.bands) < N_CHANNELS


def parse_band(name):
    """
    A band by its name or wavelength.

    Parameters
    ----------
    name : str or `~astropy.units.Quantity`
        A name of the table, such as 'r', 'Ks', 'VIS' or 'F814W', also with that of a survey or
        camera ('HSC-I', 'DES_r', 'MegaCam.r', 'NISP_H'); or a wavelength, such as '814 nm',
        '8140 Angstrom' or '0.8 um'.

    Returns
    -------
    band : `Band`

    Raises
    ------
    ValueError
        If nothing is known of such a band.

    Examples
    --------
    >>> from galvae_affiliated.images import parse_band
    >>> parse_band('HSC-I')
    Band(name='HSC-I', standard='i', wavelength=749.0)
    >>> parse_band('0.8 um').wavelength
    800.0
    """
    text = str(name).strip()
    found = _by_wavelength(text) or _by_name(text)
    if found is None:
        raise ValueError(f'the band {text!r} is not known; expected a name such as g, r, i, Ks, '
                         "VIS, F814W or HSC-I, or a wavelength such as '814 nm'")
    return Band(text, *found)


def is_band(name):
    """Whether something is known of a band."""
    try:
        parse_band(name)
    except ValueError:
        return False
    return True


def _by_wavelength(text):
    """(standard name, nm) of a text such as '0.8 um'; None if it is none."""
    match = LENGTH.match(text)
    unit = UNITS.get(match.group(2).lower()) if match else None
    if unit is None:
        return None
    wavelength = round(float((float(match.group(1)) * unit).to_value(u.nm)), 3)
    low, high = LIMITS
    if not low <= wavelength <= high:
        raise ValueError(f'the band {text!r} has a wavelength of {wavelength:g} nm; expected one '
                         f'of the light of stars, from {low:g} to {high:g} nm')
    return f'{wavelength:g}nm', wavelength


def _by_name(text):
    """(standard name, nm) of the name of a band; None if it is none."""
    if text in WAVELENGTHS:
        return text, float(WAVELENGTHS[text])
    words = [word for word in re.split(r'[\s._:\-/]+', text) if word]
    surveys = {word.lower() for word in words} & SURVEYS
    # primes of SDSS's system, second copies of HSC's filters, numbers of CFHT's
    words = [word.rstrip("'+") for word in words
             if word.lower() not in SURVEYS and not re.fullmatch('MP[0-9]{4}', word)]
    if ''.join(words) in ('YE', 'JE', 'HE'):
        words = [''.join(words)]  # Y_E
    if len(words) != 1:
        return None
    word = words[0]
    if surveys & OPTICAL:
        word = word.lower()
        word = word[0] if re.fullmatch('[a-z]2', word) else word
    elif surveys & EUCLID and word.upper() in ('Y', 'J', 'H'):
        word = f'{word.upper()}E'
    elif surveys & INFRARED and word.upper() in ('Z', 'Y', 'J', 'H', 'K'):
        word = word.upper()
    for known in (word, word.upper(), word.capitalize(), word.lower()):
        if known in WAVELENGTHS and (len(word) > 1 or known in (word, word.lower())):
            return known, float(WAVELENGTHS[known])
    return None


def power_law(wavelength, wavelengths, values):
    """
    A quantity of bands at another wavelength.

    Linear in the logarithms between the bands, and continued beyond the last two of each end.

    Parameters
    ----------
    wavelength : float
        In nm.
    wavelengths, values : sequence of float
        Positive; of bands where the quantity is known.

    Returns
    -------
    value : float
        NaN where nothing is known.

    Examples
    --------
    >>> from galvae_affiliated.images.bands import power_law
    >>> round(power_law(400.0, [100.0, 200.0], [8.0, 4.0]), 6)
    2.0
    """
    x, first = np.unique(np.log(np.asarray(wavelengths, dtype=float)), return_index=True)
    if not len(x) or not np.isfinite(wavelength):
        return np.nan
    y = np.log(np.asarray(values, dtype=float))[first]
    if len(x) == 1:
        return float(np.exp(y[0]))
    at = np.log(wavelength)
    place = int(np.clip(np.searchsorted(x, at) - 1, 0, len(x) - 2))
    slope = (y[place + 1] - y[place]) / (x[place + 1] - x[place])
    return float(np.exp(y[place] + slope * (at - x[place])))


def plan_channels(names, band_sets, scales=None):
    """
    Which bands enter which channel of a model, and how bright.

    - Three bands of one of the model's sets: as they are. Any other three, from red to blue,
      each scaled as the model would scale a band of its wavelength.
    - One band: all three channels are equal, with that band's scale.
    - Two bands: the redder is red, the bluer blue, and the middle the mean of both.
    - More: those three that lie nearest in wavelength (sum of the differences of logarithms) to
      one of the model's sets, the first of them that is nearest.

    The scale of a band that is none of the model's own is the power law between these, see
    `power_law`; it keeps galaxies of usual color grey.

    Parameters
    ----------
    names : sequence of str
        See `parse_band`; other names may stand beside all bands of a set, and are left out.
    band_sets : sequence of tuple of 3 str
        What the model takes, from red to blue.
    scales : sequence of tuple of 3 float, optional
        By which the model multiplies the surface brightness of each band before it compresses
        it; an empty tuple, or None for all sets, where that is not known: bands are not scaled
        then.

    Returns
    -------
    plan : `ChannelPlan`

    Raises
    ------
    ValueError
        If there are no bands, one of them is not known, or two are the same.

    Examples
    --------
    >>> from galvae_affiliated.images import plan_channels
    >>> sets = [('i', 'r', 'g'), ('z', 'r', 'g')]
    >>> for names in ('r', ['VIS', 'NISP_Y'], 'ugriz', ['g', 'r', 'i', 'z', 'Y']):
    ...     print(plan_channels(names, sets).channels)
    r,r,r
    NISP_Y,NISP_Y+VIS,VIS
    i,r,g
    i,r,g
    """
    scales = [()] * len(band_sets) if scales is None else scales
    bands = _known_bands(names, band_sets)
    place, chosen = _chosen(bands, band_sets)
    own = scales[place] if len(scales[place]) else (1.0,) * N_CHANNELS
    if {band.standard for band in chosen} == {*band_sets[place]}:
        # as the model was taught them, whatever else is known of such names
        chosen = sorted(chosen, key=lambda band: band_sets[place].index(band.standard))
        names = tuple(band.name for band in chosen)
        return ChannelPlan(place, names, _diagonal((1.0,) * N_CHANNELS))
    gains = _gains(chosen, band_sets, scales, place)
    names = tuple(band.name for band in chosen)
    if len(chosen) == N_CHANNELS:
        return ChannelPlan(place, names, _diagonal([g / s for g, s in zip(gains, own)]))
    mixed = [[1.0], [1.0], [1.0]] if len(chosen) == 1 else [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
    weights = tuple(tuple(share * gain / scale for share, gain in zip(row, gains))
                    for row, scale in zip(mixed, own))
    return ChannelPlan(place, names, weights)


def _diagonal(values):
    """A row a value, which is zero but there."""
    return tuple(tuple(float(value) if i == j else 0.0 for j in range(len(values)))
                 for i, value in enumerate(values))


def _known_bands(names, band_sets):
    """`Band` of each name, those left out of which nothing is known beside a whole set."""
    bands, unknown = [], None
    own = {name for names in band_sets for name in names}
    for name in names:
        try:
            bands.append(parse_band(name))
        except ValueError as error:
            if name in own:  # a model may be taught with bands of any name
                bands.append(Band(name, name))
            else:
                unknown = unknown or error
    standards = [band.standard for band in bands]
    held = [one for one in band_sets if {*one} <= {*standards}]
    if (unknown and not held) or not bands:
        accepted = ' or '.join(','.join(reversed(one)) for one in band_sets)
        what = str(unknown) if unknown else 'the images are of no band'
        raise ValueError(f'{what}; this model takes {accepted} best, and one to five of any')
    for i, band in enumerate(bands):
        if band.standard in standards[:i]:
            other = bands[standards.index(band.standard)]
            raise ValueError(f'{other.name} and {band.name} are the same band, '
                             f'{band.standard}; expected one image of each')
    return bands


def _chosen(bands, band_sets):
    """Place of the set that the bands come nearest to, and the bands, from red to blue."""
    def distance(some, reference):
        standards = {band.standard for band in some}
        if standards == {*reference}:
            return 0.0
        light = [_wavelength(name) for name in reference]
        return sum(abs(np.log(band.wavelength / other)) for band, other in zip(some, light))

    # of names that the table has not, the order of the model's set is all that is known
    order = {name: -place for names in band_sets for place, name in enumerate(names)}
    bands = sorted(bands, key=lambda band: (np.nan_to_num(band.wavelength),
                                            order.get(band.standard, 0)), reverse=True)
    if len(bands) < N_CHANNELS:
        holding = [place for place, names in enumerate(band_sets)
                   if {band.standard for band in bands} <= {*names}]
        return holding[0] if holding else 0, bands
    best = None
    for place, reference in enumerate(band_sets):
        for some in combinations(bands, N_CHANNELS):
            far = distance(some, reference)
            if best is None or far < best[0] or np.isnan(best[0]):
                best = far, place, list(some)
    return best[1:]


def _wavelength(name):
    return parse_band(name).wavelength if is_band(name) else np.nan


def _gains(bands, band_sets, scales, place):
    """Scale of each band before a model compresses it; those of its own set go first."""
    if not len(scales[place]):
        return [1.0] * len(bands)
    known = dict(zip(band_sets[place], scales[place]))
    for names, values in zip(band_sets, scales):
        known |= {name: value for name, value in zip(names, values) if name not in known}
    light = {name: _wavelength(name) for name in known}
    light = {name: nm for name, nm in light.items() if np.isfinite(nm)}
    values = [known[name] for name in light]
    gains = []
    for band in bands:
        gain = known.get(band.standard)
        if gain is None:
            gain = power_law(band.wavelength, list(light.values()), values)
        gains.append(1.0 if gain is None or not np.isfinite(gain) else gain)
    return gains
