# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Two surveys and a model, to a model for both."""

import dataclasses
import logging

import numpy as np
import torch

from galvae_affiliated import __version__
from galvae_affiliated._progress import progress_callback
from galvae_affiliated.exceptions import AdaptationError
from galvae_affiliated.models._schema import check_model_name
from galvae_affiliated.models.registry import get_model
from galvae_affiliated.training.adapt.bundle import adapted_bundle, settle_decoder
from galvae_affiliated.training.adapt.fitting import Adaptation
from galvae_affiliated.training.adapt.images import check_target, read_survey
from galvae_affiliated.training.adapt.measure import (
    as_good,
    baseline_reports,
    discrepancy_change,
    survey_report,
)
from galvae_affiliated.training.adapt.options import AdaptationOptions
from galvae_affiliated.training.adapt.pairs import pair_rows, read_pairs
from galvae_affiliated.training.adapt.setup import prepare

__all__ = ['adapt_model']

logger = logging.getLogger(__name__)
SIGNIFICANT = 0.05  # p-value of surveys that can be told apart


def adapt_model(model, source, target, *, pairs=None, name=None, version='1', description=None,
                folder=None, source_options=None, target_options=None, device='auto',
                progress=None, options=None, **changes):
    """
    Fine-tune the encoder of a model, so that two surveys share its latent space.

    No labels of the target are asked for. The source is what the model was trained on, or more
    of its kind; its latents stay where they were, and so do the heads and all that was
    calibrated on them.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`, str or path
        A model of ``galvae train``, its name, or its file.
    source, target : str, path or `~galvae_affiliated.cutouts.CutoutSource`
        Cutouts, as `~galvae_affiliated.encode_cutout_set` takes them; each at least 100
        galaxies.
    pairs : str, path, data frame or (P, 2) array of str, optional
        Identifiers of galaxies that are in both, of which three quarters are learnt from; a CSV
        file has them in its first two columns.
    name : str, optional
        Of the new model; None takes that of the old one and of the target's file.
    version, description : str, optional
        For the manifest.
    folder : str or path, optional
        For a checkpoint; a run that was killed goes on from it.
    source_options, target_options : dict, optional
        ``split_column`` and ``split``, to take some rows of a Parquet file alone, and
        ``pixel_scale``, ``already_scaled``, ``rendering``, ``bands``, ``unit`` and
        ``zero_point`` of `~galvae_affiliated.encode_cutout_set`.
    device : str, optional
        Of PyTorch; 'auto' takes CUDA where it is.
    progress : bool or callable, optional
        True shows a bar; a function is called with the steps done and those to do.
    options : `~galvae_affiliated.training.adapt.options.AdaptationOptions`, optional
    **changes
        Single options in place of these.

    Returns
    -------
    bundle : `~galvae_affiliated.ModelBundle`
        The entry ``adapted`` of its manifest says of what, how, and what it is good for.

    Raises
    ------
    AdaptationError
        If the surveys cannot be told apart as it is, or nothing that was learnt brings them
        nearer without moving the source.
    BundleError
        If the networks of the model cannot be rebuilt.
    ValueError, FileNotFoundError
        If a set, the pairs or an option is wrong: fewer than 100 galaxies, no galaxies in the
        images, the same images in both sets.
    ParityError
        If the exported graphs do not give what PyTorch gives.

    Notes
    -----
    Galaxies of a survey that has other kinds of them must not be pulled to another kind. So
    the source galaxies that a step compares with are drawn such that their predicted answers
    are distributed as the target's, and the default discrepancy compares galaxies of like
    answers alone.

    Examples
    --------
    A run takes minutes:

    >>> from galvae_affiliated.training import adapt_model
    >>> model = adapt_model('mine.galvae', 'old_survey.parquet', 'new_survey.parquet',
    ...                     pairs='both.csv', name='both')  # doctest: +SKIP
    >>> model.write('both.galvae')  # doctest: +SKIP
    """
    options = _options(options, changes)
    model = get_model(model)
    surveys, rows = _read_surveys(model, source, target, pairs, options,
                                  source_options or {}, target_options or {})
    name = name or f'{model.name}-{surveys[1].name.partition(".")[0]}'
    check_model_name(name)
    if device == 'auto':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    setup = prepare(model, *surveys, rows, options, device=device)
    before = survey_report(setup, setup.network)
    _check_difference(before)
    run = Adaptation(setup, options)
    network = run.run(folder, progress=progress_callback(progress))
    if network is None:
        raise AdaptationError(_failure(run, options))
    after = survey_report(setup, network)
    change = discrepancy_change(setup, network)
    _check_gain(before, after, change, options)
    baselines = baseline_reports(setup)
    simpler = as_good(after, baselines)
    if simpler:
        logger.warning('%s did as much without learning: see SurveyAdapter', ' and '.join(simpler))
    if options.settling_steps:
        settle_decoder(setup, network, options)
    about = {**_about(setup, run, options), 'before': before, 'after': after,
             'change of discrepancy': change, 'baselines': baselines, 'as good': simpler}
    if description is None:
        description = f'{model.name}, adapted to {surveys[1].name}'
    return adapted_bundle(setup, network, about, name=name, version=version,
                          description=description, with_decoder=bool(options.settling_steps))


def _options(options, changes):
    options = AdaptationOptions() if options is None else options
    known = [field.name for field in dataclasses.fields(options)]
    for name in changes:
        if name not in known:
            raise TypeError(f'there is no option {name!r}; there are {", ".join(known)}')
    return dataclasses.replace(options, **changes)


def _read_surveys(model, source, target, pairs, options, source_options, target_options):
    """Images of both surveys, and the (P, 2) rows of the pairs."""
    identifiers = None if pairs is None else read_pairs(pairs)
    if 'pairs' in options.losses and identifiers is None:
        raise ValueError("the loss 'pairs' asks for pairs, and there are none")
    keep = () if identifiers is None else identifiers.ravel()
    surveys = [read_survey(cutouts, model, max_galaxies=options.max_galaxies, keep=keep,
                           random_state=options.random_state, **own)
               for cutouts, own in ((source, source_options), (target, target_options))]
    check_target(surveys[1], surveys[0])
    rows = np.empty((0, 2), dtype=int)
    if identifiers is not None:
        rows = pair_rows(identifiers, surveys[0].ids, surveys[1].ids)
    return surveys, rows


def _check_difference(before):
    """Refuse surveys that the model gives like latents already."""
    found = before['mmd']
    if found['p_value'] > SIGNIFICANT:
        raise AdaptationError(
            f'the surveys cannot be told apart by their latents: {before["galaxies"]} held-out '
            f'galaxies of like kind have a discrepancy of {found["value"]:.2g} '
            f'(p = {found["p_value"]:.2g}); there is nothing to adapt')


def _failure(run, options):
    """Why no weights were kept."""
    first, last = run.history[0], run.history[-1]
    if all(entry['source_loss'] > options.max_source_loss for entry in run.history[1:]):
        return (f'every step moved the source too far: its votes are worse by '
                f'{last["source_loss"]:.2g} nats a question, and max_source_loss is '
                f'{options.max_source_loss:g}; take a smaller tolerance or learning rate')
    return (f'nothing that was learnt brings the surveys nearer: the discrepancy of held-out '
            f'galaxies was {first["mmd"]:.3g} and is {last["mmd"]:.3g}')


def _check_gain(before, after, change, options):
    """Refuse a model that is no better than the old one for the target, or worse for the source."""
    found, now = before['mmd'], after['mmd']
    if not change['high'] < 0.0:
        raise AdaptationError(
            f'the adapted model is not better beyond chance: the discrepancy of '
            f'{after["galaxies"]} held-out galaxies of like kind was {found["value"]:.3g} and is '
            f'{now["value"]:.3g}, a change from {change["low"]:.2g} to {change["high"]:.2g}')
    loss = after['source_loss']['value']
    if loss > options.max_source_loss:
        raise AdaptationError(f'the adapted model is worse for the source, by {loss:.2g} nats a '
                              f'question; max_source_loss is {options.max_source_loss:g}')
    pairs = after.get('pairs')
    if pairs and pairs['distance']['low'] > before['pairs']['distance']['value']:
        raise AdaptationError(
            f'the adapted model takes {pairs["number"]} held-out pairs apart: their distance was '
            f'{before["pairs"]["distance"]["value"]:.3g} of a usual one and is '
            f'{pairs["distance"]["value"]:.3g}')


def _about(setup, run, options):
    """What a reader of the manifest has to know of the run."""
    surveys = {}
    for word, survey, held, look in (
            ('source', setup.source, setup.held_source, setup.source_look),
            ('target', setup.target, setup.held_target, setup.target_look)):
        surveys[word] = {'set': survey.name, 'galaxies': len(survey), 'held out': int(held.sum()),
                         'left out': survey.n_left_out, 'look': look.entries()}
    kept = run.kept
    return {
        **surveys,
        'galaxies sha256': setup.fingerprint,
        'pairs': {'learnt from': int((~setup.held_pairs).sum()),
                  'held out': int(setup.held_pairs.sum())},
        'source galaxies of equal weight': round(setup.effective_size, 1),
        'views of the source imitate': list(setup.to_target),
        'views of the target imitate': list(setup.to_source),
        'options': options.entries(),
        'steps': kept['step'],
        'strength': kept['strength'],
        'history': [{key: entry[key] for key in ('step', 'mmd', 'source_loss')}
                    for entry in run.history],
        'versions': {'galvae_affiliated': __version__, 'torch': torch.__version__},
    }
