# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Power in bands of frequency, and a score that asks for the right scatter."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')

from galvae_affiliated.training.objectives.texture import band_powers, energy_score  # noqa: E402

SIDE, N_BANDS = 32, 9


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_white_noise_has_the_same_power_everywhere():
    powers = band_powers(noise(400, 3, SIDE, SIDE)).mean(0)
    assert powers.shape == (5, N_BANDS)
    # means of logarithms lie a little below the logarithms of means where modes are few
    torch.testing.assert_close(powers[:3, 3:], torch.zeros(3, N_BANDS - 3), atol=0.03, rtol=0)
    twice = torch.full((2, N_BANDS - 3), np.log10(2.0))  # channels differ by two noises
    torch.testing.assert_close(powers[3:, 3:], twice, atol=0.03, rtol=0)


def test_bands_are_those_of_the_whole_plane():
    image = noise(1, 3, SIDE, SIDE)
    power = np.abs(np.fft.fft2(image.numpy(), norm='ortho')) ** 2
    frequency = np.fft.fftfreq(SIDE)
    radius = np.hypot(frequency, frequency[:, None])
    octave = (radius > 0.5 * 2**-0.5) & (radius <= 0.5)
    expected = np.log10(power[0, :, octave].mean(axis=0))
    np.testing.assert_allclose(band_powers(image)[0, :3, -2], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(('waves', 'band'), [(2, 1), (5, 4), (15, 7)])
def test_a_wave_is_in_its_band(waves, band):
    wave = torch.sin(2.0 * np.pi * waves * torch.arange(SIDE) / SIDE)
    image = wave.expand(1, 3, SIDE, SIDE) + 1e-4 * noise(1, 3, SIDE, SIDE)
    assert int(band_powers(image)[0, 0].argmax()) == band


def test_the_mean_light_does_not_count():
    image = noise(2, 3, SIDE, SIDE)
    torch.testing.assert_close(band_powers(image + 3.0), band_powers(image), atol=1e-3, rtol=0)


def test_an_empty_image_has_a_slope():
    image = torch.zeros(1, 3, SIDE, SIDE, requires_grad=True)
    band_powers(image).sum().backward()
    assert torch.isfinite(image.grad).all()


@pytest.mark.parametrize('scatter', [0.0, 0.5, 2.0])
def test_the_score_is_least_for_the_right_scatter(scatter):
    truth, one, other = (noise(4000, 3, seed=seed) for seed in range(3))
    assert energy_score(one, other, truth) < energy_score(scatter * one, scatter * other, truth)


def test_the_score_is_in_units_of_the_values():
    truth, one, other = (noise(50, 3, seed=seed) for seed in range(3))
    score = energy_score(one, other, truth)
    torch.testing.assert_close(
        energy_score(10 * one, 10 * other, 10 * truth), 10 * score, rtol=1e-3, atol=0
    )


def test_equal_draws_have_a_slope():
    one = torch.ones(3, 2, requires_grad=True)
    energy_score(one, one, torch.ones(3, 2)).backward()
    assert torch.isfinite(one.grad).all()
