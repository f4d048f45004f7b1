# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A table of galaxies that never were, with pictures, for the tests of pages."""

import numpy as np
from astropy.table import MaskedColumn, Table

from galvae_affiliated import add_morphology, get_model
from galvae_affiliated.flags import GalvaeFlags

HOSTILE = '</script><script>document.title="taken"</script><img src=x onerror=alert(1)>'
N = 60
LOST, FLAGGED = (4,), (7, 8, 9)


def make_table(n=N, hostile=True):
    """Latents, votes, flags, positions; row 4 has no latents, 7 to 9 have warnings."""
    rng = np.random.default_rng(5)
    model = get_model()
    latent = rng.normal(size=(n, model.n_latents)).astype(np.float32)
    flags = np.zeros(n, dtype=np.int32)
    flags[list(LOST)] = GalvaeFlags.NO_RADIUS
    flags[list(FLAGGED)] = GalvaeFlags.EDGE
    mask = np.zeros(latent.shape, dtype=bool)
    mask[list(LOST)] = True
    names = [f'J{i:03d}' for i in range(n)]
    if hostile:
        names[1] = HOSTILE
        names[2] = '=cmd, "quoted"'
    table = Table({'id_str': names, 'ra': rng.uniform(150, 151, n), 'dec': rng.uniform(2, 3, n)})
    table['galvae_latent'] = MaskedColumn(
        latent, mask=mask, description=f'morphology latents [model {model.id}]'
    )
    table['galvae_flags'] = flags
    table['galvae_radius'] = MaskedColumn(rng.uniform(3, 9, n), mask=mask[:, 0], unit='arcsec')
    table.meta['comment'] = HOSTILE if hostile else 'simulated'
    return add_morphology(table)


def make_pictures(n=N, grid=None):
    """(n, 3, grid, grid) composites: blobs whose width and colour tell the row."""
    grid = grid or get_model().grid
    y, x = np.mgrid[:grid, :grid] - (grid - 1) / 2
    width = np.linspace(0.05, 0.2, n)[:, None, None] * grid
    blob = np.exp(-0.5 * (x**2 + y**2) / width**2)
    color = np.stack([np.linspace(0.2, 1, n), np.full(n, 0.6), np.linspace(1, 0.2, n)], axis=1)
    pictures = color[:, :, None, None] * blob[:, None]
    pictures[:, :, : grid // 8] += 0.3  # a bar along the upper edge
    return np.clip(pictures, 0, 1).astype(np.float32)
