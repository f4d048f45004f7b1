# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Conditions on columns, as text: ``bar_yes_fraction > 0.5``."""

import operator
import re

import numpy as np

# the longer ones first
OPERATORS = {'<=': operator.le, '>=': operator.ge, '==': operator.eq, '!=': operator.ne,
             '<': operator.lt, '>': operator.gt}
CONDITION = re.compile(r'\s*(\S+?)\s*(<=|>=|==|!=|<|>)\s*(.*?)\s*')


def parse_condition(text):
    """
    Name, operator and value of a condition.

    Parameters
    ----------
    text : str
        ``NAME OPERATOR VALUE``; the operators are ``<``, ``<=``, ``>``, ``>=``, ``==``, ``!=``.

    Returns
    -------
    name, operator, value : str

    Raises
    ------
    ValueError
        If it is no such text.

    Examples
    --------
    >>> from galvae_affiliated.explore._conditions import parse_condition
    >>> parse_condition('bar_yes_fraction>0.5')
    ('bar_yes_fraction', '>', '0.5')
    """
    match = CONDITION.fullmatch(text)
    if match is None:
        raise ValueError(f'the condition is {text!r}; expected NAME OPERATOR VALUE, such as '
                         f"'bar_yes_fraction > 0.5'; operators are {' '.join(OPERATORS)}")
    return match.groups()


def condition_names(conditions):
    """The columns that conditions need, each once."""
    return list(dict.fromkeys(parse_condition(text)[0] for text in conditions))


def rows_where(conditions, columns):
    """
    Rows that fulfil all conditions.

    Parameters
    ----------
    conditions : sequence of str
    columns : mapping of str to (N,) array
        A table is one. Masked values fulfil none.

    Returns
    -------
    fulfilled : (N,) bool array, or None
        None if there are no conditions.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If a condition is none, or its value no number where the column has numbers.
    """
    fulfilled = None
    for text in conditions:
        name, sign, value = parse_condition(text)
        names = getattr(columns, 'colnames', None) or list(columns)
        if name not in names:
            raise KeyError(f'there is no column {name!r} for the condition {text!r}; there are '
                           f'{", ".join(names[:12])}')
        column = np.ma.asarray(columns[name])
        with np.errstate(invalid='ignore'):
            found = OPERATORS[sign](column, _value_for(column, value, text))
        found = np.ma.filled(found, False)
        fulfilled = found if fulfilled is None else fulfilled & found
    return fulfilled


def _value_for(column, value, text):
    """A value in the kind of a column."""
    if column.dtype.kind == 'b':
        known = {'true': True, 'false': False, '1': True, '0': False}
        if value.lower() not in known:
            raise ValueError(f'the condition {text!r} compares truth values; expected true or '
                             'false')
        return known[value.lower()]
    if column.dtype.kind in 'SU':
        value = value.strip('\'"')
        return value.encode() if column.dtype.kind == 'S' else value
    try:
        return int(value) if column.dtype.kind in 'iu' else float(value)
    except ValueError:
        raise ValueError(f'the condition {text!r} compares numbers; got {value!r}') from None
