# Licensed under a 3-clause BSD style license - see LICENSE.rst
import warnings

import numpy as np
import pytest
from astropy.io.votable.ucd import check_ucd
from astropy.table import QTable, Table, join, vstack
from astropy.utils.metadata import MergeConflictWarning

from galvae_affiliated import (
    CutoutStack,
    ModelMismatchError,
    add_latents,
    add_morphology,
    get_latents,
    get_model,
)
from galvae_affiliated.flags import GalvaeFlags

FORMATS = {
    'fits': ('table.fits', {}),
    'ascii.ecsv': ('table.ecsv', {}),
    'votable': ('table.vot', {}),
    'parquet': ('table.parquet', {}),
    'hdf5': ('table.h5', {'path': 'galvae', 'serialize_meta': True}),
}


@pytest.fixture(scope='module')
def stack():
    rng = np.random.default_rng(3)
    x = np.arange(128) - 63.5
    light = np.exp(
        -np.hypot(x[:, None], x[None]) / np.array([5.0, 10.0, 15.0, 20.0])[:, None, None]
    )
    data = (0.8 * light[:, None] + 0.02 * rng.random((4, 3, 128, 128))).astype(np.float32)
    flags = np.array([0, GalvaeFlags.OFF_IMAGE, 0, GalvaeFlags.EDGE], dtype=np.int32)
    return CutoutStack(
        data, np.full(4, 'composite'), flags, np.array([5.0, np.nan, 6.0, 7.0]), np.full(4, 0.262)
    )


@pytest.fixture(scope='module')
def table(stack):
    given = Table({'name': ['a', 'b', 'c', 'd'], 'mag': [1.0, 2.0, 3.0, 4.0]})
    return add_morphology(add_latents(given, stack))


def test_rows_stay_in_order_and_unmeasured_ones_are_masked(table):
    assert list(table['name']) == ['a', 'b', 'c', 'd']
    for name in (
        'galvae_latent',
        'galvae_latent_err',
        'galvae_pose',
        'galvae_recon_chi2',
        'bar_yes_fraction',
    ):
        mask = np.ma.getmaskarray(table[name]).reshape(4, -1).all(axis=1)
        np.testing.assert_array_equal(mask, [False, True, False, False], err_msg=name)
    assert (
        table['galvae_flags'][1] & GalvaeFlags.OFF_IMAGE
        and table['galvae_flags'][3] & GalvaeFlags.EDGE
    )


def test_fractions_of_a_question_sum_to_one(table):
    for question, answers in get_model().questions.items():
        total = sum(
            table[f'{question}_{answer}_fraction'][[0, 2, 3]].filled(np.nan) for answer in answers
        )
        np.testing.assert_allclose(total, 1.0, atol=1e-5)


def test_the_radius_is_in_arcsec_where_the_pixel_scale_is_known(table, stack):
    assert table['galvae_radius'].unit == 'arcsec'
    np.testing.assert_allclose(
        table['galvae_radius'][[0, 2, 3]], stack.radius[[0, 2, 3]] * 0.262, rtol=1e-6
    )


def test_every_column_states_model_description_and_ucd(table):
    for column in table.columns.values():
        if column.name in ('name', 'mag'):
            continue
        assert column.meta['galvae_model'] == get_model().id
        assert column.description.endswith(f'[model {get_model().id}]')
        assert check_ucd(column.meta['ucd'], check_controlled_vocabulary=True), column.meta['ucd']


@pytest.mark.parametrize('kind', FORMATS)
@pytest.mark.parametrize('table_class', [Table, QTable])
def test_round_trip(table, kind, table_class, tmp_path):
    name, options = FORMATS[kind]
    table_class(table).write(tmp_path / name, format=kind, **options)
    back = Table.read(
        tmp_path / name, format=kind, **({'path': 'galvae'} if kind == 'hdf5' else {})
    )
    for column in table.columns.values():
        if column.name in ('name', 'mag'):
            continue
        found = back[column.name]
        if column.dtype.kind == 'U' and kind == 'votable':  # where masked text is empty text
            assert [value or None for value in found.tolist()] == column.tolist()
            continue
        np.testing.assert_array_equal(
            np.ma.getmaskarray(found), np.ma.getmaskarray(column), err_msg=column.name
        )
        np.testing.assert_array_equal(
            np.ma.filled(found, 0), np.ma.filled(column, 0), err_msg=column.name
        )
        assert found.description == column.description
        assert found.meta['ucd'] == column.meta['ucd']
    np.testing.assert_array_equal(get_latents(back), get_latents(table))


def test_split_columns_hold_the_same_latents(table, stack):
    split = add_latents(Table({'name': list('abcd')}), stack, scalar_columns=True)
    assert 'galvae_latent_39' in split.colnames and 'galvae_latent' not in split.colnames
    np.testing.assert_array_equal(get_latents(split), get_latents(table))
    assert all(column.ndim == 1 for column in split.columns.values())


def test_latents_read_from_fits_are_native_and_predict_the_same(table, tmp_path):
    table.write(tmp_path / 'table.fits')
    back = Table.read(tmp_path / 'table.fits')
    assert get_latents(back).dtype.isnative
    again = add_morphology(back['name', 'galvae_latent'])
    np.testing.assert_allclose(
        again['bar_yes_fraction'].filled(-1), table['bar_yes_fraction'].filled(-1), atol=1e-6
    )


@pytest.fixture(scope='module')
def other():
    bundle = get_model()
    return bundle.replaced({**bundle.manifest.raw, 'name': 'other'})


def test_latents_of_another_model_are_refused(table, other):
    with pytest.raises(
        ModelMismatchError, match=f'is of the model {get_model().id}; expected other@'
    ):
        get_latents(table, other)
    bare = Table({'galvae_latent': np.zeros((2, 40))})
    with pytest.raises(ModelMismatchError, match='not stated'):
        get_latents(bare)


def test_stacked_tables_of_two_models_are_refused(table, stack, other):
    second = add_latents(Table({'name': list('efgh')}), stack, other)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', MergeConflictWarning)
        both = vstack([table['name', 'galvae_latent'], second['name', 'galvae_latent']])
    with pytest.raises(ModelMismatchError):
        get_latents(both, get_model())


def test_an_outer_join_masks_rows_without_latents(table):
    more = Table({'name': ['a', 'z'], 'redshift': [0.1, 0.2]})
    joined = join(more, table['name', 'galvae_latent'], keys='name', join_type='left')
    latents = get_latents(joined)
    assert np.isfinite(latents[0]).all() and np.isnan(latents[1]).all()


def test_wrong_calls(table, stack):
    with pytest.raises(ValueError, match='4 cutouts for 3 rows'):
        add_latents(table[:3], stack)
    with pytest.raises(ValueError, match='galvae_latent.* already'):
        add_latents(table, stack)
    with pytest.raises(KeyError, match='no latents'):
        get_latents(Table({'a': [1]}))
    replaced = add_latents(table, stack, overwrite=True)
    assert sorted(replaced.colnames) == sorted(table.colnames)


def test_the_given_table_is_not_changed(stack):
    given = Table({'name': list('abcd')})
    add_latents(given, stack)
    assert given.colnames == ['name']
