# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxies as other surveys would show them."""

import pytest

torch = pytest.importorskip('torch')

from training_sets import GRID, galaxy, tiny  # noqa: E402

from galvae_affiliated.training.data.degrade import in_grey, survey_view  # noqa: E402

COLOURS = torch.tensor([1.0, 0.5, 0.4]).view(1, 3, 1, 1)
IMAGES = (0.5 * torch.from_numpy(galaxy(0)).float() * COLOURS).expand(64, 3, GRID, GRID)
# nothing but the geometry
STILL = {
    'survey_zoom': 0.0,
    'max_shift': 0.0,
    'survey_gain': 0.0,
    'survey_contrast': 0.0,
    'survey_blurred_share': 0.0,
    'survey_noise': 0.0,
    'survey_mixing': 0.0,
    'sky_jitter': 0.0,
    'grey_share': 0.0,
    'two_band_share': 0.0,
    'cut_share': 0.0,
}


def views(seed=3, **options):
    config = tiny(**{**STILL, **options}).augmentation
    return survey_view(IMAGES, config, torch.Generator().manual_seed(seed))


def test_without_strengths_only_the_angle_changes():
    view, clean = views()
    torch.testing.assert_close(view, clean)
    # the galaxy is round
    torch.testing.assert_close(view, IMAGES, atol=0.05, rtol=0)


def test_the_same_seed_gives_the_same_views():
    strong = {'survey_noise': 0.1, 'grey_share': 0.4, 'survey_blurred_share': 0.5}
    for one, two in zip(views(**strong), views(**strong)):
        torch.testing.assert_close(one, two, atol=0, rtol=0)
    assert (views(seed=4, **strong)[0] - views(**strong)[0]).abs().max() > 0.05


def test_shares_of_grey_and_of_two_bands():
    view, _ = views(grey_share=0.5, two_band_share=0.25)
    red, green, blue = view.unbind(1)
    is_grey = torch.isclose(red, blue).all((1, 2))
    is_two = torch.isclose(green, (red + blue) / 2, atol=1e-4).all((1, 2)) & ~is_grey
    assert 0.3 < is_grey.float().mean() < 0.7
    assert 0.1 < is_two.float().mean() < 0.45


def test_grey_has_the_noise_of_one_band():
    """Three channels of one band have one noise, of which colours would not tell."""
    view, clean = views(grey_share=1.0, survey_noise=0.1)
    noise = view - clean
    inside = (view > 0) & (view < 1)
    torch.testing.assert_close(noise[:, :1].expand_as(noise)[inside], noise[inside])
    assert noise.std() > 0.005


def test_blur_moves_light_outwards_and_keeps_it():
    sharp, blurred = IMAGES[0, 0], views(survey_blurred_share=1.0, survey_psf=4.0)[0][:, 0]
    middle = GRID // 2
    brightest = blurred[:, middle, middle]
    assert (brightest < sharp.max()).all() and brightest.median() < 0.9 * sharp.max()
    torch.testing.assert_close(
        blurred.sum((1, 2)), sharp.sum().expand(len(blurred)), rtol=0.06, atol=0
    )


def test_in_grey_is_the_middle_band():
    grey = in_grey(IMAGES)
    for channel in grey.unbind(1):
        torch.testing.assert_close(channel, IMAGES[:, 1])
