# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""One band, two, and five, from the images of a field to its table."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from galvae_affiliated import (
    GalvaeFlags,
    encode_catalog,
    make_cutouts,
    open_field,
    stream_catalog,
)
from galvae_affiliated.flags import describe_flags

FAST = {'n_threads': 1}


def all_have(table, flag):
    return all(flag in describe_flags(value) for value in table['galvae_flags'])


def latents(table):
    return np.ma.filled(table['galvae_latent'], np.nan)


def test_one_band_from_detection_to_table(field, galaxies):
    table = encode_catalog({'r': field['r']}, **FAST)
    assert len(table) == len(galaxies)
    measured = np.isfinite(latents(table)).all(axis=1)
    assert measured.all() and all_have(table, 'FEW_BANDS')
    assert 'smooth-or-featured_answer' in table.colnames
    assert table['galvae_latent'].meta['galvae_channels'] == 'r,r,r'
    assert 'morphology latents of r,r,r [model' in table['galvae_latent'].description


@pytest.mark.parametrize(
    ('bands', 'channels'),
    [
        ('r', 'r,r,r'), ('z', 'z,z,z'), ('VIS', 'VIS,VIS,VIS'), ('814 nm', '814 nm,814 nm,814 nm'),
        ('gr', 'r,r+g,g'), ('HSC-I,DES_g', 'HSC-I,HSC-I+DES_g,DES_g'), ('ugriz', 'i,r,g'),
        ('F115W,F150W,F200W', 'F200W,F150W,F115W'), ('g,r,i,z,NISP_Y', 'i,r,g'),
    ],
)  # fmt: skip
def test_bands_of_any_set(field, galaxies, bands, channels):
    from galvae_affiliated.images.planes import split_bands

    names = split_bands(bands)
    images = [field['g' if 'g' in name else 'r'] for name in names]
    table = encode_catalog(images, galaxies, bands=bands, **FAST)
    assert np.isfinite(latents(table)).all()
    assert table['galvae_latent'].meta['galvae_channels'] == channels
    few = len(set(channels.replace('+', ',').split(','))) < 3
    assert all_have(table, 'FEW_BANDS') == few
    assert few == any('FEW_BANDS' in describe_flags(value) for value in table['galvae_flags'])


def test_galaxies_of_one_band_are_grey_and_as_bright_as_in_color(field, galaxies):
    stack = make_cutouts({'r': field['r']}, galaxies)
    three = make_cutouts(field, galaxies)
    assert stack.n_bands.tolist() == [1] * len(galaxies)
    frames = encoder().frames(stack)
    sky = encoder().frames(stack[:1])[0, :, 0, 0]
    assert np.allclose(*(frames[:, i, 40:80, 40:80] for i in (0, 2)), atol=1e-3), sky
    # the middle channel is the band itself, in units of the model's own
    assert np.allclose(stack.data[:, 1], three.data[:, 1], rtol=1e-4, atol=1e-5)


def encoder():
    from galvae_affiliated.models.encoder import Encoder

    return Encoder(device='cpu', n_threads=1)


def test_doors_agree_on_one_band(field, galaxies, tmp_path, galvae):
    expected = encode_catalog({'r': field['r']}, galaxies, **FAST)
    image = open_field({'r': field['r']})
    stream_catalog(image, galaxies, tmp_path / 'stream.parquet', chunk_size=4, **FAST)
    fits.writeto(tmp_path / 'r.fits', field['r'].data, field['r'].wcs.to_header())
    galaxies.write(tmp_path / 'in.fits')
    words = ['encode', tmp_path / 'r.fits', '--bands', 'r', '--unit', 'nmgy', '--catalog',
             tmp_path / 'in.fits', '--n-threads', 1, '-o', tmp_path / 'out.fits']  # fmt: skip
    assert galvae(*words).code == 0
    for name in ('stream.parquet', 'out.fits'):
        table = Table.read(tmp_path / name)
        assert np.allclose(latents(table), latents(expected), atol=1e-4)
        assert (table['galvae_flags'] & GalvaeFlags.FEW_BANDS).all()
        assert 'of r,r,r' in table['galvae_latent'].description


def test_seeing_and_pixels_that_do_not_resolve(field, galaxies):
    given = {'radius': 'petro_r90', **FAST, 'morphology': False, 'reconstruction': False}
    sharp = encode_catalog(field, galaxies, psf_fwhm=0.6, **given)
    assert not any('UNRESOLVED' in describe_flags(value) for value in sharp['galvae_flags'])
    assert (sharp['galvae_resolution'] > 1.75).all()
    seeing = np.median(galaxies['petro_r90']) / 1.26 / 1.75
    blurred = encode_catalog(field, galaxies, psf_fwhm=seeing, **given)
    small = blurred['galvae_resolution'] < 1.75
    assert small.any() and not small.all()
    is_flagged = (blurred['galvae_flags'] & GalvaeFlags.UNRESOLVED) != 0
    assert np.array_equal(is_flagged, small)
    tiny = Table(galaxies)
    tiny['petro_r90'] = 0.5
    table = encode_catalog(field, tiny, radius_unit='arcsec', **given)
    assert all_have(table, 'UNRESOLVED') and all_have(table, 'SMALL')


def test_wrong_bands(field, galaxies, galvae, tmp_path):
    with pytest.raises(ValueError, match="the band 'foo' is not known"):
        encode_catalog([field['r']], galaxies, bands=['foo'])
    with pytest.raises(ValueError, match='same band'):
        encode_catalog([field['r'], field['g']], galaxies, bands=['r', 'HSC-R'])
    with pytest.raises(ValueError, match='there are 2 images and 1 names of bands'):
        encode_catalog([field['r'], field['g']], galaxies, bands='r')
    with pytest.raises(ValueError, match='expected planes or extensions of g, r'):
        encode_catalog(field['r'].data, galaxies, bands='g,r')
    image = open_field({'r': field['r']}, rendering='sdss-grz')
    with pytest.raises(ValueError, match='opened for another model or rendering'):
        make_cutouts(image, galaxies, rendering='sdss-gri')
    assert set(make_cutouts(image, galaxies).rendering) == {'sdss-grz'}
