# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The columns that the package adds: names, descriptions, UCDs, and the model they come from."""

import re

import astropy.units as u
import numpy as np
from astropy.table import MaskedColumn

from galvae_affiliated.exceptions import ModelMismatchError
from galvae_affiliated.registry import get_model
from galvae_affiliated.transformer import Encoding, LatentTransformer, scalar_names

__all__ = ['add_latents', 'add_morphology', 'get_latents']

HEADS_BATCH = 65536  # the heads are small: one call for nearly every table
MODEL_IN_DESCRIPTION = re.compile(r'\[model ([^\]]+)\]$')


def add_latents(table, cutouts, bundle=None, *, reconstruction=True, split=False, overwrite=False, device='auto',
                batch_size=64):
    """
    Encode cutouts and add their latents to a table.

    Parameters
    ----------
    table : `~astropy.table.Table` of N rows
        Not changed.
    cutouts : `~galvae_affiliated.CutoutStack` or (N, 3, grid, grid) array
        A cutout a row, in the same order.
    bundle : `~galvae_affiliated.ModelBundle`, str or path, optional
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
    bundle = get_model(bundle)
    transformer = LatentTransformer(bundle, device=device, batch_size=batch_size)
    encoding = transformer.encode(cutouts, reconstruction=reconstruction)
    return with_columns(table, encoding_columns(encoding, bundle, split=split), overwrite=overwrite)


def add_morphology(table, bundle=None, *, overwrite=False, device='auto'):
    """
    Predict vote fractions from the latents of a table.

    Parameters
    ----------
    table : `~astropy.table.Table`
        With the latents of this model; not changed.
    bundle : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model; None takes the default.
    overwrite : bool, optional
        Replace columns of the same names.
    device : {'auto', 'cpu', 'cuda'}, optional

    Returns
    -------
    table : `~astropy.table.Table`
        A new table with a column ``<question>_<answer>_fraction`` an answer,
        masked where the latents are. The fractions of a question sum to one;
        they are those among the volunteers who are asked it.

    Raises
    ------
    ModelMismatchError
        If the latents are of another model.
    """
    bundle = get_model(bundle)
    return with_columns(table, fraction_columns(get_latents(table, bundle), bundle, device=device), overwrite=overwrite)


def get_latents(table, bundle=None):
    """
    Latents of a table as an array, after checking which model they are of.

    Parameters
    ----------
    table : `~astropy.table.Table`
        With a column ``galvae_latent``, or one a latent.
    bundle : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model that they must be of; None takes the default.

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
    bundle = get_model(bundle)
    names = ['galvae_latent'] if 'galvae_latent' in table.colnames else scalar_names('galvae_latent', bundle.n_latents)
    missing = [name for name in names if name not in table.colnames]
    if missing:
        raise KeyError(f'the table has no latents: expected a column galvae_latent, or {names[0]} to {names[-1]}')
    for name in names:
        stated = model_of(table[name])
        if stated != bundle.id:
            raise ModelMismatchError(f'column {name} is of the model {stated or "(not stated)"}; expected {bundle.id}')
    columns = [np.ma.filled(np.ma.asarray(table[name]).astype(np.float32), np.nan) for name in names]
    latents = np.stack(columns, axis=1) if len(names) > 1 else columns[0]
    if latents.shape != (len(table), bundle.n_latents):
        raise ValueError(f'the latents have shape {latents.shape}; expected ({len(table)}, {bundle.n_latents})')
    return latents


def model_of(column):
    """Id of the model that a column states: in its metadata, or in the description where a format kept only that."""
    stated = (column.info.meta or {}).get('galvae_model')
    match = MODEL_IN_DESCRIPTION.search(' '.join((column.info.description or '').split()))
    return stated or (match.group(1) if match else None)


def planned_names(bundle, *, split, reconstruction, morphology):
    """Names of the columns that a call will add, so that they can be refused before the work."""
    latent, pose, none = np.zeros((0, bundle.n_latents)), np.zeros((0, bundle.n_pose)), np.zeros(0)
    encoding = Encoding(latent, latent, pose, none if reconstruction else None, none, none, none)
    return [c.name for c in result_columns(encoding, bundle, split=split, morphology=morphology)]


def result_columns(encoding, bundle, *, split, morphology, device='auto'):
    """All columns of an `~galvae_affiliated.transformer.Encoding`, with the vote fractions if ``morphology``."""
    columns = encoding_columns(encoding, bundle, split=split)
    return columns + (fraction_columns(encoding.latent, bundle, device=device) if morphology else [])


def refuse_taken(table, names, *, overwrite):
    """Raise if the table has one of the columns, unless they may be replaced."""
    taken = [name for name in names if name in table.colnames]
    if taken and not overwrite:
        raise ValueError(f'the table has a column {taken[0]!r} already; overwrite=True replaces it')


def with_columns(table, columns, *, overwrite):
    """A copy of the table with the columns; the data of the others are shared."""
    refuse_taken(table, [column.name for column in columns], overwrite=overwrite)
    result = table.copy(copy_data=False)
    for column in columns:
        if column.name in result.colnames:
            result.remove_column(column.name)
        result.add_column(column)
    return result


def column(name, values, description, ucd, bundle, *, unit=None):
    """
    A column that states its model; rows that are not finite are masked.

    The description carries the model too, as no other text survives every
    format; it is short, since VOTable breaks longer ones into lines.
    """
    mask = ~np.isfinite(values) if np.issubdtype(values.dtype, np.floating) else False
    return MaskedColumn(values, name=name, mask=mask, unit=unit, description=f'{description} [model {bundle.id}]',
                        meta={'ucd': ucd, 'galvae_model': bundle.id, 'galvae_sha256': bundle.sha256})


def encoding_columns(encoding, bundle, *, split=False):
    """
    Columns of an `~galvae_affiliated.transformer.Encoding`.

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
            columns += [column(scalar, values[:, i], f'{description} {i}', ucd, bundle)
                        for i, scalar in enumerate(scalar_names(name, values.shape[1]))]
        else:
            columns.append(column(name, values, description, ucd, bundle))
    if encoding.recon_chi2 is not None:
        columns.append(column('galvae_recon_chi2', encoding.recon_chi2, 'residual of the decoder', 'stat.fit.chi2',
                              bundle))
    # one unit a column: arcsec unless that of a row is not known
    arcsec = encoding.measured.any() and np.isfinite(encoding.pixel_scale[encoding.measured]).all()
    radius = encoding.radius * encoding.pixel_scale if arcsec else encoding.radius
    columns.append(column('galvae_radius', radius, 'petroR90 of the cutout', 'phys.angSize', bundle,
                          unit=u.arcsec if arcsec else u.pix))
    columns.append(column('galvae_flags', encoding.flags, 'bits of GalvaeFlags', 'meta.code', bundle))
    return columns


def fraction_columns(latents, bundle, *, device='auto'):
    """
    Columns of the vote fractions that the heads predict.

    Parameters
    ----------
    latents : (N, n_latents) array
        NaN in rows that have none.

    Returns
    -------
    columns : list of `~astropy.table.MaskedColumn`
    """
    answers = [(q, a) for q, names in bundle.questions.items() for a in names]
    if not answers:
        return []
    fractions = np.full((len(latents), len(answers)), np.nan, dtype=np.float32)
    rows = np.isfinite(latents).all(axis=1)
    if rows.any():
        heads = bundle.runner('heads', device=device, batch_size=HEADS_BATCH)
        fractions[rows], = heads({'latent': latents[rows]}, ['fractions'])
    return [column(f'{q}_{a}_fraction', fractions[:, i], 'predicted vote fraction', 'stat.probability;src.morph.type',
                   bundle) for i, (q, a) in enumerate(answers)]
