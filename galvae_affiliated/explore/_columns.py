# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Columns of what was found among latents: of which model, and how."""

from galvae_affiliated.tables.columns import make_columns


def explore_columns(columns, model, **about):
    """
    Columns of a table that state their model, and how they were made.

    Parameters
    ----------
    columns : list of `~galvae_affiliated.models._column.Column`
    model : `~galvae_affiliated.ModelBundle`
    **about
        Numbers and text; ``method`` becomes ``galvae_method`` in the column's metadata.

    Returns
    -------
    columns : list of `~astropy.table.MaskedColumn`
    """
    from galvae_affiliated import __version__

    made = make_columns(columns, model)
    for column in made:
        column.meta.update({f'galvae_{key}': value for key, value in about.items()},
                           galvae_version=__version__)
    return made
