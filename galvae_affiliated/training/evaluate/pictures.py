# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How much pictures that were drawn look like data, by their power and their features."""

import numpy as np

__all__ = ['coverage_scores', 'frechet_distance', 'kernel_distance', 'octave_distance',
           'octave_power', 'power_distance', 'simple_features', 'told_apart']

N_OCTAVES = 3
KERNEL_DEGREE = 3
FLOOR = 1e-12  # of a power, whose logarithm is taken


def octave_power(images, n_octaves=N_OCTAVES):
    """
    Power of each image in its highest octaves of frequency.

    Parameters
    ----------
    images : (N, C, H, W) array
        Square, with the same light outside of what is compared.
    n_octaves : int, optional

    Returns
    -------
    power : (N, n_octaves) array
        Mean over channels and over all frequencies of an octave; the last one ends at Nyquist's.
    """
    images = np.asarray(images, dtype=float)
    spectrum = np.abs(np.fft.fft2(images - images.mean((2, 3), keepdims=True))) ** 2
    frequency = np.fft.fftfreq(images.shape[-1])
    radius = np.hypot(frequency, frequency[:, None])
    power = []
    for i in range(n_octaves, 0, -1):
        inside = (radius > 2.0 ** -(i + 1)) & (radius <= 2.0 ** -i)
        power.append(spectrum[..., inside].mean(axis=(1, 2)))
    return np.stack(power, axis=1)


def power_distance(drawn, data, n_octaves=N_OCTAVES):
    """
    Mean distance of the logarithms of the mean power in the highest octaves.

    Parameters
    ----------
    drawn, data : (N, C, H, W), (M, C, H, W) arrays
    n_octaves : int, optional

    Returns
    -------
    distance : float
        In dex.
    """
    return octave_distance(octave_power(drawn, n_octaves), octave_power(data, n_octaves))


def octave_distance(drawn, data):
    """
    `power_distance` of images whose power is known.

    Parameters
    ----------
    drawn, data : (N, n_octaves), (M, n_octaves) arrays
        See `octave_power`.

    Returns
    -------
    distance : float
        In dex.
    """
    one, two = (np.log10(power.mean(axis=0) + FLOOR) for power in (drawn, data))
    return float(np.abs(one - two).mean())


def frechet_distance(drawn, data):
    """
    Frechet distance of two Gaussians with the moments of two sets of features.

    Parameters
    ----------
    drawn, data : (N, D), (M, D) arrays

    Returns
    -------
    distance : float

    References
    ----------
    Heusel, M. et al. 2017, NeurIPS (arXiv:1706.08500).
    """
    (one, one_cov), (two, two_cov) = ((x.mean(axis=0), np.cov(x.T))
                                      for x in (np.asarray(drawn, float), np.asarray(data, float)))
    # the trace of the root of the product, by its eigenvalues, which are none below zero
    roots = np.sqrt(np.maximum(np.linalg.eigvals(one_cov @ two_cov).real, 0.0)).sum()
    return float(((one - two) ** 2).sum() + np.trace(one_cov) + np.trace(two_cov) - 2.0 * roots)


def kernel_distance(drawn, data):
    """
    Squared maximum mean discrepancy of features under a cubic kernel, without bias.

    Parameters
    ----------
    drawn, data : (N, D), (M, D) arrays

    Returns
    -------
    distance : float
        May be a little below zero.

    References
    ----------
    Binkowski, M. et al. 2018, ICLR (arXiv:1801.01401).
    """
    drawn, data = np.asarray(drawn, dtype=float), np.asarray(data, dtype=float)

    def kernel(one, two):
        return (one @ two.T / one.shape[1] + 1.0) ** KERNEL_DEGREE

    def within(x):
        values = kernel(x, x)
        return (values.sum() - np.trace(values)) / (len(x) * (len(x) - 1))

    return float(within(drawn) + within(data) - 2.0 * kernel(drawn, data).mean())


def coverage_scores(drawn, data, k=5):
    """
    Whether pictures lie among data, and data among pictures.

    Parameters
    ----------
    drawn, data : (N, D), (M, D) arrays
        Features.
    k : int, optional
        Neighbours by which the size of the place of each is measured.

    Returns
    -------
    scores : dict
        ``precision``, the share of pictures within the place of some datum; ``recall``, of data
        within the place of some picture; ``density``, the mean number of places that a picture is
        in over what is expected; ``coverage``, the share of data in whose place a picture is.

    References
    ----------
    Kynkaanniemi, T. et al. 2019, NeurIPS (arXiv:1904.06991).
    Naeem, M. et al. 2020, ICML (arXiv:2002.09797).
    """
    from scipy.spatial.distance import cdist

    between = cdist(drawn, data)
    place, own = (np.partition(cdist(x, x), k, axis=1)[:, k] for x in (data, drawn))
    inside = between < place
    return {'precision': float(inside.any(axis=1).mean()),
            'recall': float((between < own[:, None]).any(axis=0).mean()),
            'density': float(inside.sum(axis=1).mean() / k),
            'coverage': float(inside.any(axis=0).mean())}


def simple_features(images):
    """
    Features that say what a classifier goes by, as each alone is little.

    Parameters
    ----------
    images : (N, C, H, W) array

    Returns
    -------
    features : dict of str to (N, D) array
        ``power``, logarithms of the power in the highest octaves; ``channel means``, the mean of
        each channel.
    """
    images = np.asarray(images)
    return {'power': np.log10(octave_power(images) + FLOOR),
            'channel means': images.mean(axis=(2, 3), dtype=float)}


def told_apart(drawn, data, *, n_folds=5, random_state=0):
    """
    How well a classifier that has seen others tells pictures from data by their features.

    Parameters
    ----------
    drawn, data : (N, D), (M, D) arrays
    n_folds, random_state : int, optional

    Returns
    -------
    accuracy, auc : float
        Balanced accuracy, and area under the ROC curve; 0.5 where it cannot tell.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    features = np.concatenate([drawn, data])
    is_data = np.repeat([0, 1], [len(drawn), len(data)])
    # what was drawn may come in the order of the components that it was drawn from
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
    model = HistGradientBoostingClassifier(random_state=random_state)
    likely = cross_val_predict(model, features, is_data, cv=folds, method='predict_proba')[:, 1]
    return (float(balanced_accuracy_score(is_data, likely > 0.5)),
            float(roc_auc_score(is_data, likely)))
