# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Simulate the two small training sets of the documentation with GalSim (build time only)."""

import argparse
import gzip
import io
from pathlib import Path

import galsim
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from make_demo_field import (
    BANDS,
    CUTOUT,
    SIGMA,
    SKY,
    build,
    edge_on,
    elliptical,
    irregular,
    lenticular,
    spiral,
)
from make_demo_field import SCALE as PIXEL
from PIL import Image

from galvae_affiliated.training.config import TrainingConfig
from galvae_affiliated.training.data.galaxy_zoo import survey_renderings

EXAMPLES = Path(__file__).resolve().parents[1] / 'docs' / 'examples'
GRID = 64
PARQUET, CUBES = 96, 32  # galaxies of each set
COMPOSITE_R90 = (7.0, 12.0)  # arcsec; range of the radii of the Parquet file's galaxies
CUBE_R90 = (4.8, 6.2)  # and of the cubes', which 64 pixels have to hold
CUBE_PIXEL = 0.524  # arcsec; two pixels of the Legacy Surveys
SHALLOW = 2.0  # noise relative to the Legacy Surveys'
VOLUNTEERS, VOTED, TRAIN = (
    40,
    0.67,
    0.75,
)  # usual number of votes; shares of the galaxies with votes, and to learn from
QUALITY, QUANTIZE = 93, 4  # of the JPEG images; steps per sky sigma of the cubes
ANSWERS = {'smooth-or-featured': ('smooth', 'featured-or-disk'), 'disk-edge-on': ('yes', 'no')}

# kind, share, builder, probability that a volunteer says "featured", and then "edge-on"
KINDS = [
    ('elliptical', 0.3, elliptical, 0.08, 0.15),
    ('lenticular', 0.12, lenticular, 0.4, 0.1),
    ('spiral', 0.25, spiral, 0.92, 0.03),
    ('barred spiral', 0.13, spiral, 0.95, 0.03),
    ('edge-on', 0.15, edge_on, 0.85, 0.95),
    ('irregular', 0.05, irregular, 0.7, 0.1),
]


def options(rng, kind):
    """Shape of a galaxy of a kind, as its builder in make_demo_field takes it."""
    if kind == 'elliptical':
        return {'q': rng.uniform(0.5, 1), 'n': rng.uniform(2, 4)}
    if kind == 'lenticular':
        return {'q': rng.uniform(0.35, 0.9), 'bulge': rng.uniform(0.35, 0.55)}
    if kind == 'edge-on':
        return {
            'bulge': rng.choice([0, 0.3]),
            'dust': rng.choice([0, 5]),
            'thick': rng.uniform(0.13, 0.2),
        }
    if kind == 'irregular':
        return {}
    return {
        'q': rng.uniform(0.5, 0.97),
        'pitch': rng.uniform(13, 27),
        'blue': rng.uniform(0.38, 0.5),
        'sharp': rng.uniform(2.2, 3),
        'pieces': 4,
        'bulge': rng.uniform(0.1, 0.22),
        'bar': rng.uniform(1.1, 1.5) if kind == 'barred spiral' else 0.0,
    }


def simulate(rng, radii):
    """One galaxy, of a random kind and a petroR90 within ``radii``, with its volunteers' votes."""
    kind, _, builder, featured, edge = KINDS[rng.choice(len(KINDS), p=[row[1] for row in KINDS])]
    shape, wanted, random_state = options(rng, kind), rng.uniform(*radii), rng.integers(2**31)
    r_mag = 16 - 5 * np.log10(wanted / 6.6) + rng.normal(0, 0.3)
    size = wanted / 2.5
    for _ in range(
        3
    ):  # the radius is known only when the galaxy is drawn; the same seed gives the same galaxy
        galaxy = build(np.random.default_rng(random_state), kind, r_mag, builder, size, shape)
        size *= wanted / galaxy['r90']
    return galaxy | votes(rng, featured, edge)


def votes(rng, featured, edge):
    """Vote fractions of a galaxy; None where nobody was asked, as of a third of the galaxies."""
    names = [
        f'{question}_{answer}_fraction'
        for question, answers in ANSWERS.items()
        for answer in answers
    ]
    names += [f'{question}_reach' for question in ANSWERS]
    looked = rng.uniform() < VOTED
    total = 1 + rng.poisson(VOLUNTEERS)
    asked = rng.binomial(total, featured)
    yes = rng.binomial(asked, edge)
    if not looked:
        return dict.fromkeys(names)
    seen = (yes / asked, 1 - yes / asked) if asked else (None, None)
    return dict(zip(names, (1 - asked / total, asked / total, *seen, 1.0, asked / total)))


def observe(rng, galaxy, pixel):
    """(3, GRID, GRID) noisy nanomaggies a pixel of ``pixel`` arcsec, in the order of BANDS."""
    image = np.stack(
        [
            galaxy['profiles'][band].drawImage(galsim.ImageD(GRID, GRID), scale=pixel).array
            for band in BANDS
        ]
    )
    sigma = SHALLOW * np.array([SIGMA[band] for band in BANDS])[:, None, None] * pixel / PIXEL
    sky = np.array([SKY[band] for band in BANDS])[:, None, None] * (pixel / PIXEL) ** 2
    return image + rng.normal(size=image.shape) * sigma * np.sqrt(1 + image.clip(0) / sky)


def composite(surface):
    """(3, H, W) nanomaggies per square arcsecond to an 8-bit picture, as the model renders."""
    entry = next(e for e in survey_renderings(TrainingConfig().exposure) if e['name'] == 'sdss-grz')
    scales = np.array(entry['scales'])[:, None, None]
    value = scales * surface[[BANDS.index(band) for band in entry['bands']]] + entry['offset']
    mean, q = value.clip(0).mean(0).clip(1e-6), entry['softening']
    picture = (value * np.arcsinh(q * mean) / (np.sqrt(q) * mean)).clip(0, 1)
    return np.moveaxis((255 * picture).round().astype(np.uint8), 0, -1)


def jpeg(picture):
    """Bytes of a JPEG file with all of the colour."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, 'jpeg', quality=QUALITY, subsampling=0, optimize=True)
    return buffer.getvalue()


def write_parquet(rng, path):
    """Write the composites at the model's scale with their labels."""
    rows = []
    for i in range(PARQUET):
        galaxy = simulate(rng, COMPOSITE_R90)
        pixel = CUTOUT * galaxy['r90'] / GRID
        name = f'sim-{i:03d}'
        content = jpeg(composite(observe(rng, galaxy, pixel) / pixel**2))
        rows.append(
            {
                'id_str': name,
                'image': {'bytes': content, 'path': f'{name}.jpg'},
                'split': 'train' if rng.uniform() < TRAIN else 'test',
                'kind': galaxy['kind'],
                **{
                    key: value
                    for key, value in galaxy.items()
                    if key.endswith(('_fraction', '_reach'))
                },
            }
        )
    pq.write_table(pa.Table.from_pylist(rows), path, compression='zstd')


def cube_hdu(rng, galaxy, random_state):
    """FITS image of a galaxy in the three bands, as the Legacy Surveys lay out their cutouts."""
    image = observe(rng, galaxy, CUBE_PIXEL)
    # few steps compress well; powers of two leave the last bits empty, and zero would be missing
    sigma = SHALLOW * CUBE_PIXEL / PIXEL * np.array([SIGMA[band] for band in BANDS])
    step = 2.0 ** np.floor(np.log2(sigma / QUANTIZE))[:, None, None]
    hdu = fits.PrimaryHDU(((np.floor(image / step) + 0.5) * step).astype(np.float32))
    header = hdu.header
    header['BUNIT'], header['BANDS'] = 'nanomaggy', ''.join(BANDS)
    for i, band in enumerate(BANDS):
        header[f'BAND{i}'] = band
    for i, value, step in (
        (1, rng.uniform(120, 250), -CUBE_PIXEL / 3600),
        (2, rng.uniform(0, 60), CUBE_PIXEL / 3600),
    ):
        header[f'CTYPE{i}'], header[f'CRVAL{i}'] = ('RA---TAN', 'DEC--TAN')[i - 1], round(value, 6)
        header[f'CRPIX{i}'], header[f'CD{i}_{i}'] = (GRID + 1) / 2, step
    header.add_comment(
        f'Simulated by tools/make_training_samples.py with GalSim and seed {random_state}.'
    )
    return hdu


def write_cubes(rng, folder, random_state):
    """Write the cubes, and next to their folder the table of their labels."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(CUBES):
        galaxy, name, buffer = simulate(rng, CUBE_R90), f'cube-{i:02d}', io.BytesIO()
        cube_hdu(rng, galaxy, random_state).writeto(buffer)
        (folder / f'{name}.fits.gz').write_bytes(gzip.compress(buffer.getvalue(), 9, mtime=0))
        rows.append(
            {
                'id_str': name,
                **{k: v for k, v in galaxy.items() if k.endswith(('_fraction', '_reach'))},
            }
        )
    table = Table({'id_str': [row['id_str'] for row in rows]})
    for name in list(rows[0])[1:]:
        values = [row[name] for row in rows]
        table[name] = MaskedColumn(
            [0.0 if v is None else round(v, 4) for v in values], mask=[v is None for v in values]
        )
    table.meta['comments'] = [
        f'Simulated votes, by tools/make_training_samples.py with seed {random_state}'
    ]
    table.write(folder.with_name(f'{folder.name}_labels.ecsv'), overwrite=True)


def main(argv=None):
    """Write both sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('-o', '--output', type=Path, default=EXAMPLES, metavar='FOLDER')
    parser.add_argument('--random-state', type=int, default=7)
    args = parser.parse_args(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    write_parquet(np.random.default_rng([args.random_state, 0]), args.output / 'galaxies.parquet')
    write_cubes(
        np.random.default_rng([args.random_state, 1]), args.output / 'cubes', args.random_state
    )


if __name__ == '__main__':
    main()
