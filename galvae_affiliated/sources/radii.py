# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""petroR90 from the sizes that other catalogues have."""

import functools
import json
from importlib import resources

import astropy.units as u
import numpy as np

__all__ = ['convert_to_r90', 'sersic_r90']

ETA, FLUX_RADII = 0.2, 2.0  # of the definition, see `petrosian`
STEPS = 3  # of the grid of radii, from one to 1.25 times it: the ring is from 0.8 to 1.25 radii
SMALLEST, LARGEST = 0.02, 12.0  # of the grid, in effective radii
N_ANGLES = 24  # of the average of a flattened profile over a circle: Gauss-Legendre
ROWS = 256  # profiles that are integrated at a time
INDICES = 0.1, 10.0  # Sersic indices that are profiles of galaxies
FLATTEST = 0.02
CALIBRATION = 'radii.json'  # written by tools/calibrate_radii.py
SIZES = ('flux_radius', 'r50', 'a_image', 'b_image', 'kron_radius')


def convert_to_r90(*, flux_radius=None, r50=None, a_image=None, b_image=None, kron_radius=None,
                   r_eff=None, n=None, q=None, psf_fwhm=None):
    """
    petroR90 of sources, from sizes that a catalogue has, and how far that scatters.

    One of these combinations is given: a Sersic fit; or sizes that were measured on an image,
    together as many of them as there are, since their ratios tell how concentrated the light is.

    Parameters
    ----------
    flux_radius : (N,) array or `~astropy.units.Quantity`, optional
        Radius of half of the light of ``MAG_AUTO``: SExtractor's ``FLUX_RADIUS`` with
        ``PHOT_FLUXFRAC 0.5``, or ``fluxfrac_radius(0.5)`` of photutils.
    r50 : (N,) array or `~astropy.units.Quantity`, optional
        Radius of the circle with half of all light, as it is in the image, blurred by the seeing.
    a_image, b_image : (N,) array or `~astropy.units.Quantity`, optional
        Second moments along both axes: ``A_IMAGE`` and ``B_IMAGE``, the first alone or both.
    kron_radius : (N,) array, optional
        ``KRON_RADIUS``, in units of ``a_image`` and with the factor of 2.5 in it. That of SEP
        has to be multiplied by 2.5. It goes with ``a_image``.
    r_eff, n, q : (N,) array, optional
        Of a Sersic fit: effective radius along the major axis (a Quantity keeps its unit), index,
        and ratio of the axes, which is one without it.
    psf_fwhm : float, array or `~astropy.units.Quantity`, optional
        Seeing, in the unit of the sizes. It improves what is estimated of measured sizes, and
        blurs a Sersic profile, which is that before the seeing.

    Returns
    -------
    r90 : (N,) array or `~astropy.units.Quantity`
        In the unit of the sizes; NaN where a size is masked, not finite or not positive.
    scatter : (N,) array or `~astropy.units.Quantity`
        Standard deviation of the error, of sources such as those of the calibration; zero for
        a Sersic profile without seeing, which is integrated.

    Raises
    ------
    TypeError, ValueError
        For no size, sizes of both kinds, a combination that is none of the above, or units that
        do not go together.

    Notes
    -----
    A Sersic profile is integrated over circles, with `sersic_r90`; the seeing is added to the
    radius by a rule that was fitted to simulated galaxies (``tools/calibrate_radii.py``). So were
    the others, polynomials in the logarithms of the ratios of the sizes; ratios beyond those of
    the simulation are taken as the nearest within.

    Examples
    --------
    >>> from galvae_affiliated.sources import convert_to_r90
    >>> r90, scatter = convert_to_r90(r_eff=[2.0, 2.0], n=[1.0, 4.0])
    >>> r90.round(2).tolist()
    [4.55, 4.78]
    """
    measured = {name: value for name, value in
                zip(SIZES, (flux_radius, r50, a_image, b_image, kron_radius)) if value is not None}
    fitted = {'r_eff': r_eff, 'n': n, 'q': q}
    _check_combination(measured, {name for name in fitted if fitted[name] is not None})
    lengths, unit = _in_one_unit({**measured, 'r_eff': r_eff, 'psf_fwhm': psf_fwhm})
    if measured:
        r90, scatter = _calibrated(lengths, _numbers(kron_radius))
    else:
        r90 = sersic_r90(lengths['r_eff'], _numbers(n), 1.0 if q is None else _numbers(q))
        r90, scatter = _blurred(r90, _numbers(n), lengths.get('psf_fwhm'))
    return (r90, scatter) if unit is None else (r90 << unit, scatter << unit)


def _check_combination(measured, fitted):
    """Refuse sizes that do not make one of the combinations."""
    if measured and fitted:
        raise ValueError(f'{", ".join(measured)} and {", ".join(sorted(fitted))} are given; '
                         'expected measured sizes, or a Sersic fit')
    if not measured and not {'r_eff', 'n'} <= fitted:
        raise TypeError('expected flux_radius, r50 or a_image, or r_eff and n of a Sersic fit; '
                        f'there is {", ".join(sorted(fitted)) or "none of them"}')
    if {'b_image', 'kron_radius'} & {*measured} and 'a_image' not in measured:
        raise ValueError(f'{", ".join(measured)} needs a_image beside it')
    if {'flux_radius', 'r50'} <= {*measured}:
        raise ValueError('flux_radius and r50 are two words for one size; give one of them')


def _in_one_unit(sizes):
    """Lengths as arrays in the unit of the first, and that unit; None where none has one."""
    sizes = {name: value for name, value in sizes.items()
             if value is not None and name != 'kron_radius'}
    units = {name: getattr(value, 'unit', None) for name, value in sizes.items()}
    unit = next(iter(units.values()))
    for name, other in units.items():
        if (other is None) != (unit is None):
            raise ValueError(f'{next(iter(sizes))} is in {unit or "no unit"}, and {name} in '
                             f'{other or "no unit"}; expected one unit for all, or none')
    try:
        return {name: _numbers(value) if unit is None else
                _numbers(value) * units[name].to(unit) for name, value in sizes.items()}, unit
    except u.UnitConversionError as error:
        raise ValueError(f'the sizes are of several kinds: {error}') from None


def _numbers(value):
    """Float array; NaN where it is masked. Not of a Quantity's unit."""
    if value is None:
        return None
    if hasattr(value, 'mask'):
        mask = np.asarray(value.mask)
        return np.where(mask, np.nan, np.asarray(getattr(value, 'unmasked', value), dtype=float))
    return np.asarray(getattr(value, 'value', value), dtype=float)


def _calibrated(lengths, kron_radius):
    """petroR90 and its scatter, from measured sizes, by what was fitted to simulations."""
    names = [name for name in SIZES if name in lengths]
    names += [] if kron_radius is None else ['kron_radius']
    names += ['psf_fwhm'] * ('psf_fwhm' in lengths)
    entry = calibration()['measured']['+'.join(names)]
    scale = lengths[names[0]]
    with np.errstate(divide='ignore', invalid='ignore'):
        ratios = [np.log(kron_radius if name == 'kron_radius' else lengths[name] / scale)
                  for name in names[1:]]
        ratios = [np.where(np.isfinite(ratio), np.clip(ratio, low, high), np.nan)
                  for ratio, (low, high) in zip(ratios, entry['ranges'])]
        scale = np.where(np.isfinite(scale) & (scale > 0), scale, np.nan)
        r90 = scale * np.exp(terms(ratios, np.shape(scale)) @ entry['coefficients'])
    return r90, entry['scatter'] * r90


def terms(ratios, shape=()):
    """
    Terms of the polynomial of second degree of a calibration.

    Parameters
    ----------
    ratios : list of M (...) arrays
        Logarithms.
    shape : tuple of int, optional
        Of the result without its last axis, where there are no ratios.

    Returns
    -------
    terms : (..., 1 + M + M (M + 1) / 2) array
    """
    products = [a * b for i, a in enumerate(ratios) for b in ratios[i:]]
    return np.stack(np.broadcast_arrays(np.ones(shape), *ratios, *products), axis=-1)


def _blurred(r90, n, psf_fwhm):
    """petroR90 of an image, of that before the seeing, and its scatter."""
    if psf_fwhm is None:
        return r90, 0.0 * r90
    entry = calibration()['sersic']
    values = [entry[name] for name in ('factor', 'index', 'power')]
    blurred = with_seeing(r90, n, np.where(psf_fwhm >= 0, psf_fwhm, np.nan), *values)
    return blurred, entry['scatter'] * blurred


def with_seeing(r90, n, psf_fwhm, factor, index, power):
    """
    petroR90 of a Sersic profile behind a seeing: the sum of powers of both.

    Parameters
    ----------
    r90, n, psf_fwhm : (N,) array
        Before the seeing; Sersic index; seeing in the unit of the radius.
    factor, index, power : float
        The seeing counts ``factor * n ** index`` times.

    Returns
    -------
    r90 : (N,) float array
    """
    return (r90 ** power + (factor * n ** index * psf_fwhm) ** power) ** (1 / power)


@functools.cache
def calibration():
    """What ``tools/calibrate_radii.py`` found, a dict."""
    path = resources.files('galvae_affiliated').joinpath('data', CALIBRATION)
    return json.loads(path.read_text())


def sersic_r90(r_eff, n, q=1.0):
    """
    petroR90 of Sersic profiles in circles, before any seeing.

    Parameters
    ----------
    r_eff : float or (N,) array
        Effective radius along the major axis.
    n, q : float or (N,) array
        Index, from 0.1 to 10, and ratio of the axes, from 0.02 to 1.

    Returns
    -------
    r90 : (N,) float array
        In the unit of ``r_eff``; NaN where a parameter is not finite or beyond these limits.

    Notes
    -----
    The flux of a flattened profile in a circle is the mean over the angle of the integral along
    each ray, which is an incomplete gamma function (Graham & Driver 2005, PASA 22, 118). On a
    grid of radii whose steps are a power of 1.25, the ring of the Petrosian ratio is between
    two of its points.

    Examples
    --------
    >>> from galvae_affiliated.sources import sersic_r90
    >>> sersic_r90(2.0, n=[1.0, 4.0]).round(2).tolist()
    [4.55, 4.78]
    """
    r_eff, n, q = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in (r_eff, n, q)))
    with np.errstate(invalid='ignore'):
        good = (r_eff > 0) & np.isfinite(r_eff) & (FLATTEST <= q) & (q <= 1)
        good &= (INDICES[0] <= n) & (n <= INDICES[1])
    r90 = np.full(r_eff.shape, np.nan)
    pairs, place = np.unique(np.stack([n[good], q[good]], axis=-1), axis=0, return_inverse=True)
    ratio = np.concatenate([np.zeros(0)] + [_sersic_ratio(*pairs[i:i + ROWS].T)
                                            for i in range(0, len(pairs), ROWS)])
    r90[good] = r_eff[good] * ratio[place.ravel()]
    return r90


def _sersic_ratio(n, q):
    """(N,) float array: petroR90 over the effective radius."""
    from scipy.special import gammainc, gammaincinv

    step = np.log(1.25) / STEPS
    radius = np.exp(np.arange(np.log(SMALLEST), np.log(LARGEST), step))
    angle, weight = np.polynomial.legendre.leggauss(N_ANGLES)
    angle = np.pi / 4 * (1 + angle)
    # along a ray, the elliptical radius over the circular one
    stretch = np.sqrt(np.cos(angle) ** 2 + (np.sin(angle) / q[:, None]) ** 2)
    shape = n[:, None, None]
    within = gammainc(2 * shape, gammaincinv(2 * shape, 0.5)
                      * (radius[None, :, None] * stretch[:, None]) ** (1 / shape))
    flux = (within / stretch[:, None] ** 2) @ weight
    inner, outer = flux[:, :-2 * STEPS], flux[:, 2 * STEPS:]
    ratio = (outer - inner) / (1.25 ** 2 - 0.8 ** 2) / flux[:, STEPS:-STEPS]
    below = np.argmax(ratio < ETA, axis=1)
    petrosian = step * STEPS + _where_it_crosses(ratio, below, np.full(len(n), ETA), step)
    total = _value_at(flux, (petrosian + np.log(FLUX_RADII)) / step)
    above = np.argmax(flux >= 0.9 * total[:, None], axis=1)
    return SMALLEST * np.exp(_where_it_crosses(flux, above, 0.9 * total, step))


def _where_it_crosses(curves, after, level, step):
    """
    Where curves cross a level, on the four points around it, as a cubic of their values.

    Parameters
    ----------
    curves : (N, M) array
        At points that are a step apart.
    after : (N,) int array
        The first point behind the crossing.
    level : (N,) array
    step : float

    Returns
    -------
    place : (N,) float array
        From the first point.
    """
    points = np.clip(after, 2, curves.shape[1] - 2)[:, None] + np.arange(-2, 2)
    values = np.take_along_axis(curves, points, axis=1)
    place = 0.0
    for i in range(4):
        others = [j for j in range(4) if j != i]
        weight = np.prod([(level - values[:, j]) / (values[:, i] - values[:, j]) for j in others],
                         axis=0)
        place = place + weight * points[:, i]
    return step * place


def _value_at(curves, place):
    """(N,) values of (N, M) curves at a place of each, counted in points, by cubics."""
    points = np.clip(np.floor(place).astype(int), 1, curves.shape[1] - 3)[:, None]
    points = points + np.arange(-1, 3)
    values = np.take_along_axis(curves, points, axis=1)
    weights = [np.prod([(place - points[:, j]) / (points[:, i] - points[:, j])
                        for j in range(4) if j != i], axis=0) for i in range(4)]
    return (np.array(weights).T * values).sum(axis=1)
