# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How many latents does it take? Models of several sizes on the same galaxies, measured on those held out."""

import dataclasses
from pathlib import Path

import numpy as np
from astropy.table import Table
from skimage.metrics import structural_similarity
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from galvae_affiliated.morphology import ASKED
from galvae_affiliated.training.build import encode, posteriors, reconstruct
from galvae_affiliated.training.dataset import read_galaxies
from galvae_affiliated.training.fit import train

__all__ = ['draw_sweep', 'elbow', 'noise_level', 'sweep']

LEAST_OF_AN_ANSWER = 5
COMPARED = 500  # galaxies whose images are compared
LEARNT = 5000  # galaxies with votes that a classifier is fitted on


def sweep(config, latents, run, *, progress=False):
    """
    Train a model for each number of latents and measure it on the galaxies held out.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
    latents : sequence of int
    run : str or path
        A folder; each model's run is in one of its folders, and goes on if it was killed.
    progress : bool, optional

    Returns
    -------
    table : `~astropy.table.Table`
        A row a model: ``n_latents``, ``active`` (latents that say something),
        ``mse`` (of composites in [0, 1], over the circle that is seen),
        ``ssim``, ``ssim_noiseless`` (what a perfect reconstruction without
        noise would get), and of a logistic regression of the votes on the
        latents ``auc`` and ``balanced_accuracy``, NaN without votes.

    References
    ----------
    Wang, Z. et al. 2004, IEEE Trans. Image Processing 13, 600 (SSIM).
    """
    if len(latents) < 2 or any(n < 1 for n in latents):
        raise ValueError(f'latents is {list(latents)}; expected two numbers or more, each at least 1')
    run, latents = Path(run), sorted(set(latents))
    configs = [dataclasses.replace(config, n_latents=n) for n in latents]
    galaxies = read_galaxies(config, run / 'cache')
    if not len(galaxies.held_out):
        raise ValueError('no galaxy is held out to measure on; raise data.validation_share')
    rows, decoded = [], []
    for one in configs:
        folder = run / f'latents-{one.n_latents}'
        module = train(one, galaxies, folder, progress=progress)
        row, images = measure(module, galaxies)
        rows.append(row)
        decoded.append(images)
    # the largest model's images are the best guess of the galaxies without their noise
    ceiling = noiseless_ssim(decoded[-1], galaxies.composites(compared(galaxies)).numpy())
    return Table([{**row, 'ssim_noiseless': ceiling} for row in rows])


def compared(galaxies):
    return galaxies.held_out[:COMPARED]


def measure(module, galaxies):
    """The row of one model, and its reconstructions."""
    model, preprocess = module.model.eval(), module.preprocess
    images = galaxies.composites(compared(galaxies))
    latent, pose, frame, weight = encode(model, preprocess, images)
    decoded, frame, weight = reconstruct(model, preprocess, latent, pose, frame, weight)
    auc, balanced = morphology_scores(model, preprocess, galaxies)
    ssim = np.mean([ssim_of(a, b) for a, b in zip(decoded, frame)])
    return {'n_latents': module.config.n_latents, 'active': module.diagnostics['active latents'],
            'mse': float((weight * (decoded - frame) ** 2).sum() / weight.sum()), 'ssim': float(ssim),
            'auc': auc, 'balanced_accuracy': balanced}, decoded


def ssim_of(image, other):
    """Structural similarity of two (3, H, W) composites."""
    return structural_similarity(image, other, channel_axis=0, data_range=1.0)


def noise_level(images):
    """
    Standard deviation of the noise of each image and channel, by Immerkaer's (1996) second differences.

    Parameters
    ----------
    images : (N, 3, H, W) array

    Returns
    -------
    sigma : (N, 3, 1, 1) array
    """
    along = np.diff(np.diff(images, 2, axis=2), 2, axis=3)
    return np.sqrt(np.pi / 2) / 6.0 * np.abs(along).mean(axis=(2, 3), keepdims=True)


def noiseless_ssim(clean, images, *, seed=0):
    """Mean SSIM of ``clean`` with itself under the noise of ``images``: more than this is fitting noise."""
    noise = noise_level(images) * np.random.default_rng(seed).standard_normal(images.shape)
    noisy = np.clip(clean + noise, 0.0, 1.0).astype(clean.dtype)
    return float(np.mean([ssim_of(a, b) for a, b in zip(clean, noisy)]))


def morphology_scores(model, preprocess, galaxies):
    """Mean area under the ROC curve and balanced accuracy, over the questions, of a logistic regression."""
    learn = galaxies.train[galaxies.has_votes[galaxies.train]][:LEARNT]
    test = galaxies.held_out[galaxies.has_votes[galaxies.held_out]]
    if not len(learn) or not len(test):
        return np.nan, np.nan
    x, x_test = (posteriors(model, preprocess, galaxies, rows)[0].numpy() for rows in (learn, test))
    scores = []
    for votes in galaxies.votes.values():
        y, y_test = votes.fractions[learn].argmax(1), votes.fractions[test].argmax(1)
        asked, asked_test = votes.weight[learn] >= ASKED, votes.weight[test] >= ASKED
        counts = np.bincount(y_test[asked_test], minlength=2)
        if len(np.unique(y[asked])) < 2 or (counts >= LEAST_OF_AN_ANSWER).sum() < 2:
            continue
        classifier = make_pipeline(StandardScaler(), LogisticRegression(class_weight='balanced', max_iter=1000))
        classifier.fit(x[asked], y[asked])
        scores.append(score(classifier, x_test[asked_test], y_test[asked_test]))
    return tuple(float(x) for x in np.mean(scores, axis=0)) if scores else (np.nan, np.nan)


def score(classifier, x, y):
    """Mean one-against-the-rest area of the answers that are there, and balanced accuracy."""
    share = classifier.predict_proba(x)
    areas = [roc_auc_score(y == answer, share[:, i]) for i, answer in enumerate(classifier.classes_)
             if LEAST_OF_AN_ANSWER <= (y == answer).sum() <= len(y) - LEAST_OF_AN_ANSWER]
    return np.mean(areas) if areas else np.nan, balanced_accuracy_score(y, classifier.predict(x))


def elbow(latents, mse):
    """
    Number of latents after which more of them help little.

    The point farthest below the straight line from the first to the last, the
    error against the logarithm of the number, both from 0 to 1 (Satopaa et
    al. 2011).

    Parameters
    ----------
    latents, mse : (N,) arrays

    Returns
    -------
    n_latents : int or None
        None if the error does not fall from the first number to the last: the latents have collapsed, or the
        training was too short.

    References
    ----------
    Satopaa, V. et al. 2011, 31st Int. Conf. on Distributed Computing Systems Workshops, 166.
    """
    x, y = np.log(np.asarray(latents, dtype=float)), np.asarray(mse, dtype=float)
    if y[0] <= y[-1]:
        return None
    x, y = (x - x[0]) / (x[-1] - x[0]), (y - y[-1]) / (y[0] - y[-1])
    return int(latents[int(np.argmax(1.0 - x - y))])


def draw_sweep(table, path):
    """
    Draw reconstruction and morphology against the number of latents.

    Parameters
    ----------
    table : `~astropy.table.Table`
        As `sweep` gives it.
    path : str or path
        Of the picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 3.4), layout='constrained')
    axes = figure.subplots(1, 3)
    n = np.asarray(table['n_latents'])
    best = elbow(n, table['mse'])
    axes[0].plot(n, 1e3 * np.asarray(table['mse']), 'o-', color='C0')
    axes[0].set_ylabel('mean square error / 10$^{-3}$')
    axes[1].plot(n, table['ssim'], 'o-', color='C0', label='reconstruction')
    axes[1].plot(n, table['ssim_noiseless'], '--', color='0.4', label='perfect, without noise')
    axes[1].set_ylabel('structural similarity')
    axes[1].legend(frameon=False)
    axes[2].plot(n, table['auc'], 'o-', color='C1', label='area under ROC curve')
    axes[2].plot(n, table['balanced_accuracy'], 's-', color='C2', label='balanced accuracy')
    axes[2].set_ylabel('mean over the questions')
    axes[2].legend(frameon=False)
    for ax in axes:
        ax.set_xscale('log', base=2)
        ax.set_xticks(n, [str(x) for x in n])
        ax.set_xlabel('latents')
        if best is not None:
            ax.axvline(best, color='0.8', zorder=0)
    axes[0].set_title('no elbow' if best is None else f'elbow at {best}', fontsize='medium', color='0.3')
    figure.savefig(path, dpi=150)
