# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Simulate the demonstration field of the package with GalSim (build time only, no dependency)."""

import argparse
from pathlib import Path

import astropy.units as u
import galsim
import numpy as np
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS
from scipy.ndimage import gaussian_filter

DATA = Path(__file__).resolve().parents[1] / 'galvae_affiliated' / 'data'
BANDS = ('g', 'r', 'z')
SIZE, SCALE, FINE = (
    860,
    0.262,
    0.131,
)  # pixels; arcsec per pixel of the field, and of the painted models
CENTRE = (184.62, 27.35)  # degrees; a high-latitude position within the Legacy Surveys
SIGMA = {
    'g': 0.003,
    'r': 0.005,
    'z': 0.012,
}  # sky noise per pixel, nanomaggies: depth of the Legacy Surveys
SKY = {
    'g': 0.11,
    'r': 0.30,
    'z': 1.2,
}  # subtracted dark sky per pixel, nanomaggies; it sets the source noise only
FWHM = {'g': 1.3, 'r': 1.2, 'z': 1.1}  # arcsec
DUST = {
    'g': 1.15,
    'r': 1.0,
    'z': 0.72,
}  # optical depth relative to r; grey, as stars and dust are mixed
RED, DISC, ARM, KNOT = (0.85, 0.65), (0.64, 0.48), (0.46, 0.34), (0.2, 0.05)  # (g - r, r - z)
CUTOUT = 5.12  # side of a cutout in units of R90
QUANTIZE, DITHER_SEED = (
    4,
    1,
)  # steps per sky sigma: rounding adds 0.3 % to the noise; a fixed seed repeats the file


def plane(size, q=1.0):
    """Coordinates (arcsec) in the plane of a disc of axis ratio ``q``, on a fine ``size`` grid."""
    half = int(size / FINE) // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1] * FINE
    return x, y / q


def texture(rng, shape, scale):
    """Gaussian random field of unit variance, smooth over ``scale`` arcsec."""
    field = gaussian_filter(rng.normal(size=shape), scale / FINE, mode='wrap')
    return field / field.std()


def step(x):
    """Smooth step from 0 to 1 around x = 0."""
    return 0.5 * (1 + np.tanh(x))


def painted(profile, like):
    """Draw a GalSim profile on the grid of the array ``like``, so that dust can dim it."""
    ny, nx = like.shape
    return profile.drawImage(nx=nx, ny=ny, scale=FINE).array.astype(float)


def knots(rng, weight, number, sharp=0.3):
    """Scatter star-forming regions (Gaussians of ``sharp`` arcsec) as densely as ``weight``."""
    out = np.zeros(weight.shape)
    spots = rng.choice(weight.size, number, p=weight.ravel() / weight.sum())
    # the luminosity function of HII regions is steep; brightness follows the arm, too
    np.add.at(out.ravel(), spots, rng.lognormal(0, 0.7, number) * weight.ravel()[spots] ** 0.5)
    return gaussian_filter(out, sharp / FINE)


def blobs(x, y, points, widths, weights):
    """Sum of round Gaussians at ``points`` (arcsec)."""
    out = np.zeros(x.shape)
    for (x0, y0), width, weight in zip(points, widths, weights):
        out += weight / width**2 * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * width**2))
    return out


def spurs(rng, radius, theta, h, pitch, number):
    """Short pieces of spiral arms at random places of a disc, which make it flocculent."""
    out = np.zeros(radius.shape)
    for angle, at in zip(rng.uniform(-np.pi, np.pi, number), h * rng.uniform(0.6, 3.6, number)):
        log_r = np.log(radius / at)
        off = np.angle(np.exp(1j * (theta - angle - log_r / np.tan(pitch))))
        out += rng.uniform(0.4, 1) * np.exp(
            -((off * at / (0.28 * h)) ** 2) - (log_r / rng.uniform(0.15, 0.35)) ** 2
        )
    return out


# A builder takes the random generator and a size (arcsec) and returns the components, as tuples
# (GalSim profile or painted image, share of the r flux, colours), and the optical depth of the dust
# over the painted ones. The major axis lies along x; the position angle comes later.


def elliptical(rng, size, q=0.9, n=4.0):
    """Build a smooth galaxy of half-light radius ``size``, axis ratio ``q``, Sersic index ``n``."""
    return [
        (
            galsim.Sersic(n, half_light_radius=size, trunc=8 * size).shear(
                q=q, beta=0 * galsim.degrees
            ),
            1,
            RED,
        )
    ], 0


def lenticular(rng, h, q=0.5, bulge=0.45):
    """Build a bulge in a featureless red disc with a faint lens."""
    x, y = plane(14 * h, q)
    radius = np.hypot(x, y)
    disc = np.exp(-radius / h)
    lens = step((1.5 * h - radius) / (0.25 * h))
    core = galsim.Sersic(2.5, half_light_radius=0.45 * h).shear(
        q=0.5 + 0.5 * q, beta=0 * galsim.degrees
    )
    return [(core, bulge, RED), (disc, 0.85 - bulge, (0.78, 0.58)), (lens, 0.15, (0.8, 0.6))], 0


def spiral(rng, h, q=0.85, pitch=18.0, arms=2, sharp=2.2, pieces=8, bar=0.0, bulge=0.18, blue=0.38):
    """Build a disc of scale length ``h`` with logarithmic arms and perhaps a ``bar`` (in ``h``)."""
    x, y = plane(13 * h, q)
    radius, theta, pitch = np.hypot(x, y) + 1e-3, np.arctan2(y, x), np.radians(pitch)
    start = max(bar, 0.45) * h
    phase = arms * (theta - np.log(radius / start) / np.tan(pitch)) + 0.35 * texture(
        rng, x.shape, 0.7 * h
    )
    edge = step((4.3 * h - radius) / (0.9 * h))
    inner = step((radius - start) / (0.12 * h))
    ridge = np.exp(sharp * (np.cos(phase) - 1)) if arms else 0.05
    ridge = ridge + 0.45 * spurs(rng, radius, theta, h, pitch, pieces) * (1 if arms else 2)
    ridge = ridge * np.exp(-radius / (1.7 * h)) * edge * inner
    clumpy = ridge * np.exp(
        0.35 * texture(rng, x.shape, 0.12 * h) + 0.3 * texture(rng, x.shape, 0.35 * h)
    )
    disc = np.exp(-radius / h) * edge * (1 - 0.5 * step((bar * h - radius) / (0.2 * h)) * (bar > 0))
    # dust follows the inner edge of an arm, where the gas is compressed
    dust = (
        0.8 * np.exp(2 * sharp * (np.cos(phase + 0.9) - 1)) * np.exp(-radius / (2.5 * h)) * inner
        if arms
        else 0
    )
    core = galsim.Sersic(2, half_light_radius=0.28 * h).shear(
        q=0.4 + 0.6 * q, beta=0 * galsim.degrees
    )
    rod = 0.2 if bar else 0.0
    parts = [
        (core, bulge, RED),
        (disc, 1 - bulge - rod - blue, DISC),
        (clumpy, 0.72 * blue, ARM),
        (knots(rng, ridge * radius, int(28 + 8 * h)), 0.28 * blue, KNOT),
    ]
    if bar:
        shape = ((np.abs(x) / (bar * h)) ** 2.5 + (np.abs(y) / (0.24 * bar * h)) ** 2.5) ** 0.4
        parts.append((step((1 - shape) / 0.22) * np.exp(-0.8 * shape), rod, (0.8, 0.6)))
    return parts, dust


def edge_on(rng, h, bulge=0.0, dust=0.0, thick=0.12):
    """Build a disc seen from its edge, perhaps with a bulge and a ``dust`` lane of this depth."""
    x, y = plane(14 * h)
    disc = painted(
        galsim.InclinedExponential(89 * galsim.degrees, scale_radius=h, scale_h_over_r=thick), x
    )
    y = y - 0.012 * x * np.abs(x) / h  # a slight warp
    thin = np.exp(-np.abs(x) / (1.4 * h) - (y / (0.6 * thick * h)) ** 2) * step(
        (3.4 * h - np.abs(x)) / (0.4 * h)
    )
    clumpy = thin * np.exp(0.9 * texture(rng, x.shape, 0.13 * h))
    parts = [
        (disc, 0.75 * (1 - bulge), DISC),
        (clumpy, 0.25 * (1 - bulge), KNOT if not bulge else ARM),
    ]
    if bulge:
        core = galsim.Sersic(2, half_light_radius=0.5 * h).shear(q=0.65, beta=0 * galsim.degrees)
        parts.append((painted(core, x), bulge, RED))
    lane = np.exp(-np.abs(x) / (4 * h) - ((y + 0.05 * h) / (0.16 * h)) ** 2) * step(
        (2.8 * h - np.abs(x)) / (0.9 * h)
    )
    return parts, dust * lane * np.exp(0.25 * texture(rng, x.shape, 0.12 * h))


def ring(rng, size, q=0.85):
    """Build a red core in a blue ring of radius ``size``."""
    x, y = plane(6 * size, q)
    radius = np.hypot(x, y)
    band = np.exp(-0.5 * ((radius - size) / (0.13 * size)) ** 2)
    clumpy = band * np.exp(0.4 * texture(rng, x.shape, 0.15 * size))
    core = galsim.Sersic(2.5, half_light_radius=0.17 * size)
    return [
        (core, 0.33, RED),
        (np.exp(-radius / (0.4 * size)), 0.12, DISC),
        (clumpy, 0.4, ARM),
        (knots(rng, band, 40), 0.15, KNOT),
    ], 0


def merger(rng, size):
    """Build two spirals in collision, ``size`` arcsec apart, with a bridge and two tidal tails."""
    x, y = plane(14 * size)
    t = np.linspace(0, 1, 60)
    near = np.stack(
        [-2.9 * size * np.sin(2.3 * t), 2.6 * size * (1 - np.cos(2.3 * t)) - 0.3 * size], 1
    )
    far = np.array([1, -0.35]) * size + np.stack(
        [1.9 * size * np.sin(1.9 * t), -1.7 * size * (1 - np.cos(1.9 * t))], 1
    )
    tails = blobs(x, y, near, size * (0.13 + 0.33 * t**1.5), 1.15 - 0.8 * t)
    tails += 0.45 * blobs(x, y, far, size * (0.13 + 0.4 * t), 1.1 - t)
    bridge = blobs(x, y, np.outer(t, [size, -0.35 * size]), np.full(60, 0.22 * size), np.ones(60))
    tails = tails * np.exp(
        0.45 * texture(rng, x.shape, 0.13 * size) + 0.3 * texture(rng, x.shape, 0.5 * size)
    )
    shift = galsim.PositionD(size, -0.35 * size)
    cores = [
        galsim.Sersic(2, half_light_radius=0.25 * size).shear(g1=0.1),
        galsim.Sersic(2, half_light_radius=0.2 * size).shear(g2=0.2).shift(shift),
    ]
    discs = [
        galsim.Exponential(0.42 * size).shear(g1=0.15, g2=-0.2),
        galsim.Exponential(0.3 * size).shear(g2=0.35),
    ]
    debris = galsim.Exponential(1.1 * size).shear(g1=0.3).shift(0.4 * size, 0.3 * size)
    return [
        (cores[0], 0.14, RED),
        (cores[1], 0.09, RED),
        (discs[0], 0.2, DISC),
        (discs[1].shift(shift), 0.11, DISC),
        (tails, 0.23, ARM),
        (bridge, 0.05, ARM),
        (debris, 0.12, DISC),
        (knots(rng, tails, 40), 0.06, KNOT),
    ], 0


def irregular(rng, h):
    """Build a lopsided blue dwarf with a few large star-forming regions."""
    x, y = plane(14 * h, 0.65)
    radius = np.hypot(x, y)
    body = np.exp(-np.hypot(x + 0.25 * h, y - 0.15 * h) / h) * np.exp(
        0.45 * texture(rng, x.shape, 0.4 * h)
    )
    clumps = knots(rng, np.exp(-((np.hypot(x - 0.7 * h, y) / (1.5 * h)) ** 2)), 16, 0.45)
    return [
        (body, 0.72, (0.38, 0.18)),
        (clumps, 0.24, (0.1, -0.1)),
        (np.exp(-3 * radius / h), 0.04, ARM),
    ], 0


# kind, r magnitude, builder, size (arcsec), options of the builder
GALAXIES = [
    ('smooth, round', 15.4, elliptical, 3.2, {'q': 0.95, 'n': 4}),
    ('smooth, round', 16.6, elliptical, 2.0, {'q': 0.9, 'n': 3}),
    ('smooth, round', 17.2, elliptical, 1.8, {'q': 0.98, 'n': 2}),
    ('smooth, in-between', 15.8, elliptical, 3.0, {'q': 0.65, 'n': 3.5}),
    ('smooth, in-between', 16.8, elliptical, 2.2, {'q': 0.55, 'n': 2.5}),
    ('smooth, cigar-shaped', 16.3, elliptical, 3.4, {'q': 0.3, 'n': 2}),
    ('smooth, cigar-shaped', 17.1, elliptical, 2.4, {'q': 0.25, 'n': 2}),
    ('lenticular', 15.6, lenticular, 2.3, {'q': 0.45}),
    ('lenticular', 16.5, lenticular, 1.7, {'q': 0.8, 'bulge': 0.5}),
    ('spiral, tight', 14.5, spiral, 4.8, {'q': 0.85, 'pitch': 13}),
    ('spiral, tight', 15.8, spiral, 2.6, {'q': 0.62, 'pitch': 14, 'bulge': 0.22}),
    ('spiral, loose', 15.1, spiral, 3.3, {'q': 0.9, 'pitch': 24, 'blue': 0.45, 'bulge': 0.12}),
    (
        'spiral, loose',
        16.1,
        spiral,
        2.5,
        {'q': 0.75, 'pitch': 28, 'blue': 0.45, 'bulge': 0.14, 'pieces': 4},
    ),
    ('spiral, loose', 16.3, spiral, 2.5, {'q': 0.55, 'pitch': 21, 'sharp': 3, 'blue': 0.45}),
    ('barred spiral', 15.0, spiral, 3.2, {'q': 0.85, 'pitch': 17, 'bar': 1.3}),
    ('barred spiral', 15.9, spiral, 2.5, {'q': 0.7, 'pitch': 22, 'bar': 1.2, 'bulge': 0.1}),
    ('barred spiral', 16.4, spiral, 2.1, {'q': 0.95, 'pitch': 15, 'bar': 1.5, 'pieces': 3}),
    (
        'spiral, flocculent',
        15.3,
        spiral,
        3.0,
        {'q': 0.8, 'pitch': 22, 'arms': 0, 'pieces': 70, 'bulge': 0.1},
    ),
    (
        'spiral, many-armed',
        15.7,
        spiral,
        2.6,
        {'q': 0.9, 'pitch': 25, 'arms': 5, 'sharp': 1.6, 'pieces': 25},
    ),
    ('edge-on, dust lane', 15.3, edge_on, 4.8, {'bulge': 0.35, 'dust': 6, 'thick': 0.19}),
    ('edge-on, bulge', 16.1, edge_on, 2.7, {'bulge': 0.3, 'dust': 0.4, 'thick': 0.15}),
    ('edge-on, no bulge', 16.0, edge_on, 3.3, {'thick': 0.14}),
    ('edge-on, no bulge', 17.3, edge_on, 2.0, {'thick': 0.2}),
    ('ring', 16.0, ring, 5.4, {}),
    ('merging pair', 15.6, merger, 4.2, {}),
    ('irregular', 16.6, irregular, 2.2, {}),
]


def in_band(parts, dust, band):
    """GalSim profile of a galaxy in a band, for a flux of 1 in r before the dust."""
    total, image = [], 0
    for light, share, (g_r, r_z) in parts:
        flux = share * {'g': 10 ** (-0.4 * g_r), 'r': 1, 'z': 10 ** (0.4 * r_z)}[band]
        if isinstance(light, np.ndarray):
            image = image + flux * light / light.sum() * np.exp(-dust * DUST[band])
        else:
            total.append(light.withFlux(flux))
    if np.ndim(image):
        total.append(
            galsim.InterpolatedImage(galsim.ImageD(image, scale=FINE), normalization='flux')
        )
    return galsim.Sum(total)


def blurred(profile, band):
    """Convolve with the seeing of a band."""
    wide = galsim.GSParams(maximum_fft_size=16384)
    return galsim.Convolve(profile, galsim.Moffat(beta=3, fwhm=FWHM[band]), gsparams=wide)


def petrosian_r90(image):
    """Radius (arcsec) of 90 % of the flux in two circular Petrosian radii (eta = 0.2)."""
    y, x = np.indices(image.shape) - image.shape[0] // 2
    radius = np.arange(0.5, image.shape[0] // 2, 0.5)
    count, flux = (
        np.cumsum(np.histogram(np.hypot(x, y), np.r_[0, radius], weights=w)[0])
        for w in (np.ones_like(image), image)
    )

    def between(curve, inner, outer):
        return np.interp(outer * radius, radius, curve) - np.interp(inner * radius, radius, curve)

    use = (radius > 3) & (1.25 * radius < radius[-1])
    eta = between(flux, 0.8, 1.25) / between(count, 0.8, 1.25).clip(1) / (flux / count.clip(1))
    petro = radius[use][np.argmax(eta[use] < 0.2)]
    return SCALE * np.interp(0.9 * np.interp(2 * petro, radius, flux), flux, radius)


def build(rng, kind, r_mag, builder, size, options):
    """Build a bright galaxy: its profiles in the bands and what the truth table says of it."""
    parts, dust = builder(rng, size, **options)
    turn, sense = (
        rng.uniform(0, 180) * galsim.degrees,
        rng.choice([-1, 1]),
    )  # arms wind in both senses
    profiles = {
        band: in_band(parts, dust, band).transform(sense, 0, 0, 1).rotate(turn) for band in BANDS
    }
    scale = (
        10 ** (0.4 * (22.5 - r_mag)) / profiles['r'].flux
    )  # the magnitude is the observed one, behind the dust
    profiles = {band: blurred(profile * scale, band) for band, profile in profiles.items()}
    wide = 2 * int(7.5 * size / SCALE) + 1
    r90 = petrosian_r90(profiles['r'].drawImage(nx=wide, ny=wide, scale=SCALE).array.astype(float))
    return {'kind': kind, 'r_mag': r_mag, 'r90': r90, 'profiles': profiles}


def place(rng, r90, tries=400):
    """Positions (pixels) that keep galaxies of these radii apart and their cutouts inside."""
    r90 = np.asarray(r90) / SCALE
    order, best, best_gap = np.argsort(-r90), None, 0
    for _ in range(tries):
        xy = np.full((r90.size, 2), np.inf)
        gap = np.inf
        for i in order:
            margin = 0.5 * CUTOUT * r90[i] + 4
            spots = rng.uniform(margin, SIZE - 1 - margin, (60, 2))
            far = np.hypot(*(spots[:, None] - xy).transpose(2, 0, 1)) / (r90 + r90[i])
            xy[i] = spots[far.min(1).argmax()]
            gap = min(gap, far.min(1).max())
        if gap > best_gap:
            best, best_gap = xy, gap
    return best


def small_sources(rng, xy, r90, n_stars=15, n_faint=60):
    """Stars and faint galaxies, off the bright ones: list of (position, profile in the bands)."""
    out = []
    while len(out) < n_stars + n_faint:
        spot, star = rng.uniform(8, SIZE - 9, 2), len(out) < n_stars
        if (np.hypot(*(xy - spot).T) < (2.4 if star else 1.8) * np.asarray(r90) / SCALE).any():
            continue
        if star:
            shape, mag, g_r = galsim.DeltaFunction(), rng.uniform(15.3, 20.5), rng.uniform(0.4, 1.4)
            colours = (
                g_r,
                0.55 * g_r if g_r < 1.1 else g_r,
            )  # the stellar locus bends at the M dwarfs
        else:
            mag, g_r = 22.8 - 4 * rng.uniform() ** 2, rng.uniform(0.25, 1.5)
            shape = galsim.Sersic(
                rng.choice([1.0, 1.5, 3.0]),
                half_light_radius=rng.uniform(0.3, 0.7) * (1 + (mag < 21)),
            )
            shape = shape.shear(q=rng.uniform(0.35, 1), beta=rng.uniform(0, 180) * galsim.degrees)
            colours = (g_r, 0.25 + 0.45 * g_r)
        out.append(
            (
                spot,
                {
                    band: blurred(
                        in_band([(shape, 1, colours)], 0, band) * 10 ** (0.4 * (22.5 - mag)), band
                    )
                    for band in BANDS
                },
            )
        )
    return out


def observe(rng, sources, band):
    """Draw the sources in a band and add the noise of the sky and of the sources."""
    image = galsim.ImageD(np.zeros((SIZE, SIZE)), xmin=0, ymin=0)
    for spot, profiles in sources:
        profiles[band].drawImage(
            image=image, scale=SCALE, center=galsim.PositionD(*spot), add_to_image=True
        )
    # the electrons a nanomaggy makes follow from the sky's brightness and its noise
    sigma = SIGMA[band] * np.sqrt(1 + image.array.clip(0) / SKY[band])
    return (image.array + rng.normal(size=image.array.shape) * sigma).astype(np.float32)


def field_wcs():
    """Tangential projection, North up and East to the left."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ('RA---TAN', 'DEC--TAN'), CENTRE
    wcs.wcs.crpix, wcs.wcs.cdelt = [(SIZE + 1) / 2] * 2, (-SCALE / 3600, SCALE / 3600)
    return wcs


def field_hdu(image, band, seed):
    """Tile-compressed extension of a band."""
    header = field_wcs().to_header()
    header['EXTNAME'], header['BUNIT'], header['FILTER'] = band, 'nanomaggy', band
    header['SEED'] = (seed, 'seed of the simulation')
    header['SKYSIGMA'] = (SIGMA[band], 'sky noise per pixel')
    header['SEEING'] = (FWHM[band], 'FWHM of the Moffat PSF, arcsec')
    header.add_comment(f'Simulated by tools/make_demo_field.py with GalSim and seed {seed}.')
    return fits.CompImageHDU(
        image,
        header,
        compression_type='RICE_1',
        tile_shape=(43, SIZE),
        quantize_level=-SIGMA[band] / QUANTIZE,
        quantize_method=1,
        dither_seed=DITHER_SEED,
    )


def truth_table(galaxies, xy, seed):
    """Table of the bright galaxies."""
    sky = field_wcs().pixel_to_world(*xy.T)
    columns = {
        'id': (np.arange(1, len(galaxies) + 1), 'Number of the galaxy'),
        'ra': (sky.ra.deg.round(6) * u.deg, 'Right ascension (ICRS) of the centre'),
        'dec': (sky.dec.deg.round(6) * u.deg, 'Declination (ICRS) of the centre'),
        'x': (xy[:, 0].round(2) * u.pix, 'Centre along the first FITS axis, counted from 0'),
        'y': (xy[:, 1].round(2) * u.pix, 'Centre along the second FITS axis, counted from 0'),
        'kind': ([g['kind'] for g in galaxies], 'Kind of the model'),
        'r_mag': ([g['r_mag'] for g in galaxies] * u.mag, 'Total AB magnitude in r'),
        'petro_r90': (
            np.round([g['r90'] for g in galaxies], 2) * u.arcsec,
            'Radius of 90 % of the r flux in two circular Petrosian radii (eta = 0.2), '
            'seeing included',
        ),
    }
    table = QTable(
        {name: column for name, (column, _) in columns.items()},
        descriptions={name: text for name, (_, text) in columns.items()},
    )
    table.meta['comments'] = [
        f'Truth of demo_field.fits, simulated by tools/make_demo_field.py with seed {seed}'
    ]
    return table


def main(argv=None):
    """Write the field and, next to it, its truth table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '-o', '--output', type=Path, default=DATA / 'demo_field.fits', metavar='OUT'
    )
    parser.add_argument('--random-state', type=int, default=23)
    args = parser.parse_args(argv)
    rng = np.random.default_rng(args.random_state)
    galaxies = [build(rng, *row) for row in GALAXIES]
    r90 = [galaxy['r90'] for galaxy in galaxies]
    xy = place(rng, r90)
    sources = [(spot, galaxy['profiles']) for spot, galaxy in zip(xy, galaxies)] + small_sources(
        rng, xy, r90
    )
    hdus = [field_hdu(observe(rng, sources, band), band, args.random_state) for band in BANDS]
    args.output.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(args.output, overwrite=True)
    truth_table(galaxies, xy, args.random_state).write(
        args.output.with_name('demo_truth.ecsv'), overwrite=True
    )


if __name__ == '__main__':
    main()
