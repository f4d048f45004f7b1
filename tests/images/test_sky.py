# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy.io import fits

from galvae_affiliated.images import _fits
from galvae_affiliated.images._lazy import MappedImage
from galvae_affiliated.images.planes import Plane, read_planes
from galvae_affiliated.images.sky import sample_pixels, sample_regions, sky_and_noise


def test_sampling_does_not_keep_the_pages_of_a_file(tmp_path, monkeypatch):
    values = np.random.default_rng(6).normal(3, 1, (300, 100)).astype('>f4')
    fits.PrimaryHDU(values).writeto(tmp_path / 'r.fits')
    monkeypatch.setattr(_fits, 'SMALL', 10)
    rows, released = [], []
    original = MappedImage.__getitem__
    monkeypatch.setattr(
        MappedImage, '__getitem__', lambda self, part: rows.append(part[0]) or original(self, part)
    )
    monkeypatch.setattr(MappedImage, 'release', lambda self: released.append(len(rows)))
    monkeypatch.setattr('galvae_affiliated.images.sky.STRIP', 50)
    sky_and_noise(read_planes({'r': tmp_path / 'r.fits'})['r'])
    assert [(part.start, part.stop) for part in rows] == [
        (start, start + 50) for start in range(0, 300, 50)
    ]
    assert released == [1, 2, 3, 4, 5, 6]


def test_sample_is_a_regular_one(monkeypatch):
    """Of an array, whatever the strips in which it is read."""
    monkeypatch.setattr('galvae_affiliated.images.sky.MAX_SAMPLES', 3000)
    values = np.arange(400 * 500.0).reshape(400, 500)
    assert np.array_equal(
        sample_pixels(values, sample_regions(values.shape)), values[::8, ::8].ravel()
    )
    monkeypatch.setattr('galvae_affiliated.images.sky.STRIP', 7)
    assert len(sample_regions(values.shape)) == 8
    assert np.array_equal(
        sample_pixels(values, sample_regions(values.shape)), values[::8, ::8].ravel()
    )


def test_sky_and_noise():
    """Neither sources, nor what is missing, change much."""
    values = np.random.default_rng(0).normal(3.0, 2.0, (300, 400))
    values[:20] = 0.0
    values[20:25] = np.nan
    values[100:110, 100:110] = 1e4
    bad = np.zeros(values.shape, dtype=bool)
    bad[200:] = True
    values[200:] = 50.0
    sky, noise, zeros = sky_and_noise(Plane(values, bad=bad))
    assert zeros == 'missing'
    assert sky == pytest.approx(3.0, abs=0.1)
    assert noise == pytest.approx(2.0, rel=0.05)
    assert sky_and_noise(Plane(np.zeros((5, 5)))) [:2] == (0.0, 0.0)
