# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How far a galaxy lies outside of what a model has seen, as a p-value with reasons."""

from dataclasses import dataclass

import numpy as np

from galvae_affiliated.exceptions import BundleError
from galvae_affiliated.flags import BitNames, GalvaeFlags
from galvae_affiliated.models._archive import checked_arrays, read_arrays
from galvae_affiliated.models._column import Column
from galvae_affiliated.models.image_statistics import STATISTICS
from galvae_affiliated.models.mixture import GaussianMixture
from galvae_affiliated.models.whitening import Whitening

__all__ = ['Applicability', 'ApplicabilityReasons', 'ApplicabilityTest', 'KindTest', 'features']

APPLICABILITY = 'applicability.npz'
# name: (bit value, which tails of which features, meaning)
REASONS = {
    'TOO_SMALL': (1, {'log_concentration': 'high'},
                  'the light is concentrated in the middle as that of a star'),
    'TOO_BLURRED': (2, {'log_center_roughness': 'low', 'log_sky_roughness': 'low'},
                    'neighbouring pixels are more alike than in the training images'),
    'OTHER_COLORS': (4, {'color_rb': 'both', 'color_g': 'both', 'color_rb_outside': 'both',
                         'color_g_outside': 'both',
                         'sky_color_rb': 'both', 'sky_color_g': 'both',
                         'noise_color_rb': 'both', 'noise_color_g': 'both'},
                     'colors that galaxies do not have in the bands of the training'),
    'ARTEFACT': (8, {'log_largest_step': 'high', 'log_largest_patch': 'high',
                     'log_largest_color_step': 'high', 'asymmetry': 'high', 'log_chi2': 'high'},
                 'sharp or lopsided light, or what the decoder does not explain'),
    'BLANK': (16, {'log_light': 'low'}, 'hardly any light in the middle'),
    'OTHER_NOISE': (32, {'log_sky_roughness': 'high', 'log_color_roughness': 'both',
                         'sky': 'both'},
                    'another noise or another level of the sky than in the training images'),
    'UNLIKE_THE_REST': (64, {}, 'none of these by itself: a rare combination'),
}
ApplicabilityReasons = BitNames(
    'ApplicabilityReasons', **{name: bit for name, (bit, _, _) in REASONS.items()})
"""The bits of the ``galvae_applicability_reasons`` column, by name."""

GIVEN_BELOW = 0.05  # p-value of rows that get reasons
# how images enter, and of how many bands: noise, sky and colors of each kind are others. A JPEG
# has hardly any noise in its colors, and flux that is rendered has as much as in its light
KINDS = tuple(f'{way}_{bands}' for way in ('composite', 'rerender', 'flux')
              for bands in ('color', 'two', 'grey'))
# other surveys' seeing and depth move latents, which is no fault of an image
WITH_LATENTS = 'composite'
FEATURES = (*STATISTICS, 'log_chi2', 'mean_log_error')
MAX_COMPONENTS, MAX_SCORES = 4096, 1 << 20
LEAST_CHI2 = 1e-6


@dataclass(frozen=True)
class Applicability:
    """
    How applicable a model is to N cutouts.

    Attributes
    ----------
    p : (N,) float32 array
        Share of galaxies like those of the training that are at least as unusual; NaN where
        nothing was measured.
    reasons : (N,) int32 array
        Bits of ``ApplicabilityReasons``, where p is below 0.05.
    flag_below : float
        p-value below which rows are flagged.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.models import Applicability
    >>> found = Applicability(np.array([0.6, 0.0001]), np.array([0, 1]), flag_below=0.001)
    >>> (found.flags() > 0).tolist()
    [False, True]
    """

    p: np.ndarray
    reasons: np.ndarray
    flag_below: float

    def flags(self):
        """(N,) int32 flags: ``UNLIKE_TRAINING`` where p is too low."""
        unlike = np.nan_to_num(self.p, nan=1.0) < self.flag_below
        return np.where(unlike, GalvaeFlags.UNLIKE_TRAINING, 0).astype(np.int32)

    def columns(self):
        """``galvae_applicability`` and ``galvae_applicability_reasons``."""
        return [Column('galvae_applicability', self.p, 'p-value of being like the training',
                       'stat.probability'),
                Column('galvae_applicability_reasons', self.reasons,
                       'bits of ApplicabilityReasons', 'meta.code')]


@dataclass(frozen=True)
class KindTest:
    """
    The density of what galaxies are like in images of one kind, and held-out ones to compare with.

    Attributes
    ----------
    whitening : `~galvae_affiliated.models.Whitening`
        Of the features.
    mixture : `~galvae_affiliated.models.GaussianMixture`
        Of whitened features.
    scores : (n,) array
        Negative log densities of held-out galaxies, ascending.
    limits : (F, 2) array
        Of each feature but the latents, values that few held-out galaxies are below and above.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.models import GaussianMixture, KindTest, Whitening
    >>> values = np.random.default_rng(0).normal(size=(500, 2))
    >>> whitening = Whitening.fit(values)
    >>> mixture = GaussianMixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])
    >>> scores = np.sort(-mixture.log_density(whitening(values)))
    >>> kind = KindTest(whitening, mixture, scores, limits=np.zeros((0, 2)))
    >>> kind.p_values(kind.score([[0.0, 0.0], [9.0, 9.0]])).round(1).tolist()
    [1.0, 0.0]
    """

    whitening: Whitening
    mixture: GaussianMixture
    scores: np.ndarray
    limits: np.ndarray

    def score(self, values):
        """(N,) negative log densities of (N, D) features."""
        return -self.mixture.log_density(self.whitening(values))

    def p_values(self, score):
        """
        Conformal p-values of (N,) scores.

        The share of the held-out galaxies and of the galaxy itself that have as high a score
        (Vovk et al. 2005, Algorithmic Learning in a Random World): uniform for galaxies like
        these, whatever the density is.
        """
        n_above = len(self.scores) - np.searchsorted(self.scores, score, side='left')
        return (1.0 + n_above) / (1.0 + len(self.scores))


@dataclass(frozen=True)
class ApplicabilityTest:
    """
    How rows that are unlike the training galaxies are told.

    Attributes
    ----------
    kinds : dict of str to `KindTest`
        By kind of image, see `~galvae_affiliated.models.Encoding`; rows of other kinds have no
        p-value.
    flag_below : float
        p-value below which ``UNLIKE_TRAINING`` is set.

    Examples
    --------
    Rows of a kind that it does not know have no p-value:

    >>> from galvae_affiliated import get_model
    >>> from galvae_affiliated.models import ApplicabilityTest, Encoder
    >>> images = get_model().generate(2, random_state=0).images
    >>> encoding = Encoder().encode(images, statistics=True)
    >>> ApplicabilityTest(kinds={}, flag_below=0.001).test(encoding).p.tolist()
    [nan, nan]
    """

    kinds: dict
    flag_below: float

    def test(self, encoding):
        """
        How applicable the model is to some rows.

        Parameters
        ----------
        encoding : `~galvae_affiliated.models.Encoding`
            With the statistics of the images.

        Returns
        -------
        applicability : `Applicability`
        """
        n = len(encoding)
        p, reasons = np.full(n, np.nan, dtype=np.float32), np.zeros(n, dtype=np.int32)
        for kind, rows, values in features(encoding):
            if kind in self.kinds and len(rows):
                test = self.kinds[kind]
                p[rows] = test.p_values(test.score(values))
                reasons[rows] = _reasons(test, kind, values, p[rows])
        return Applicability(p, reasons, self.flag_below)

    def evaluate(self, inputs):
        """Outputs of the self-test: of the first kind, of values in whitened coordinates."""
        test = next(iter(self.kinds.values()))
        score = test.score(test.whitening.back(inputs['whitened']))
        return {'score': score, 'p': test.p_values(score)}

    def arrays(self):
        """dict of str to array : What `read` takes."""
        found = {}
        for kind, test in self.kinds.items():
            found |= {f'{kind}_mean': test.whitening.mean, f'{kind}_matrix': test.whitening.matrix}
            small = {**test.mixture.arrays(f'{kind}_'), f'{kind}_scores': test.scores,
                     f'{kind}_limits': test.limits}
            found |= {name: values.astype(np.float32) for name, values in small.items()}
        return found

    @classmethod
    def read(cls, content, table, n_latents):
        """
        The test of a bundle.

        Parameters
        ----------
        content : bytes
            Of the part.
        table : `~galvae_affiliated.models.manifest.ApplicabilityTable`
        n_latents : int

        Returns
        -------
        test : `ApplicabilityTest`

        Raises
        ------
        BundleError
            If an array is missing or wrong, or a statistic is not known to this version.
        """
        if table.statistics != STATISTICS:
            unknown = [name for name in table.statistics if name not in STATISTICS]
            raise BundleError(f'it looks at the statistics {", ".join(unknown or table.statistics)}'
                              f'; this version of galvae_affiliated has {", ".join(STATISTICS)}')
        arrays = read_arrays(content, 7 * len(KINDS))
        kinds = {kind: _read_kind(arrays, kind, n_latents) for kind in KINDS
                 if f'{kind}_mean' in arrays}
        if not kinds:
            raise BundleError('there is a test of no kind of image in it; expected one of '
                              f'{", ".join(KINDS)}')
        return cls(kinds, table.flag_below)


def feature_names(kind):
    """Names of the features of a kind of image that come after the latents."""
    bands = kind.rpartition('_')[2]
    if bands == 'color':
        return list(FEATURES)
    # of two bands, the channel between them is made of both
    return [name for name in FEATURES if 'color' not in name
            or (bands == 'two' and 'color_g' not in name)]


def features(encoding):
    """
    What the tests look at.

    Parameters
    ----------
    encoding : `~galvae_affiliated.models.Encoding`
        With statistics and chi-squares.

    Returns
    -------
    kinds : list of (str, (n,) int array, (n, D) array)
        Kind, the rows that are of it, and their `feature_names`, after their latents where images
        are composites as they are. Rows that are not measured are in none.
    """
    more = np.column_stack([
        encoding.statistics, np.log(np.maximum(encoding.recon_chi2, LEAST_CHI2)),
        np.log(np.maximum(encoding.latent_err, np.finfo('f4').tiny)).mean(axis=1)])
    known = encoding.measured & np.isfinite(more).all(axis=1)
    found = []
    for kind in sorted({*KINDS} & {*encoding.image_kind[known].tolist()}):
        rows = np.flatnonzero(known & (encoding.image_kind == kind))
        columns = more[np.ix_(rows, np.isin(FEATURES, feature_names(kind)))]
        if kind.startswith(WITH_LATENTS):
            columns = np.column_stack([encoding.latent[rows], columns])
        found.append((kind, rows, columns))
    return found


def _reasons(test, kind, values, p):
    """(N,) bits of the reasons, where p is low."""
    names = feature_names(kind)
    few = values[:, -len(names):]
    low, high = few < test.limits[:, 0], few > test.limits[:, 1]
    reasons = np.zeros(len(values), dtype=np.int32)
    for bit, tails, _ in REASONS.values():
        for name, tail in tails.items():
            if name in names:
                i = names.index(name)
                out = {'low': low[:, i], 'high': high[:, i], 'both': low[:, i] | high[:, i]}[tail]
                reasons[out] |= bit
    reasons[reasons == 0] = REASONS['UNLIKE_THE_REST'][0]
    return np.where(p < GIVEN_BELOW, reasons, 0)


def _read_kind(arrays, kind, n_latents):
    n_more = len(feature_names(kind))
    n = n_more + n_latents * kind.startswith(WITH_LATENTS)
    shapes = {'mean': (n,), 'matrix': (n, n), 'weights': ('K',), 'means': ('K', n),
              'factors': ('K', n * (n + 1) // 2), 'scores': ('S',), 'limits': (n_more, 2)}
    found = checked_arrays(arrays, {f'{kind}_{name}': shape for name, shape in shapes.items()},
                           {'K': MAX_COMPONENTS, 'S': MAX_SCORES})
    scores = found[f'{kind}_scores']
    if not len(scores) or (np.diff(scores) < 0).any():
        raise BundleError(f'{kind}_scores are not in ascending order')
    return KindTest(Whitening.of_arrays(found[f'{kind}_mean'], found[f'{kind}_matrix']),
                    GaussianMixture.of_arrays(found, f'{kind}_', n), scores,
                    found[f'{kind}_limits'])
