# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest

from galvae_affiliated.cutouts import ImageRendering, ModelFrame

ENTRIES = {'grid': 32, 'field_of_view': 5, 'typical': {'g': {'noise': 0.1, 'flux': 1.0}}}
RENDERINGS = [
    {'name': 'composite', 'kind': 'composite'},
    {'name': 'grz', 'kind': 'flux', 'bands': ['z', 'r', 'g'], 'softening': 8},
    {'name': 'viewer', 'kind': 'rerender', 'bands': ['z', 'r', 'g'], 'softening': 4, 'offset': 0.1},
]


@pytest.fixture
def frame():
    return ModelFrame.from_manifest('small', ENTRIES, RENDERINGS)


def test_what_a_manifest_states(frame):
    assert (frame.name, frame.grid, frame.field_of_view) == ('small', 32, 5.0)
    assert frame.typical == ENTRIES['typical']
    assert [entry.name for entry in frame.renderings] == ['composite', 'grz', 'viewer']
    assert frame.renderings[2] == ImageRendering('viewer', 'rerender', ('z', 'r', 'g'), 4.0, 0.1)
    assert frame.renderings[0].bands == ()
    assert np.isnan(frame.renderings[0].softening)


def test_renderings_by_name(frame):
    assert frame.flux_renderings() == frame.flux_renderings('grz') == {'grz': ('z', 'r', 'g')}
    assert frame.composite_rendering('viewer').kind == 'rerender'
    with pytest.raises(ValueError, match="small has no rendering 'viewer' of flux; it has grz"):
        frame.flux_renderings('viewer')
    message = "small has no rendering 'grz' of composites; it has composite, viewer"
    with pytest.raises(ValueError, match=message):
        frame.composite_rendering('grz')
