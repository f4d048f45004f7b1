# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The columns that the package adds to tables, and the model that each states."""

import re

import astropy.units as u
import numpy as np
from astropy.table import MaskedColumn

from galvae_affiliated.exceptions import ModelMismatchError
from galvae_affiliated.models.encoder import Encoder, scalar_names
from galvae_affiliated.models.engine import Engine
from galvae_affiliated.models.quantities import predict_quantities
from galvae_affiliated.models.registry import get_model
from galvae_affiliated.models.votes import predict_votes, set_thresholds
from galvae_affiliated.sources.positions import as_table, numeric_column

__all__ = ['add_latents', 'add_morphology', 'add_quantities', 'get_latents', 'in_set']

MODEL_IN_DESCRIPTION = re.compile(r'\[model ([^\]]+)\]$')


def add_latents(table, cutouts, model=None, *, reconstruction=True, scalar_columns=False,
                overwrite=False, engine=None, **options):
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
    scalar_columns : bool, optional
        A scalar column a latent, for formats without vector columns.
    overwrite : bool, optional
        Replace columns of the same names.
    engine : `~galvae_affiliated.Engine`, optional
        Where and how to compute.
    **options
        Those of `~galvae_affiliated.Engine`, in place of one.

    Returns
    -------
    table : `~astropy.table.Table`
        A new table with the columns ``galvae_latent``, ``galvae_latent_err``,
        ``galvae_pose``, ``galvae_recon_chi2``, ``galvae_radius`` and ``galvae_flags``.

    Raises
    ------
    ValueError
        If the numbers of rows differ, or the columns exist.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galvae_affiliated import add_latents, get_model
    >>> images = get_model().generate(2, random_state=0).images
    >>> table = add_latents(Table({'id': [1, 2]}), images)
    >>> table['galvae_latent'].shape
    (2, 40)
    """
    if len(cutouts) != len(table):
        raise ValueError(f'there are {len(cutouts)} cutouts for {len(table)} rows')
    encoder = Encoder(model, engine, **options)
    encoding = encoder.encode(cutouts, reconstruction=reconstruction)
    columns = encoding.columns(scalar_columns=scalar_columns)
    columns = make_columns(columns, encoder.model, encoder.engine.precision)
    return with_columns(table.copy(), columns, overwrite=overwrite)


def add_morphology(table, model=None, *, coverage=0.9, n_samples=0, overwrite=False,
                   engine=None, **options):
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
    engine : `~galvae_affiliated.Engine`, optional
        Where and how to compute.
    **options
        Those of `~galvae_affiliated.Engine`, in place of one.

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
          the volunteers are asked. `in_set` looks for an answer in it.

        If there is a column ``galvae_flags``, its bit ``ARTIFACT`` is set
        where that is the likeliest answer to the first question.

    Raises
    ------
    ModelMismatchError
        If the latents are of another model.
    ValueError
        If the columns exist, the coverage is out of range, or samples are asked for without
        ``galvae_latent_err``.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galvae_affiliated import add_latents, add_morphology, get_model
    >>> images = get_model().generate(2, random_state=0).images
    >>> table = add_morphology(add_latents(Table({'id': [1, 2]}), images))
    >>> [name for name in table.colnames if name.startswith('bar_')]
    ['bar_yes_fraction', 'bar_no_fraction', 'bar_reach_fraction', 'bar_answer', 'bar_set']
    """
    engine = engine or Engine(**options)
    # before the default is taken: only a model that is named is the user's word
    latents = get_latents(table, model)
    errors = get_latents(table, model, name='galvae_latent_err') if n_samples else None
    model = get_model(model)
    thresholds = set_thresholds(model, coverage)
    votes = predict_votes(latents, model, engine, errors=errors, n_samples=n_samples)
    columns = make_columns(votes.columns(thresholds, coverage), model)
    result = with_columns(table.copy(), columns, overwrite=overwrite)
    if 'galvae_flags' in result.colnames:
        result['galvae_flags'] = result['galvae_flags'] | votes.artifact_flags()
    return result


def add_quantities(table, model=None, *, overwrite=False, engine=None, **options):
    """
    Predict the quantities that a model was taught, from the latents of a table.

    Parameters
    ----------
    table : `~astropy.table.Table` of N rows
        With latents of this model, or of the one that the quantities were added
        to, and ``galvae_radius`` if the quantities need it. Not changed.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model; None takes the default.
    overwrite : bool, optional
        Replace columns of the same names.
    engine : `~galvae_affiliated.Engine`, optional
        Where and how to compute.
    **options
        Those of `~galvae_affiliated.Engine`, in place of one.

    Returns
    -------
    table : `~astropy.table.Table`
        A new table with columns ``galvae_<name>`` and ``galvae_<name>_err``.

    Raises
    ------
    ValueError
        If the model predicts no quantities, the radii have another kind of unit than the
        model needs, or the columns exist.
    KeyError
        If there are no latents, or no radii where they are needed.
    ModelMismatchError
        If the latents are of another model.

    Examples
    --------
    The packaged model was taught no quantities; ``galvae fit-heads`` teaches them:

    >>> from galvae_affiliated import add_quantities
    >>> table = add_quantities(table, 'with_mass.galvae')  # doctest: +SKIP
    >>> table['galvae_logmass', 'galvae_logmass_err']  # doctest: +SKIP
    """
    named, model = model, get_model(model)
    if model.manifest.quantities is None:
        raise ValueError(f'the model {model.id} predicts no quantities; '
                         'galvae fit-heads --quantity adds them')
    quantities = predict_quantities(get_latents(table, named), _radius_for(table, model), model,
                                    engine or Engine(**options))
    columns = make_columns(quantities.columns(), model)
    return with_columns(table.copy(), columns, overwrite=overwrite)


def _radius_for(table, model):
    """(N,) radii in the unit that the quantities need, NaN where masked; None if they need none."""
    needed = model.manifest.quantities.radius
    if needed is None:
        return None
    if 'galvae_radius' not in table.colnames:
        raise KeyError(f'the quantities of {model.id} need the column galvae_radius; '
                       'the table has none')
    if table['galvae_radius'].unit is None:
        raise ValueError(f"column 'galvae_radius' states no unit; expected '{needed}'")
    return numeric_column(table['galvae_radius'], 'galvae_radius', u.Unit(needed))


def get_latents(table, model=None, *, name='galvae_latent'):
    """
    Latents of a table as an array, after checking which model they are of.

    Parameters
    ----------
    table : `~astropy.table.Table` or ``pandas.DataFrame``
        With a column ``galvae_latent``, or one a latent.
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model that they must be of; None takes the default. Latents that state no model,
        as those of CSV files and data frames, are taken to be of a model that is named here.
    name : str, optional
        Of the vector column, or of its scalar columns without their numbers;
        'galvae_latent_err' holds the errors.

    Returns
    -------
    latents : (N, n_latents) float32 array
        NaN in masked rows; in the machine's byte order.

    Raises
    ------
    KeyError
        If there are no latents in the table.
    ModelMismatchError
        If they are of another model, or nothing says of which, this call included.
    ValueError
        If they are more or fewer a row than the model has.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galvae_affiliated import add_latents, get_latents, get_model
    >>> images = get_model().generate(2, random_state=0).images
    >>> latents = get_latents(add_latents(Table({'id': [1, 2]}), images))
    >>> latents.shape, latents.dtype
    ((2, 40), dtype('float32'))
    """
    is_named, model = model is not None, get_model(model)
    if not hasattr(table, 'colnames'):
        table = as_table(table)
    names = [name] if name in table.colnames else scalar_names(name, model.n_latents)
    if any(one not in table.colnames for one in names):
        raise KeyError(f'the table has no latents: expected a column {name}, '
                       f'or {names[0]} to {names[-1]}')
    for one in names:
        stated = stated_model(table[one])
        if stated is None and is_named:
            continue
        if stated not in model.same_latents:
            hint = '' if stated else f'; model={model.id.partition("@")[0]!r} states it'
            raise ModelMismatchError(f'column {one} is of the model {stated or "(not stated)"}; '
                                     f'expected {model.id}{hint}')
    columns = [np.ma.filled(np.ma.asarray(table[one]).astype(np.float32), np.nan)
               for one in names]
    latents = np.stack(columns, axis=1) if len(names) > 1 else columns[0]
    if latents.shape != (len(table), model.n_latents):
        raise ValueError(f'the latents have shape {latents.shape}; '
                         f'expected ({len(table)}, {model.n_latents})')
    return latents


def in_set(table, question, answer):
    """
    Whether an answer is in the prediction set of each galaxy.

    Parameters
    ----------
    table : `~astropy.table.Table` of N rows
        With a column ``<question>_set``.
    question, answer : str
        Such as 'bar' and 'yes'.

    Returns
    -------
    is_in : (N,) bool array
        False where the set is masked.

    Raises
    ------
    KeyError
        If the table has no such sets.
    ValueError
        If the table has no column of the fraction of this answer either.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galvae_affiliated import in_set
    >>> table = Table({'bar_set': ['{yes}', '{no, yes}', '{}'], 'bar_yes_fraction': [0.9, 0.4, 0]})
    >>> in_set(table, 'bar', 'yes')
    array([ True,  True, False])
    """
    name = f'{question}_set'
    if name not in table.colnames:
        sets = ', '.join(column for column in table.colnames if column.endswith('_set'))
        raise KeyError(f'the table has no column {name}; it has {sets or "no prediction sets"}')
    if f'{question}_{answer}_fraction' not in table.colnames:
        raise ValueError(f'question {question!r} has no answer {answer!r} in this table')
    texts, place = np.unique(np.ma.filled(np.ma.asarray(table[name]).astype(str), ''),
                             return_inverse=True)
    holds = [answer in text.strip('{}').split(', ') for text in texts.tolist()]
    return np.array(holds, dtype=bool)[place.ravel()]


def stated_model(column):
    """Id of the model that a column states, in its metadata or in its description."""
    stated = (column.info.meta or {}).get('galvae_model')
    description = ' '.join((column.info.description or '').split())
    match = MODEL_IN_DESCRIPTION.search(description)
    return stated or (match.group(1) if match else None)


def check_column_names(table, names, *, overwrite):
    """Raise if the table has one of the columns, unless they may be replaced."""
    taken = [name for name in names if name in table.colnames]
    if taken and not overwrite:
        raise ValueError(f'the table has a column {taken[0]!r} already; '
                         'overwrite=True replaces it')


def with_columns(table, columns, *, overwrite):
    """A copy of the table with the columns; the data of the others are shared."""
    check_column_names(table, [column.name for column in columns], overwrite=overwrite)
    result = table.copy(copy_data=False)
    for column in columns:
        if column.name in result.colnames:
            result.remove_column(column.name)
        result.add_column(column)
    return result


def make_columns(columns, model, precision='float32'):
    """
    Columns of a table, which state their model.

    The description carries the model too, as no other text survives every format.

    Parameters
    ----------
    columns : iterable of `~galvae_affiliated.models._column.Column`
    model : `~galvae_affiliated.ModelBundle`
    precision : str, optional
        In which the encoder computed, see `~galvae_affiliated.ModelBundle.id_in`.

    Returns
    -------
    columns : list of `~astropy.table.MaskedColumn`
        Rows that are not finite are masked, and those of their masks.
    """
    result, stated = [], model.id_in(precision)
    for column in columns:
        values, mask = column.values, column.mask
        if np.issubdtype(values.dtype, np.floating):
            mask = ~np.isfinite(values) | mask
        elif values.dtype.kind == 'U':
            # a VOTable has no masked text: what is masked is empty there
            values = np.where(mask, '', values)
        result.append(MaskedColumn(
            values, name=column.name, mask=mask, unit=column.unit,
            description=f'{column.description} [model {stated}]',
            meta={'ucd': column.ucd, 'galvae_model': stated, 'galvae_sha256': model.sha256,
                  **column.meta}))
    return result
