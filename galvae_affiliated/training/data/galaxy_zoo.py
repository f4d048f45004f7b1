# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Facts of Galaxy Zoo 2 and of the surveys' colour composites."""

__all__ = ['GZ2_QUESTIONS', 'TYPICAL', 'survey_renderings']

# question: (the question and answer that lead to it, its answers)
GZ2_QUESTIONS = {
    'smooth-or-featured': (None, ['smooth', 'featured-or-disk', 'artifact']),
    'disk-edge-on': (['smooth-or-featured', 'featured-or-disk'], ['yes', 'no']),
    'has-spiral-arms': (['disk-edge-on', 'no'], ['yes', 'no']),
    'bar': (['disk-edge-on', 'no'], ['yes', 'no']),
    'bulge-size': (['disk-edge-on', 'no'],
                   ['no', 'just-noticeable', 'obvious', 'dominant']),
    'how-rounded': (['smooth-or-featured', 'smooth'], ['round', 'in-between', 'cigar']),
    'bulge-shape': (['disk-edge-on', 'yes'], ['round', 'boxy', 'no-bulge']),
    'spiral-winding': (['has-spiral-arms', 'yes'], ['tight', 'medium', 'loose']),
    'spiral-arm-count': (['has-spiral-arms', 'yes'],
                         ['1', '2', '3', '4', 'more-than-4', 'cant-tell']),
    'something-odd': (None, ['yes', 'no']),
    'odd-feature': (['something-odd', 'yes'],
                    ['ring', 'lens-or-arc', 'disturbed', 'irregular', 'other', 'merger',
                     'dust-lane']),
    'merging': (None, ['merger', 'none']),
}
# usual noise of a pixel of 0.262 arcsec in nanomaggies per square arcsecond (measured on Legacy
# Surveys images; i is between r and z), and flux relative to r of a galaxy of g - r = 0.65,
# r - i = 0.3, r - z = 0.5
TYPICAL = {'g': {'noise': 0.041, 'flux': 0.55}, 'r': {'noise': 0.070, 'flux': 1.0},
           'i': {'noise': 0.11, 'flux': 1.3}, 'z': {'noise': 0.172, 'flux': 1.6}}
# Nanomaggies a pixel to composite. SDSS: scales and nonlinearity (per sum of the bands) with which
# SDSS-III made the pictures of its imaging, for pixels of 0.396 arcsec; the z band takes the place
# of i, fainter by a galaxy's i - z.
SDSS_PIXEL = 0.396
SDSS_NONLINEARITY = 2.25
SDSS_SKY = 0.015
SDSS_SCALES = {'i': 0.4 * 5.0, 'r': 0.4 * 6.5, 'g': 0.4 * 9.0, 'z': 0.4 * 5.0 * 0.8}
# The Legacy Surveys' viewer, for pixels of 0.262 arcsec
LEGACY_PIXEL = 0.262
LEGACY_SOFTENING = 20.0
LEGACY_OFFSET = 0.03
LEGACY_SCALES = {'z': 2.2, 'r': 3.4, 'g': 6.0}


def survey_renderings(exposure):
    """
    Doors into a model that learnt SDSS composites.

    Parameters
    ----------
    exposure : float
        Factor on SDSS's published scales: how bright its server, whose composites
        Galaxy Zoo showed, draws a galaxy.

    Returns
    -------
    renderings : list of dict
        As `~galvae_affiliated.training.networks.preprocess.Rendering` takes them.
    """
    # Lupton's arcsinh(Q I) / (sqrt(Q) I) of the mean I of the bands, from SDSS's
    # arcsinh(b S) / (b S) of their sum S
    root = 3.0 * SDSS_NONLINEARITY
    sdss = {band: exposure * scale * SDSS_PIXEL ** 2 / root
            for band, scale in SDSS_SCALES.items()}
    target = {'offset': SDSS_SKY / root, 'softening': root ** 2}
    legacy = {'scales': [LEGACY_SCALES[band] * LEGACY_PIXEL ** 2 for band in 'zrg'],
              'offset': LEGACY_OFFSET, 'softening': LEGACY_SOFTENING, 'bands': ['z', 'r', 'g']}
    flux = [{'name': f'sdss-{bands[::-1]}', 'kind': 'flux', 'bands': list(bands),
             'scales': [sdss[band] for band in bands], **target} for bands in ('irg', 'zrg')]
    return [{'name': 'composite', 'kind': 'composite'}, *flux,
            {'name': 'legacy-composite', 'kind': 'rerender', 'target': 2, **legacy}]
