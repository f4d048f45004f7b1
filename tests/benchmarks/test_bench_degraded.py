# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Worse images of galaxies are what they say, and so is where a model stops knowing."""

import numpy as np
import pytest

from galvae_affiliated import CutoutStack, GalvaeFlags, get_model
from galvae_affiliated.models.encoder import Encoder

pytest.importorskip('torch')
GRID, N = 128, 3


@pytest.fixture(scope='module')
def composites():
    """Discs of some color on a sky with noise."""
    rng = np.random.default_rng(2)
    far = np.hypot(*(np.mgrid[:GRID, :GRID] - (GRID - 1) / 2))
    disc = np.exp(-far * 3.88 / 25) * np.reshape([0.4, 0.5, 0.6], (N, 1, 1, 1))
    images = 0.05 + disc * np.reshape([1.0, 0.9, 0.7], (3, 1, 1))
    return (images + 0.01 * rng.standard_normal(images.shape)).astype(np.float32)


@pytest.fixture
def degrader(benchmark, composites):
    return benchmark('_degraded').Degrader(composites, get_model())


def test_what_is_undone_is_rendered_again(degrader, composites):
    encoder = Encoder(device='cpu', n_threads=1)
    expected = encoder.frames(CutoutStack.from_composites(composites))
    stack = degrader.stack(degrader.flux, grey=False)
    assert np.allclose(encoder.frames(stack), expected, atol=2e-3)
    assert stack.n_bands.tolist() == [3] * N
    grey = encoder.frames(degrader.stack(degrader.flux, grey=True))[:, :, 50:78, 50:78]
    assert np.allclose(grey, grey[:, :1], atol=1e-3)


def test_blur_keeps_the_light_and_widens_it(degrader):
    assert degrader.blurred(0.0) is degrader.flux
    blurred = degrader.blurred(1.0)
    assert blurred.mean() == pytest.approx(degrader.flux.mean(), rel=0.02)
    peaks = (blurred.max(axis=(2, 3)) - degrader.level) / (
        degrader.flux.max(axis=(2, 3)) - degrader.level
    )
    assert (peaks < 0.6).all()


def test_noise_is_that_which_is_asked_for(degrader):
    far = np.hypot(*(np.mgrid[:GRID, :GRID] - (GRID - 1) / 2))
    inside = far < degrader.r90
    for snr in (20.0, 50.0):
        images = degrader.noisier(snr) - degrader.flux
        noise = np.hypot(images.std(axis=(2, 3)), degrader.noise)
        light = (degrader.flux - degrader.level[:, :, None, None])[:, :, inside].mean(axis=2)
        found = light * np.sqrt(np.pi) * degrader.r90 / noise
        assert np.allclose(found, snr, rtol=0.05)
    assert np.array_equal(degrader.noisier(1e6), degrader.flux)


def test_larger_pixels(degrader):
    assert np.allclose(degrader.coarser(25.0), degrader.flux, atol=1e-3)
    coarse = degrader.coarser(5.0)
    middle = slice(GRID // 2 - 25, GRID // 2 + 25)
    assert np.allclose(
        coarse[..., middle, middle].mean(axis=(2, 3)),
        degrader.flux[..., middle, middle].mean(axis=(2, 3)),
        rtol=0.05,
    )
    noise = [images[:, :, 8, 8:-8].std(axis=-1).mean() for images in (coarse, degrader.flux)]
    assert noise[0] < 0.6 * noise[1]


def test_rows_that_are_not_resolved_are_flagged(degrader):
    def is_flagged(**about):
        flags = degrader.stack(degrader.flux, grey=True, **about).flags
        assert (flags & GalvaeFlags.FEW_BANDS).all()
        return bool((flags & GalvaeFlags.UNRESOLVED).all())

    assert is_flagged(fwhm=1.0) and is_flagged(pixels=2.0)
    assert not is_flagged() and not is_flagged(fwhm=0.2) and not is_flagged(pixels=6.0)


def test_where_half_is_lost(benchmark):
    bench = benchmark('bench_degraded')
    rows = [
        {'axis': axis, 'value': value, 'bands': bands, 'balanced': 0.9 - 0.1 * i * (axis[0] == 'P')}
        for axis, values in bench.AXES.items()
        for i, value in enumerate(values)
        for bands in ('color', 'grey')
    ]
    limits = bench.half_lost(rows, 0.4)
    # 0.65 is half way between the third level, 0.7, and the fourth, 0.6
    third, fourth = bench.AXES['PSF FWHM / R90'][2:4]
    assert limits['PSF FWHM / R90']['grey'] == pytest.approx(np.sqrt(third * fourth))
    assert np.isnan(limits['pixels in R90']['color'])
