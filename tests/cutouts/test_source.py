# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What all sources of cutouts promise."""

import os

import numpy as np
import pytest
from astropy.io import fits
from composite_images import composite, encoded, write

from galvae_affiliated import CutoutStack
from galvae_affiliated._batches import row_slices
from galvae_affiliated.cutouts import (
    FitsFolder,
    FrameSet,
    ImageRendering,
    ModelFrame,
    ParquetSet,
    open_cutout_set,
    open_cutouts,
)
from galvae_affiliated.images import FieldImages

FRAME = ModelFrame(
    'x',
    32,
    5.12,
    (ImageRendering('composite', 'composite'), ImageRendering('grz', 'flux', ('z', 'r', 'g'), 8.0)),
)
IMAGES = [encoded(composite(64, r90=r)) for r in (8, 10, 12, 14, 16)]
IDS = ['e', 'd', 'c', 'b', 'a']


def of_field(folder, field, galaxies):
    return open_cutouts(field, galaxies[:5], FRAME)[0]


def of_parquet(folder, field, galaxies):
    path = folder / 'set.parquet'
    return ParquetSet(path if path.exists() else write(path, IMAGES, IDS), FRAME)


def of_frame(folder, field, galaxies):
    pd = pytest.importorskip('pandas')
    return FrameSet(pd.DataFrame({'id_str': IDS, 'picture': IMAGES}), 'picture', FRAME)


def of_folder(folder, field, galaxies):
    header = fits.Header({'BANDS': 'grz', 'BUNIT': 'nmgy / arcsec2'})
    for i, name in enumerate(sorted(IDS)):
        cube = np.array([image.data[i : 90 + i, 10:100] for image in field.values()])
        if not (folder / f'{name}.fits').exists():
            fits.writeto(folder / f'{name}.fits', cube, header)
    return FitsFolder(folder, FRAME)


KINDS = [of_field, of_parquet, of_frame, of_folder]


@pytest.fixture(params=KINDS)
def make(request, tmp_path, field, galaxies):
    """Opens the same source each time."""
    return lambda: request.param(tmp_path, field, galaxies)


@pytest.mark.parametrize('size', [1, 2, 5, 9])
def test_a_stack_a_slice(make, size):
    source = make()
    assert len(source) == 5
    whole, *others = source.stacks([slice(0, 5)])
    assert not others
    assert isinstance(whole, CutoutStack)
    assert whole.data.shape == (5, 3, 32, 32)
    assert whole.measured.all()
    slices = row_slices(5, size)
    parts = list(source.stacks(slices))
    assert [len(part) for part in parts] == [rows.stop - rows.start for rows in slices]
    for name in ('data', 'rendering', 'flags', 'radius', 'pixel_scale'):
        joined = np.concatenate([getattr(part, name) for part in parts])
        if name == 'data':
            assert np.allclose(joined, whole.data, rtol=1e-5, atol=1e-6, equal_nan=True)
        else:
            assert np.array_equal(joined, getattr(whole, name), equal_nan=name != 'rendering')


def test_rows_may_be_in_any_order(make):
    source = make()
    [whole] = source.stacks([slice(0, 5)])
    last, first, none = source.stacks([slice(3, 5), slice(0, 1), slice(0, 0)])
    assert np.allclose(last.data, whole.data[3:], rtol=1e-5, atol=1e-6)
    assert np.allclose(first.data, whole.data[:1], rtol=1e-5, atol=1e-6)
    assert none.data.shape == (0, 3, 32, 32)


def test_identifiers(make):
    source = make()
    names = source.ids(slice(0, 5))
    if names is None:  # the rows are those of a catalogue
        return
    assert names == (sorted(IDS) if isinstance(source, FitsFolder) else IDS)
    assert source.ids(slice(2, 4)) == names[2:4]
    assert source.ids(slice(0, 0)) == []


def test_fingerprint_is_of_the_content(make):
    one, other = make().fingerprint(), make().fingerprint()
    assert one == other
    assert isinstance(one, str)


def test_fingerprint_of_other_content(tmp_path, field, galaxies):
    found = {kind(tmp_path, field, galaxies).fingerprint() for kind in KINDS}
    assert len(found) == len(KINDS)
    galaxies['x'][0] += 1e-3
    found.add(of_field(tmp_path, field, galaxies).fingerprint())
    os.utime(tmp_path / 'a.fits', ns=(0, 0))
    found.add(of_folder(tmp_path, field, galaxies).fingerprint())
    os.utime(tmp_path / 'set.parquet', ns=(0, 0))
    found.add(of_parquet(tmp_path, field, galaxies).fingerprint())
    frame_set = of_frame(tmp_path, field, galaxies)
    frame_set.images = frame_set.images.copy()
    frame_set.images.iloc[4] = IMAGES[0]
    found.add(frame_set.fingerprint())
    assert len(found) == 2 * len(KINDS)


def test_parquet_is_read_from_the_first_row_group_that_is_asked_for(tmp_path):
    import pyarrow.parquet as pq

    path = write(tmp_path / 'set.parquet', IMAGES * 4, [str(i) for i in range(20)])
    pq.write_table(pq.read_table(path), path, row_group_size=3)
    source = ParquetSet(path, FRAME)
    groups = []
    original = source.file.iter_batches

    class Noted:
        metadata = source.file.metadata

        def iter_batches(self, *args, **options):
            groups.append(options['row_groups'])
            return original(*args, **options)

    source.file = Noted()
    assert source.ids(slice(10, 12)) == ['10', '11']
    [stack] = source.stacks([slice(17, 20)])
    assert len(stack) == 3
    assert groups == [[3, 4, 5, 6], [5, 6]]


def test_set_of_a_path(tmp_path, field, galaxies):
    of_folder(tmp_path, field, galaxies)
    assert isinstance(open_cutout_set(tmp_path, FRAME, bands='grz'), FitsFolder)
    path = write(tmp_path / 'set.parquet', IMAGES)
    assert isinstance(open_cutout_set(str(path), FRAME, already_scaled=True), ParquetSet)
    with pytest.raises(ValueError, match='go with FITS cutouts'):
        open_cutout_set(path, FRAME, bands='grz')


def test_folder_that_is_read_twice(tmp_path, field, galaxies):
    """Only where no file at all can be read, there is something wrong with the call."""
    source = of_folder(tmp_path, field, galaxies)
    for file in source.files[:3]:
        file.write_bytes(b'no image')
    for _ in range(2):
        [stack] = source.stacks([slice(0, 5)])
        assert stack.measured.tolist() == [False] * 3 + [True] * 2


def test_field_that_was_read_before(field, galaxies):
    """It is not measured again, and takes no options of how it is read."""
    images = FieldImages(field, band_sets=[('z', 'r', 'g')], typical={})
    maker, _ = open_cutouts(images, galaxies, FRAME)
    assert maker.images is images
    expected, _ = open_cutouts(field, galaxies, FRAME, pixel_scale=None)
    assert np.array_equal(maker.stack().data, expected.stack().data)
    with pytest.raises(ValueError, match='unit, pixel_scale cannot be given with FieldImages'):
        open_cutouts(images, galaxies, FRAME, unit='nmgy', pixel_scale=0.3, bands=None)
    images = FieldImages(field['r'], bands='r', band_sets=[('z', 'r', 'g')], scales=[(1, 2, 3)],
                         typical={})  # fmt: skip
    with pytest.raises(ValueError, match='opened for another model or rendering'):
        open_cutouts(images, galaxies, FRAME)


def test_frame_without_images_or_with_texts():
    pd = pytest.importorskip('pandas')
    with pytest.raises(ValueError, match="no column 'image' of images; there are x"):
        FrameSet(pd.DataFrame({'x': [1]}), 'image', FRAME)
    with pytest.raises(ValueError, match='holds text, not images'):
        FrameSet(pd.DataFrame({'image': pd.array(['a'], dtype='string')}), 'image', FRAME)
