# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""New heads for a trained encoder, from anybody's labels."""

import logging
import tomllib
from pathlib import Path

import astropy.units as u
import numpy as np
import pandas as pd
import torch

from galvae_affiliated.models.registry import get_model
from galvae_affiliated.models.self_test import SELF_TEST, self_test
from galvae_affiliated.tables.columns import get_latents
from galvae_affiliated.training.data.dataset import validation_rows
from galvae_affiliated.training.data.labels import (
    LEAST_GALAXIES,
    label_column,
    question_tree,
    read_votes,
    rows_with_votes,
    true_rows,
)
from galvae_affiliated.training.export.graphs import SELF_TEST_ROWS, random_latents
from galvae_affiliated.training.heads.choice import head_estimator
from galvae_affiliated.training.heads.labelled import LabelledLatents
from galvae_affiliated.training.heads.quantities import fit_quantities, with_quantities
from galvae_affiliated.training.heads.votes import fit_votes

__all__ = ['fit_new_heads', 'fit_new_quantities', 'read_questions']

logger = logging.getLogger(__name__)
FEW = 5  # galaxies of a class
# what a manifest says of heads that are replaced
OUTDATED = ('scores', 'comparison', 'prediction_sets', 'heads')


def fit_new_heads(model, labels, table, *, questions='gz2', suffix='', class_column=None,
                  random_sample_column=None, head='auto', n_volunteers=40,
                  labels_are_training_set=False, name=None, random_state=0, **options):
    """
    Fit heads on the latents of a table, and put them in place of those of a model.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`, str or path
        The model that made the latents.
    labels : `pandas.DataFrame`
        Votes or classes, the identifiers as its index; see
        `~galvae_affiliated.training.read_labels` and
        `~galvae_affiliated.training.data.labels.read_votes`.
    table : `~astropy.table.Table`
        ``id_str``, and the latents as ``galvae encode`` writes them.
    questions : str or dict, optional
        'gz2', or a table of questions; see
        `~galvae_affiliated.training.data.labels.question_tree`.
    suffix : str, optional
        Between question and answer in the names of columns, such as '-gz2'.
    class_column : str, optional
        A column of classes, which become the answers of one question of its name, in place of
        ``questions``.
    random_sample_column : str, optional
        Bool column: galaxies that were not selected by their votes. The heads are calibrated on
        them.
    head : {'auto', 'network', 'dirichlet', 'logistic', 'forest'}, optional
        See `~galvae_affiliated.training.heads.choice.head_estimator`.
    n_volunteers : int, optional
        How many people a galaxy is shown to.
    labels_are_training_set : bool, optional
        The labels are of the galaxies that the model was trained on: those
        that were held out then show how sure the heads may be.
    name : str, optional
        Of the new model; None keeps that of the old one, whose hash then changes alone.
    random_state : int, optional
    **options
        ``n_members``, ``steps``, ``n_trees`` of
        `~galvae_affiliated.training.heads.choice.head_estimator`.

    Returns
    -------
    bundle : `~galvae_affiliated.ModelBundle`

    Raises
    ------
    ValueError
        If identifiers do not match, votes are wrong, or fewer than 20 galaxies have both latents
        and votes.
    ModelMismatchError
        If the latents are of another model.

    Examples
    --------
    On a table that ``galvae encode`` wrote, in seconds to minutes:

    >>> from galvae_affiliated.tables import read_catalog
    >>> from galvae_affiliated.training import fit_new_heads, read_labels
    >>> table = read_catalog('latents.parquet')  # doctest: +SKIP
    >>> labels = read_labels('classes.csv', 'id_str')  # doctest: +SKIP
    >>> model = fit_new_heads('gz2-sdss-v3', labels, table, class_column='kind',
    ...                       name='mine')  # doctest: +SKIP
    >>> model.questions['kind']  # doctest: +SKIP
    ['merger', 'spiral']
    """
    model = get_model(model)
    labels, latent, error = _match_latents(model, labels, table)
    if class_column is None:
        tree = question_tree(questions)
        votes = read_votes(labels, tree, suffix)
    else:
        tree, votes = class_votes(labels, class_column)
        n_volunteers = 1
    heads = head_estimator(head, n_volunteers=n_volunteers, random_state=random_state, **options)
    unselected = held_out = np.zeros(len(labels), dtype=bool)
    if random_sample_column:
        unselected = true_rows(labels, random_sample_column)
    if labels_are_training_set:
        held_out = _held_out_rows(model, labels)
    data = LabelledLatents(torch.from_numpy(latent), torch.from_numpy(error),
                           [torch.from_numpy(v.fractions) for v in votes.values()],
                           [torch.from_numpy(v.weight) for v in votes.values()],
                           torch.from_numpy(unselected), torch.from_numpy(held_out), tuple(tree))
    data = data[rows_with_votes(votes, len(labels))]
    return _with_heads(model, fit_votes(data, heads, n_volunteers=n_volunteers), tree,
                       data.latent, name)


def _held_out_rows(model, labels):
    """(N,) bool: galaxies that the training held out, by the hash of their identifiers."""
    config = model.manifest.get('training', {}).get('config', {})
    if 'validation_share' not in config or config.get('validation_split'):
        raise ValueError(f'the model {model.id} does not say by a share which galaxies its '
                         'training held out; leave out --labels-are-training-set')
    return validation_rows(labels.index.to_numpy(), config['validation_share'])


def fit_new_quantities(model, labels, table, quantities, *, name=None, random_state=0):
    """
    Fit numeric quantities on the latents of a table, and add them to a model.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`, str or path
    labels : `pandas.DataFrame`
        With the quantities, the identifiers as its index.
    table : `~astropy.table.Table`
        ``id_str``, latents and ``galvae_radius``, as ``galvae encode`` writes them.
    quantities : list of str
        Names of columns of ``labels``.
    name : str, optional
        Of the new model.
    random_state : int, optional

    Returns
    -------
    bundle : `~galvae_affiliated.ModelBundle`

    Raises
    ------
    ValueError
        If identifiers do not match, a column holds no numbers, or fewer than 20 galaxies have
        both latents and values.
    ModelMismatchError
        If the latents are of another model.

    Examples
    --------
    On a table that ``galvae encode`` wrote, in seconds to minutes:

    >>> from galvae_affiliated.tables import read_catalog
    >>> from galvae_affiliated.training import fit_new_quantities, read_labels
    >>> table = read_catalog('latents.parquet')  # doctest: +SKIP
    >>> labels = read_labels('masses.csv', 'id_str')  # doctest: +SKIP
    >>> model = fit_new_quantities('gz2-sdss-v3', labels, table, ['logmass'])  # doctest: +SKIP
    >>> model.write('with_mass.galvae')  # doctest: +SKIP
    """
    model = get_model(model)
    if 'galvae_radius' not in table.colnames:
        raise ValueError('the table of latents has no column galvae_radius; galvae encode writes '
                         'it')
    radius = np.ma.filled(np.ma.asarray(table['galvae_radius']).astype(float), np.nan)
    radius = pd.Series(radius, _table_identifiers(table))
    labels, latent, error = _match_latents(model, labels, table)
    values = {quantity: _label_numbers(labels, quantity) for quantity in quantities}
    radius = u.Quantity(radius.loc[labels.index].to_numpy(), table['galvae_radius'].unit)
    if radius.unit == u.pix:
        radius = None  # pixels of one image are no measure for another
    fitted = fit_quantities(latent, error, values, radius=radius, random_state=random_state)
    return with_quantities(model, fitted, name=name)


def _label_numbers(labels, name):
    """A column as floats, NaN where it has no value."""
    try:
        return label_column(labels, name).to_numpy(float, na_value=np.nan)
    except (ValueError, TypeError):
        raise ValueError(f'column {name!r} holds {labels[name].dtype}; expected numbers (a class '
                         'is fitted with --class-column)') from None


def _table_identifiers(table):
    """Identifiers of a table, as text without the spaces that FITS leaves."""
    if 'id_str' not in table.colnames:
        raise ValueError('the table of latents has no column id_str; it has '
                         f'{", ".join(table.colnames[:12])}')
    ids = table['id_str'].tolist()
    return pd.Index([i.decode() if isinstance(i, bytes) else str(i) for i in ids]).str.strip()


def _match_latents(model, labels, table):
    """Those labels whose identifier has latents, and these with their errors, N rows each."""
    latent = get_latents(table, model)
    error = get_latents(table, model, name='galvae_latent_err')
    ids = _table_identifiers(table)
    if not ids.is_unique:
        raise ValueError(f'{ids[ids.duplicated()][0]!r} is more than once in column id_str of the '
                         'latents')
    measured = np.isfinite(latent).all(axis=1)
    rows = pd.Series(np.flatnonzero(measured), ids[measured])
    found = labels.index.isin(rows.index)
    if not found.any():
        raise ValueError(f'no identifier of the labels ({labels.index[0]!r}, ...) is one of the '
                         f'latents ({ids[0]!r}, ...)')
    if found.sum() < LEAST_GALAXIES:
        raise ValueError(f'{found.sum()} galaxies have latents and labels; expected '
                         f'{LEAST_GALAXIES} or more')
    if not found.all():
        logger.warning('%d of %d labelled galaxies have no latents and are left out',
                       (~found).sum(), len(labels))
    rows = rows.loc[labels.index[found]].to_numpy()
    return labels[found], latent[rows], error[rows]


def class_votes(labels, name):
    """
    A column of classes as the votes of one question.

    Parameters
    ----------
    labels : `pandas.DataFrame`
    name : str

    Returns
    -------
    tree, votes : dict
        As of `~galvae_affiliated.training.data.labels.question_tree` and
        `~galvae_affiliated.training.data.labels.read_votes`.
    """
    classes = label_column(labels, name).dropna().astype(str)
    answers = sorted(classes.unique())
    if len(answers) < 2:
        found = f'the class {answers[0]!r} only' if answers else 'no class'
        raise ValueError(f'column {name!r} has {found}; expected two or more')
    rare = [answer for answer, n in classes.value_counts().items() if n < FEW]
    if rare:
        logger.warning('%d classes have fewer than %d galaxies each, such as %r: little can be '
                       'learnt of them', len(rare), FEW, rare[0])
    dummies = pd.get_dummies(classes).reindex(labels.index).astype(float)[answers]
    columns = {f'{name}_{answer}_fraction': dummies[answer] for answer in answers}
    tree = question_tree({name: answers})
    return tree, read_votes(pd.DataFrame(columns, index=labels.index), tree)


def read_questions(text):
    """
    Questions as the command line names them.

    Parameters
    ----------
    text : str
        'gz2', or a TOML file with a table ``questions``.

    Returns
    -------
    questions : str or dict
    """
    if text == 'gz2':
        return text
    try:
        content = tomllib.loads(Path(text).read_text())
    except FileNotFoundError:
        raise FileNotFoundError(f"{text}: there is no such file; --questions takes 'gz2' or a "
                                'TOML file') from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f'{text}: this is not TOML ({error})') from None
    if not isinstance(content.get('questions'), dict):
        raise ValueError(f'{text}: there is no table [questions] in it')
    return content['questions']


def _with_heads(model, fitted, tree, latent, name):
    """The model with other heads, their self-test, and a manifest that says so."""
    half = model.manifest.get('weights', '').startswith('float16')
    graph = fitted.graph(latent, half_weights=half)
    known = model.manifest.raw
    manifest = {key: value for key, value in known.items() if key not in OUTDATED}
    manifest.update(name=name or model.name, questions=tree, **fitted.manifest,
                    latents={**known['latents'], 'same_as': [model.id, *model.manifest.same_as]})
    inputs = {'latent': random_latents(SELF_TEST_ROWS, model.n_latents)}
    tested = self_test({'heads': graph}, {'heads': inputs}, model.parts[SELF_TEST])
    return model.replaced(manifest, {'heads.onnx': graph, SELF_TEST: tested})
