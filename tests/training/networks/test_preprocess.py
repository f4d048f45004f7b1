# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Renderings and frames: what the encoder reads."""

import pytest

torch = pytest.importorskip('torch')

from training_sets import GRID  # noqa: E402

from galvae_affiliated.training.data.galaxy_zoo import survey_renderings  # noqa: E402
from galvae_affiliated.training.networks.preprocess import Preprocess, Rendering  # noqa: E402


def test_rerendering_undoes_another_surveys_rendering():
    rendering = Rendering(survey_renderings(1.5))
    flux = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.2
    entry = survey_renderings(1.5)[3]
    legacy = Rendering([{**entry, 'kind': 'flux', 'target': 0}])
    composite = legacy(flux, torch.zeros(4, dtype=torch.long))
    assert composite.max() < 1.0
    found = rendering(composite, torch.full((4,), 3))
    torch.testing.assert_close(found, rendering(flux, torch.full((4,), 2)), atol=1e-4, rtol=0)


def test_a_missing_band_leaves_the_others():
    flux = torch.ones(1, 3, 4, 4)
    flux[:, 0] = torch.nan
    composite = Rendering(survey_renderings(1.0))(flux, torch.ones(1, dtype=torch.long))
    assert torch.isnan(composite[:, 0]).all() and torch.isfinite(composite[:, 1:]).all()


def test_corners_and_missing_pixels_become_sky():
    preprocess = Preprocess(GRID)
    image = torch.full((1, 3, GRID, GRID), 0.5)
    image[:, :, GRID // 2, GRID // 2] = torch.nan
    frame, normalised, weight = preprocess(image)
    sky = preprocess.sky.flatten()
    torch.testing.assert_close(frame[0, :, 0, 0], sky)
    torch.testing.assert_close(frame[0, :, GRID // 2, GRID // 2], sky)
    assert weight[0, 0, GRID // 2, GRID // 2] == weight[0, 0, 0, 0] == 0.0
    assert weight[0, 0, GRID // 2, GRID // 2 + 1] == 1.0
    composite = preprocess.composite(normalised)
    torch.testing.assert_close(composite[0, :, GRID // 2, GRID // 2 + 1], torch.full((3,), 0.5))
    torch.testing.assert_close(composite[0, :, 0, 0], sky)


def test_arcsinh_by_the_logarithm():
    """To a hundredth of an 8-bit level of what it multiplies, down to the smallest intensity."""
    flux = torch.logspace(-7, 3, 500).view(1, 1, 1, -1).expand(1, 3, 1, -1)
    entry = survey_renderings(1.7)[1]
    found = Rendering(survey_renderings(1.7))(flux, torch.ones(1, dtype=torch.long))
    scale, q = torch.tensor(entry['scales']).view(1, 3, 1, 1).double(), entry['softening']
    value = scale * flux.double() + entry['offset']
    intensity = value.mean(1, keepdim=True).clamp(min=1e-6)
    expected = (value * torch.asinh(q * intensity) / (q**0.5 * intensity)).clamp(0, 1)
    assert (found - expected).abs().max() < 0.01 / 255
