# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline

from galvae_affiliated import CutoutStack, LatentTransformer, make_cutouts
from galvae_affiliated.cutouts.stack import join_stacks, unreadable_stack
from galvae_affiliated.flags import describe_flags


def names(stack):
    return [describe_flags(flags) for flags in stack.flags]


@pytest.fixture
def composites():
    """Twelve composites of two kinds of galaxies."""
    y, x = np.mgrid[:128, :128] - 63.5
    rng = np.random.default_rng(0)
    images = [
        np.exp(-np.hypot(x * (1 + 2 * (i % 2)), y) / 10) + rng.normal(0, 0.01, (128, 128))
        for i in range(12)
    ]
    return CutoutStack.from_composites(np.clip(images, 0, 1)[:, None].repeat(3, axis=1))


def test_stack_checks_its_shapes():
    with pytest.raises(ValueError, match=r'cutouts have shape \(2, 4, 8, 8\)'):
        CutoutStack(np.zeros((2, 4, 8, 8)), np.full(2, 'composite'), np.zeros(2, int))
    with pytest.raises(ValueError, match='flags has 3 values for 2 cutouts'):
        CutoutStack(np.zeros((2, 3, 8, 8)), np.full(2, 'composite'), np.zeros(3, int))


def test_rows_of_a_stack(field, galaxies):
    stack = make_cutouts(field, galaxies)
    assert np.array_equal(stack[-1].data, stack.data[-1:])
    assert np.array_equal(stack[[3, 1]].radius, stack.radius[[3, 1]])
    assert len(stack[stack.radius > 12]) == np.sum(stack.radius > 12)
    assert len(stack[2:2]) == 0


def test_iteration_ends(composites):
    rows = list(composites)
    assert len(rows) == len(composites) == composites.shape[0] == 12
    assert all(isinstance(row, CutoutStack) and len(row) == 1 for row in rows)
    assert np.array_equal(rows[5].data[0], composites.data[5])
    for i in (12, -13):
        with pytest.raises(IndexError):
            composites[i]


def test_cross_validation(composites):
    """scikit-learn splits a stack as it does an array."""
    pipeline = make_pipeline(LatentTransformer(), LogisticRegression())
    scores = cross_val_score(pipeline, composites, np.arange(12) % 2, cv=3, error_score='raise')
    assert scores.tolist() == [1.0, 1.0, 1.0]
    train, test = train_test_split(composites, test_size=4, random_state=0)
    assert (train.shape, test.shape) == ((8, 3, 128, 128), (4, 3, 128, 128))


def test_composites():
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    images[2] = 0
    stack = CutoutStack.from_composites(images)
    assert stack.data.shape == (4, 3, 16, 16)
    assert names(stack) == [[], [], ['NO_DATA'], []]
    assert np.allclose(stack.data[0], np.moveaxis(images[0], -1, 0) / 255)
    floats = CutoutStack.from_composites(stack.data)
    assert np.array_equal(floats.data, stack.data)
    assert set(floats.rendering) == {'composite'}
    assert set(CutoutStack.from_composites(images, rendering='other').rendering) == {'other'}


def test_joined_stacks(composites):
    joined = join_stacks([composites[:3], unreadable_stack(2, 128), composites[3:]], 128)
    assert len(joined) == 14
    assert names(joined)[2:5] == [['FEW_BANDS'], ['UNREADABLE'], ['UNREADABLE']]
    assert np.array_equal(joined.data[5:], composites.data[3:])
    assert not joined.measured[3:5].any()
    assert len(join_stacks([], 128)) == 0
