# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Parts that a trained model gets from its training galaxies: density and applicability."""

import logging

import numpy as np

from galvae_affiliated._batches import row_slices
from galvae_affiliated.cutouts.sets import open_cutout_set
from galvae_affiliated.models._archive import write_arrays
from galvae_affiliated.models.applicability import APPLICABILITY
from galvae_affiliated.models.density import DENSITY
from galvae_affiliated.models.encoder import Encoder, Encoding
from galvae_affiliated.models.image_statistics import STATISTICS
from galvae_affiliated.models.manifest import Manifest
from galvae_affiliated.models.self_test import SELF_TEST, self_test
from galvae_affiliated.models.votes import predict_votes
from galvae_affiliated.training.applicability import (
    CALIBRATED,
    REASON_BELOW,
    fit_applicability,
)
from galvae_affiliated.training.density import fit_density
from galvae_affiliated.training.export.int8 import with_int8
from galvae_affiliated.training.other_looks import in_grey, known_looks, other_look

__all__ = ['encode_looks', 'fit_parts', 'with_applicability', 'with_density']

logger = logging.getLogger(__name__)
CHUNK = 512  # cutouts in memory
MAX_OF_LOOK = 4000  # galaxies that are encoded as images of another kind
SELF_TEST_ROWS = 4
QUANTISED = 512  # images


def encode_looks(model, source, engine, *, rows=None, looks=('own', 'grey'), random_state=0):
    """
    Encode training galaxies as they are, in grey, and as other surveys would show them.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`
    source : `~galvae_affiliated.cutouts.CutoutSource`
        Of N galaxies.
    engine : `~galvae_affiliated.Engine`
    rows : (N,) bool array, optional
        Those to encode; None takes all.
    looks : sequence of str, optional
        'own' takes the cutouts as they are, 'grey' the middle channel of each; for the others see
        `~galvae_affiliated.training.other_looks.other_look`.
    random_state : int, optional

    Returns
    -------
    encodings : dict of str to `~galvae_affiliated.models.Encoding`
        Of the chosen rows, with statistics.
    """
    rows = np.ones(len(source), dtype=bool) if rows is None else np.asarray(rows)
    encoder, parts = Encoder(model, engine), {look: [] for look in looks}
    rng = np.random.default_rng(random_state)
    slices = [some for some in row_slices(len(source), CHUNK) if rows[some].any()]
    for some, stack in zip(slices, source.stacks(slices)):
        stack = stack[np.flatnonzero(rows[some])]
        views = _views(stack, [look for look in looks if look not in ('own', 'grey')], encoder,
                       rng)
        views |= {'own': stack, 'grey': in_grey(stack, model.frame) if 'grey' in looks else None}
        for look, its in parts.items():
            its.append(encoder.encode(views[look], statistics=True))
    return {look: Encoding.concatenate(its) for look, its in parts.items()}


def _views(stack, looks, encoder, rng):
    """The cutouts as other surveys would show them, by look; what is no composite is lost."""
    if not looks:
        return {}
    encoding = encoder.encode(stack, reconstruction=False)
    known = encoding.measured & (encoding.image_kind == 'composite_color')
    if not known.all():
        raise ValueError(f'{(~known).sum()} of {len(stack)} cutouts are no composites in color '
                         'that can be shown in another way')
    decoded = encoder.decode(encoding.latent, encoding.pose)
    return {look: other_look(look, stack.data, decoded, encoder.model.frame, rng)
            for look in looks}


def with_density(model, latent, pose, engine, *, quantities=None, **options):
    """
    A model with the density of the latents of its training galaxies.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`
    latent, pose : (N, n_latents), (N, n_pose) arrays
        Rows that are not finite are left out.
    engine : `~galvae_affiliated.Engine`
        For the heads, whose fractions the density goes with.
    quantities : mapping of str to (N,) array, optional
        To condition on; NaN where not known.
    **options
        ``n_components`` and ``random_state`` of
        `~galvae_affiliated.training.density.fit_density`.

    Returns
    -------
    model : `~galvae_affiliated.ModelBundle`
    """
    rows = np.isfinite(latent).all(axis=1)
    latent, pose = np.asarray(latent)[rows], np.asarray(pose)[rows]
    quantities = {name: np.asarray(values)[rows] for name, values in (quantities or {}).items()}
    fractions, patterns = {}, None
    # one answer has no fraction to condition on
    questions = {q: answers for q, answers in model.questions.items() if len(answers) > 1}
    if questions:
        votes = predict_votes(latent, model, engine)
        fractions = {q: dict(zip(answers, votes.fractions[q].T))
                     for q, answers in questions.items()}
        patterns = np.column_stack([
            np.where(votes.applies(q), votes.fractions[q].argmax(axis=1), -1)
            for q in questions])
    density, held_out = fit_density(latent, pose, fractions, quantities, patterns=patterns,
                                    **options)
    entries = {'n_galaxies': len(latent), 'questions': questions,
               'quantities': list(quantities),
               'components': len(density.mixture.weights),
               'held out': {str(n): value for n, value in held_out.items()}}
    return _with_part(model, 'density', density, entries, {'latent': latent[:SELF_TEST_ROWS]})


def with_applicability(model, encodings, calibrated=None, **options):
    """
    A model that says how like its training images others are.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`
    encodings : sequence of `~galvae_affiliated.models.Encoding`
        See `encode_looks`.
    calibrated : sequence of (N,) bool array, optional
        A row of each encoding is one to calibrate on.
    **options
        See `~galvae_affiliated.training.applicability.fit_applicability`.

    Returns
    -------
    model : `~galvae_affiliated.ModelBundle`
    """
    test, about = fit_applicability(encodings, calibrated=calibrated, **options)
    entries = {'statistics': list(STATISTICS), 'flag_below': test.flag_below,
               'reason_below': options.get('reason_below', REASON_BELOW), 'fitted to': about}
    size = len(next(iter(test.kinds.values())).whitening.mean)
    # no galaxy: the vectors of the tests say nothing of the training set
    whitened = np.random.default_rng(0).standard_normal((SELF_TEST_ROWS, size))
    return _with_part(model, 'applicability', test, entries, {'whitened': whitened})


def _with_part(model, name, part, entries, inputs):
    """The model with a part in arrays, tested as it is read."""
    file = {'density': DENSITY, 'applicability': APPLICABILITY}[name]
    manifest = {**model.manifest.raw, name: entries}
    # encoder and heads are the same
    same = [model.id, *model.manifest.same_as]
    manifest['latents'] = {**manifest['latents'], 'same_as': same}
    content = write_arrays(part.arrays())
    # as single precision makes it
    table = getattr(Manifest.parse(manifest), name)
    sizes = (model.n_latents, model.n_pose) if name == 'density' else (model.n_latents,)
    stored = type(part).read(content, table, *sizes)
    tested = self_test({name: stored}, {name: inputs}, model.parts[SELF_TEST])
    return model.replaced(manifest, {file: content, SELF_TEST: tested})


def fit_parts(model, path, engine, *, parts=('density', 'applicability'), bands=None,
              already_scaled=False, split_column=None, split='train', held_out_column=None,
              n_components=None, grey=True, other_looks=True, also=(), random_state=0, name=None):
    """
    Encode the training galaxies of a model, and fit its parts on them.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`
    path : str or path
        A Parquet file of cutouts, or a folder of FITS cutouts.
    engine : `~galvae_affiliated.Engine`
    parts : sequence of str, optional
        'density', 'applicability', and 'int8', see
        `~galvae_affiliated.training.export.int8.with_int8`.
    bands, already_scaled : optional
        See `~galvae_affiliated.cutouts.open_cutout_set`.
    split_column, split : str, optional
        Take the rows whose column says so alone.
    held_out_column : str, optional
        Bool column: galaxies that the model did not learn from, which calibrate the p-values.
    n_components : sequence of int, optional
        Of the density, to choose from; None takes 16, 32 and 64.
    grey : bool, optional
        Learn what images of one band are like, too.
    other_looks : bool, optional
        Learn what images of flux are like, and pictures of other surveys that the model renders
        anew, which the galaxies of the set are made to look like.
    also : sequence of (str or path, dict), optional
        Other sets whose galaxies are known to the model, such as those of surveys that it was
        adapted to, for the applicability; with options of
        `~galvae_affiliated.cutouts.open_cutout_set`, ``split_column`` and ``split``.
    random_state : int, optional
    name : str, optional
        Of the new model; None keeps the old one.

    Returns
    -------
    model : `~galvae_affiliated.ModelBundle`
    """
    source, rows = _open_rows(path, model, split_column, split, bands=bands,
                              already_scaled=already_scaled)
    others = [_open_rows(other, model, **options) for other, options in also]
    calibrated = None
    if held_out_column is not None:
        calibrated = _set_column(path, held_out_column).astype(bool)[rows]

    if {'density', 'applicability'} & set(parts):
        color = encode_looks(model, source, engine, rows=rows, looks=['own'])['own']
    if name is not None:
        model = model.replaced({**model.manifest.raw, 'name': name})
    if 'density' in parts:
        its = {} if n_components is None else {'n_components': n_components}
        model = with_density(model, color.latent, color.pose, engine, random_state=random_state,
                             **its)
    if 'applicability' in parts:
        looks = ['grey'] * grey
        some, is_composite = _some_in_color(rows, color)
        if other_looks and is_composite:
            looks += known_looks(model.frame, grey=grey)
        encodings = [color]
        if looks and some.any():
            encodings += encode_looks(model, source, engine, rows=some, looks=looks,
                                      random_state=random_state).values()
        marks = None
        if calibrated is not None:
            marks = [calibrated] + [calibrated[some[rows]]] * (len(encodings) - 1)
        model = with_applicability(model, *_with_others(model, engine, encodings, marks, others),
                                   random_state=random_state)
    if 'int8' in parts:
        model = with_int8(model, _some_composites(source, rows))
    return model


def _open_rows(path, model, split_column=None, split='train', **options):
    """A set of cutouts, and which of its rows to take."""
    source = open_cutout_set(path, model.frame, **options)
    if split_column is None:
        return source, np.ones(len(source), dtype=bool)
    rows = _set_column(path, split_column).astype(str) == split
    if not rows.any():
        raise ValueError(f'no row of {path} has {split_column} {split!r}')
    return source, rows


def _with_others(model, engine, encodings, marks, others):
    """Encodings and marks, with those of other sets, as far as these are images of the kinds."""
    kinds = np.unique(np.concatenate([encoding.image_kind for encoding in encodings]))
    rng = np.random.default_rng(0)
    for source, rows in others:
        own = encode_looks(model, source, engine, rows=rows, looks=['own'])['own']
        # fewer than some hundred of a kind of their own say too little
        own.image_kind[~np.isin(own.image_kind, kinds)] = ''
        encodings = [*encodings, own]
        marks = None if marks is None else [*marks, rng.random(len(own)) < CALIBRATED]
    return encodings, marks


def _some_in_color(rows, encoding):
    """Rows of a set that are encoded as images of other kinds, and whether they are composites."""
    in_color = encoding.measured & np.char.endswith(encoding.image_kind, '_color')
    # some of a set of composites may be taken for those of another survey
    is_composite = encoding.measured & (encoding.image_kind == 'composite_color')
    has_composites = is_composite.sum() > 0.5 * in_color.sum()
    known = np.flatnonzero(rows)[is_composite if has_composites else in_color]
    some = np.zeros(len(rows), dtype=bool)
    some[known[:: max(-(-len(known) // MAX_OF_LOOK), 1)]] = True
    return some, bool(has_composites)


def _some_composites(source, rows):
    """Images of the rows, spread over the set, by whose ranges an encoder is quantised."""
    chosen = np.flatnonzero(rows)
    chosen = chosen[:: max(len(chosen) // QUANTISED, 1)]
    images = []
    for some, stack in zip(slices := row_slices(len(source), CHUNK), source.stacks(slices)):
        inside = chosen[(chosen >= some.start) & (chosen < some.stop)] - some.start
        stack = stack[inside]
        is_composite = stack.measured & (stack.rendering == 'composite')
        images.append(stack.data[is_composite])
    images = np.concatenate(images)
    if not len(images):
        raise ValueError('an encoder in eight bits is fitted to composites, and the set has none')
    return np.nan_to_num(images)


def _set_column(path, name):
    """(N,) array of a column of a Parquet file."""
    import pyarrow.parquet as pq

    if name not in pq.read_schema(path).names:
        raise KeyError(f'{path} has no column {name!r}')
    return pq.read_table(path, columns=[name])[name].to_numpy(zero_copy_only=False)
