# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The columns that the package adds: names, descriptions, UCDs, and the model they come from."""

import re

import astropy.units as u
import numpy as np
from astropy.table import MaskedColumn

from galvae_affiliated.exceptions import ModelMismatchError
from galvae_affiliated.flags import GalvaeFlags
from galvae_affiliated.models._devices import BATCH_SIZE
from galvae_affiliated.models.encoder import Encoder, scalar_names
from galvae_affiliated.models.registry import get_model
from galvae_affiliated.models.votes import predict_votes, set_thresholds

__all__ = ['add_latents', 'add_morphology', 'get_latents']

MODEL_IN_DESCRIPTION = re.compile(r'\[model ([^\]]+)\]$')


def add_latents(table, cutouts, model=None, *, reconstruction=True, split=False, overwrite=False, device='auto',
                batch_size=BATCH_SIZE):
    """
    Encode cutouts and add their latents to a table.

    Parameters
    ----------
    table : `~astropy.table.Table` of N rows
        Not changed.
    cutouts : `~galvae_affiliated.CutoutStack` or (N, 3, grid, grid) array
        A cutout a row, in the same order.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model; None takes the default.
    reconstruction : bool, optional
        Add ``galvae_recon_chi2``.
    split : bool, optional
        A scalar column a latent, for formats without vector columns.
    overwrite : bool, optional
        Replace columns of the same names.
    device : {'auto', 'cpu', 'cuda'}, optional
    batch_size : int, optional

    Returns
    -------
    table : `~astropy.table.Table`
        A new table with the columns ``galvae_latent``, ``galvae_latent_err``,
        ``galvae_pose``, ``galvae_recon_chi2``, ``galvae_radius`` and ``galvae_flags``.

    Raises
    ------
    ValueError
        If the numbers of rows differ, or the columns exist.
    """
    if len(cutouts) != len(table):
        raise ValueError(f'there are {len(cutouts)} cutouts for {len(table)} rows')
    model = get_model(model)
    encoding = Encoder(model, device=device, batch_size=batch_size).encode(cutouts, reconstruction=reconstruction)
    return with_columns(table, encoding_columns(encoding, model, split=split), overwrite=overwrite)


def add_morphology(table, model=None, *, coverage=0.9, n_samples=0, overwrite=False, device='auto'):
    """
    Predict what volunteers would say of galaxies, from the latents of a table.

    Parameters
    ----------
    table : `~astropy.table.Table`
        With the latents of this model; not changed.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model; None takes the default.
    coverage : float or None, optional
        Share of the galaxies of which the prediction set holds the most voted
        answer, from 0.5 to 0.99; None leaves the sets out.
    n_samples : int, optional
        Latents to draw from the posterior of each galaxy, for intervals of
        the fractions; 0 leaves these out, 32 are enough.
    overwrite : bool, optional
        Replace columns of the same names.
    device : {'auto', 'cpu', 'cuda'}, optional

    Returns
    -------
    table : `~astropy.table.Table`
        A new table with these columns, masked where the latents are:

        - ``<question>_<answer>_fraction``, predicted fraction of the
          volunteers who are asked the question; they sum to one.
        - ``<question>_<answer>_fraction_lo`` and ``_hi``, an interval that
          holds 68 per cent, if there are ``n_samples``.
        - ``<question>_reach_fraction``, share of all volunteers who are asked.
        - ``<question>_answer``, the likeliest answer, and ``<question>_set``,
          the prediction set, such as '{round, in-between}', or '{}' if no
          answer is likely enough. They are masked where less than half of
          the volunteers are asked.

        If there is a column ``galvae_flags``, its bit ``ARTIFACT`` is set
        where that is the likeliest answer to the first question.

    Raises
    ------
    ModelMismatchError
        If the latents are of another model.
    ValueError
        If the columns exist, the coverage is out of range, or samples are asked for without ``galvae_latent_err``.
    """
    model = get_model(model)
    errors = get_latents(table, model, name='galvae_latent_err') if n_samples else None
    morphology = predict_votes(get_latents(table, model), model, errors=errors, n_samples=n_samples, device=device)
    columns = vote_columns(morphology, model, coverage=coverage)
    result = with_columns(table, columns, overwrite=overwrite)
    if 'galvae_flags' in result.colnames:
        result['galvae_flags'] = result['galvae_flags'] | artifact_flags(morphology, model)
    return result


def get_latents(table, model=None, *, name='galvae_latent'):
    """
    Latents of a table as an array, after checking which model they are of.

    Parameters
    ----------
    table : `~astropy.table.Table`
        With a column ``galvae_latent``, or one a latent.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model that they must be of; None takes the default.
    name : str, optional
        Of the vector column, or of its scalar columns without their numbers; 'galvae_latent_err' holds the errors.

    Returns
    -------
    latents : (N, n_latents) float32 array
        NaN in masked rows; in the machine's byte order.

    Raises
    ------
    KeyError
        If there are no latents in the table.
    ModelMismatchError
        If they are of another model, or nothing says of which.
    """
    model = get_model(model)
    names = [name] if name in table.colnames else scalar_names(name, model.n_latents)
    if any(one not in table.colnames for one in names):
        raise KeyError(f'the table has no latents: expected a column {name}, or {names[0]} to {names[-1]}')
    for one in names:
        stated = stated_model(table[one])
        if stated not in model.same_latents:
            raise ModelMismatchError(f'column {one} is of the model {stated or "(not stated)"}; expected {model.id}')
    columns = [np.ma.filled(np.ma.asarray(table[one]).astype(np.float32), np.nan) for one in names]
    latents = np.stack(columns, axis=1) if len(names) > 1 else columns[0]
    if latents.shape != (len(table), model.n_latents):
        raise ValueError(f'the latents have shape {latents.shape}; expected ({len(table)}, {model.n_latents})')
    return latents


def stated_model(column):
    """Id of the model that a column states: in its metadata, or in the description where a format kept only that."""
    stated = (column.info.meta or {}).get('galvae_model')
    match = MODEL_IN_DESCRIPTION.search(' '.join((column.info.description or '').split()))
    return stated or (match.group(1) if match else None)


def check_column_names(table, names, *, overwrite):
    """Raise if the table has one of the columns, unless they may be replaced."""
    taken = [name for name in names if name in table.colnames]
    if taken and not overwrite:
        raise ValueError(f'the table has a column {taken[0]!r} already; overwrite=True replaces it')


def with_columns(table, columns, *, overwrite):
    """A copy of the table with the columns; the data of the others are shared."""
    check_column_names(table, [column.name for column in columns], overwrite=overwrite)
    result = table.copy(copy_data=False)
    for column in columns:
        if column.name in result.colnames:
            result.remove_column(column.name)
        result.add_column(column)
    return result


def make_column(name, values, description, ucd, model, *, unit=None, mask=False):
    """
    A column that states its model; rows that are not finite are masked, and those of ``mask``.

    The description carries the model too, as no other text survives every
    format; it is short, since VOTable breaks longer ones into lines.
    """
    if np.issubdtype(values.dtype, np.floating):
        mask = ~np.isfinite(values) | mask
    elif values.dtype.kind == 'U':
        # a VOTable has no masked text: what is masked is empty there
        values = np.where(mask, '', values)
    return MaskedColumn(values, name=name, mask=mask, unit=unit, description=f'{description} [model {model.id}]',
                        meta={'ucd': ucd, 'galvae_model': model.id, 'galvae_sha256': model.sha256})


def encoding_columns(encoding, model, *, split=False):
    """
    Columns of an `~galvae_affiliated.models.encoder.Encoding`.

    Returns
    -------
    columns : list of `~astropy.table.MaskedColumn`
    """
    vectors = [('galvae_latent', encoding.latent, 'morphology latents', 'src.morph.param'),
               ('galvae_latent_err', encoding.latent_err, 'errors of the latents', 'stat.stdev;src.morph.param'),
               ('galvae_pose', encoding.pose, 'pose in the cutout', 'src.morph.param')]
    columns = []
    for name, values, description, ucd in vectors:
        if not values.shape[1]:  # a model without pose; several formats cannot hold a column without width
            continue
        if split:
            columns += [make_column(scalar, values[:, i], f'{description} {i}', ucd, model)
                        for i, scalar in enumerate(scalar_names(name, values.shape[1]))]
        else:
            columns.append(make_column(name, values, description, ucd, model))
    if encoding.recon_chi2 is not None:
        columns.append(make_column('galvae_recon_chi2', encoding.recon_chi2, 'residual of the decoder', 'stat.fit.chi2',
                              model))
    scales = encoding.pixel_scale[encoding.measured]
    unit = unit_of_radii(len(scales), np.sum(~np.isfinite(scales)))
    radius = encoding.radius * encoding.pixel_scale if unit == u.arcsec else encoding.radius
    columns.append(make_column('galvae_radius', radius, 'petroR90 of the cutout', 'phys.angSize', model, unit=unit))
    columns.append(make_column('galvae_flags', encoding.flags, 'bits of GalvaeFlags', 'meta.code', model))
    return columns


def unit_of_radii(n_measured, n_unscaled):
    """The one unit of ``galvae_radius``: arcsec, but pixels where a measured row has no known pixel scale."""
    return u.arcsec if n_measured and not n_unscaled else u.pix


def vote_columns(morphology, model, *, coverage=0.9):
    """
    Columns of the predicted votes.

    Parameters
    ----------
    morphology : `~galvae_affiliated.models.votes.PredictedVotes`
    model : `~galvae_affiliated.ModelBundle`
    coverage : float or None, optional
        See `add_morphology`.

    Returns
    -------
    columns : list of `~astropy.table.MaskedColumn`
    """
    columns, ucd = [], 'stat.probability;src.morph.type'
    for question, answers in model.questions.items():
        columns += [make_column(f'{question}_{answer}_fraction', values, 'predicted vote fraction', ucd, model)
                    for answer, values in zip(answers, morphology.fractions[question].T)]
    if morphology.deviation is not None:
        for question, answers in model.questions.items():
            low, high = morphology.intervals(question)
            for i, answer in enumerate(answers):
                name = f'{question}_{answer}_fraction'
                columns += [make_column(f'{name}_lo', low[:, i], '16 per cent are below', f'{ucd};stat.min', model),
                            make_column(f'{name}_hi', high[:, i], '16 per cent are above', f'{ucd};stat.max', model)]
    # once: each look at the manifest copies it
    thresholds = {} if coverage is None else set_thresholds(model, coverage)
    for question, answers in model.questions.items():
        reach, hidden = morphology.reach[question], ~morphology.applies(question)
        columns += [make_column(f'{question}_reach_fraction', reach, 'share who are asked', ucd, model),
                    make_column(f'{question}_answer', morphology.likeliest(question, answers), 'likeliest answer',
                           'src.morph.type', model, mask=hidden)]
        if question in thresholds:
            sets = morphology.sets(question, answers, thresholds[question])
            columns.append(make_column(f'{question}_set', sets, f'answers, {100 * coverage:g} % coverage', 'src.morph.type',
                                  model, mask=hidden))
    return columns


def artifact_flags(morphology, model):
    """(N,) int32 flags of the rows whose likeliest answer to a question that everybody is asked is 'artifact'."""
    flags = np.zeros(len(next(iter(morphology.reach.values()))), dtype=np.int32)
    for question, entry in model.manifest['questions'].items():
        if 'artifact' in entry['answers'] and entry.get('parent') is None:
            found = morphology.likeliest(question, entry['answers']) == 'artifact'
            flags[found & morphology.applies(question)] |= GalvaeFlags.ARTIFACT
    return flags
