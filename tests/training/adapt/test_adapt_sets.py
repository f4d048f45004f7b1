# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Two surveys: what is read, refused, measured of their looks, and of like kind."""

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('lightning')

from training_sets import GRID  # noqa: E402
from two_surveys import (  # noqa: E402
    BLUR,
    GAIN,
    NOISE,
    composites,
    survey,
    untrained_model,
    write_survey,
)

from galvae_affiliated.cutouts.sets import open_cutout_set  # noqa: E402
from galvae_affiliated.models.engine import Engine  # noqa: E402
from galvae_affiliated.training.adapt.answers import (  # noqa: E402
    answer_vectors,
    effective_size,
    likeness_weights,
)
from galvae_affiliated.training.adapt.images import (  # noqa: E402
    SurveyImages,
    check_target,
    read_survey,
)
from galvae_affiliated.training.adapt.look import imitate, measure_look  # noqa: E402
from galvae_affiliated.training.adapt.pairs import pair_rows, read_pairs  # noqa: E402

# what the exporter of graphs says
pytestmark = [
    pytest.mark.filterwarnings('ignore::UserWarning'),
    pytest.mark.filterwarnings('ignore::FutureWarning'),
    pytest.mark.filterwarnings('ignore:.*isinstance.*:DeprecationWarning'),
]


@pytest.fixture(scope='module')
def model():
    return untrained_model()


@pytest.fixture(scope='module')
def surveys():
    return survey(range(200)), survey(range(1000, 1150), is_target=True)


def test_a_set_is_read_as_it_is_encoded(model, tmp_path):
    path = write_survey(tmp_path / 'set.parquet', range(20))
    found = read_survey(path, model)
    assert found.ids.tolist() == [f'source{i}' for i in range(20)]
    assert found.name == 'set.parquet' and found.n_left_out == 0
    np.testing.assert_array_equal(found.images, composites(range(20)))
    source = open_cutout_set(path, model.frame)
    again = read_survey(source, model, name='open')
    assert again.name == 'open'
    np.testing.assert_array_equal(again.images, found.images)


def test_a_split_and_a_part_of_a_set_are_read(model, tmp_path):
    path = write_survey(tmp_path / 'set.parquet', range(20))
    tested = read_survey(path, model, split_column='split', split='test')
    assert tested.ids.tolist() == [f'source{i}' for i in (0, 5, 10, 15)]
    some = read_survey(path, model, max_galaxies=6, keep=['source3', 'source17', 'none'])
    assert len(some) == 6 and {'source3', 'source17'} < set(some.ids)
    place = int(np.flatnonzero(some.ids == 'source17')[0])
    np.testing.assert_array_equal(some.images[place], composites(range(20))[17])
    other = read_survey(path, model, max_galaxies=6, random_state=1)
    assert set(other.ids) != set(some.ids)


def test_rows_without_an_image_are_left_out(model, tmp_path, caplog):
    path = write_survey(tmp_path / 'set.parquet', range(20))
    frame = pd.read_parquet(path)
    frame.at[3, 'image'] = {'bytes': b'no picture', 'path': ''}
    frame.to_parquet(path)
    found = read_survey(path, model)
    assert len(found) == 19 and found.n_left_out == 1 and 'source3' not in found.ids
    np.testing.assert_array_equal(found.images[3], composites(range(20))[4])
    assert '1 of 20 rows have no image' in caplog.text


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'split_column': 'part', 'split': 'a'}, "no column 'part'; there are id_str, image"),
        ({'split_column': 'split', 'split': 'adapt'}, "nowhere says 'adapt'; it has test, train"),
    ],
)
def test_a_wrong_split(model, tmp_path, options, message):
    path = write_survey(tmp_path / 'set.parquet', range(6))
    with pytest.raises(ValueError, match=message):
        read_survey(path, model, **options)


def test_images_of_another_grid(model):
    other = SurveyImages(np.zeros((5, 8, 8, 3), np.uint8), np.arange(5).astype(str))
    with pytest.raises(ValueError, match=r'images have shape \(8, 8, 3\)'):
        read_survey(other, model)


def test_targets_that_are_refused(surveys):
    source, target = surveys
    check_target(target, source)
    with pytest.raises(ValueError, match='target target has 20 galaxies .* expected 100 or more'):
        check_target(target[:20], source)
    with pytest.raises(ValueError, match='source source has 20 galaxies'):
        check_target(target, source[:20])
    with pytest.raises(ValueError, match='100 % of the images of the target source are those'):
        check_target(source, source)
    noise = np.random.default_rng(0).normal(40, 8, (150, GRID, GRID, 3))
    for blank in (np.zeros_like(target.images), noise.clip(0, 255).astype(np.uint8)):
        with pytest.raises(ValueError, match=r'shows a galaxy in \d+ of 150 images'):
            check_target(SurveyImages(blank, target.ids, 'target'), source)


def test_the_look_of_a_survey_is_measured(surveys):
    """The same galaxies, so that nothing but the looks differs."""
    looks = [measure_look(survey(range(300), is_target=is_target)) for is_target in (False, True)]
    np.testing.assert_allclose(looks[1].noise, NOISE, rtol=0.15)
    np.testing.assert_allclose(looks[0].noise, 0.011, rtol=0.25)
    ratio = looks[1].light / looks[0].light
    np.testing.assert_allclose(ratio / ratio[1], GAIN / GAIN[1], rtol=0.05)
    assert looks[0].blur_to(looks[1]) == pytest.approx(BLUR ** 2, rel=0.4)
    assert looks[1].blur_to(looks[0]) == pytest.approx(-looks[0].blur_to(looks[1]))
    assert set(looks[0].entries()) == {'noise', 'light'}


def test_an_imitation_looks_like_the_other_survey(surveys):
    source, target = survey(range(300)), survey(range(300), is_target=True)
    looks = [measure_look(some) for some in (source, target)]
    generator = torch.Generator().manual_seed(0)
    views = imitate(source.composites(), *looks, generator)
    seen = measure_look(SurveyImages(
        (255 * views).round().byte().permute(0, 2, 3, 1).numpy(), source.ids))
    np.testing.assert_allclose(seen.noise, looks[1].noise, rtol=0.15)
    np.testing.assert_allclose(seen.light, looks[1].light, rtol=0.1)
    assert abs(seen.blur_to(looks[1])) < 0.3 * looks[0].blur_to(looks[1])
    # and so does the mean image; images share a few fields of noise, which would be in it
    quiet = imitate(source.composites(), *looks, generator, aspects=('seeing', 'light'))
    means = [images.mean(0) for images in (source.composites(), quiet, target.composites())]
    far, near = ((image - means[2]).abs().mean() for image in means[:2])
    assert near < 0.4 * far


def test_an_imitation_of_no_strength_or_no_aspect_changes_nothing(surveys):
    looks = [measure_look(some) for some in surveys]
    image = surveys[0].composites(slice(10))
    generator = torch.Generator().manual_seed(0)
    for options in ({'strength': 0.0}, {'aspects': ()}):
        torch.testing.assert_close(imitate(image, *looks, generator, **options), image)
    strength = torch.linspace(0.0, 1.0, 10)
    views = imitate(image, *looks, generator, strength=strength, spread=0.1)
    assert views.shape == image.shape and 0.0 <= views.min() and views.max() <= 1.0
    # a survey that is worse is imitated, one that is better cannot be
    same = imitate(image, *looks[::-1], generator, aspects=('seeing', 'noise'))
    torch.testing.assert_close(same, image)


def test_weights_give_the_source_the_answers_of_the_target():
    rng = np.random.default_rng(0)
    is_spiral = [rng.random(n) < share for n, share in ((2000, 0.2), (300, 0.7))]
    source, target = (np.stack([kind, ~kind], 1) + 0.1 * rng.standard_normal((len(kind), 2))
                      for kind in is_spiral)
    weights = likeness_weights(source, target)
    assert weights.sum() == pytest.approx(1.0)
    assert weights[is_spiral[0]].sum() == pytest.approx(is_spiral[1].mean(), abs=0.06)
    assert 100 < effective_size(weights) < 2000
    equal = likeness_weights(source[:, :0], target[:, :0])
    assert effective_size(equal) == pytest.approx(2000)


def test_answers_are_fractions_of_all_volunteers(model):
    latents = np.random.default_rng(0).standard_normal((7, model.n_latents))
    answers = answer_vectors(latents, model, Engine(device='cpu'))
    assert answers.shape == (7, 2)
    np.testing.assert_allclose(answers.sum(axis=1), 1.0, atol=1e-5)


def test_pairs_are_found_in_either_order(tmp_path, caplog):
    source, target = np.array(['a', 'b', 'c']), np.array(['x', 'y'])
    path = tmp_path / 'pairs.csv'
    path.write_text('target,source,remark\ny,a,good\nx,c,\nz,b,unknown\n')
    pairs = read_pairs(path)
    assert pair_rows(pairs, source, target).tolist() == [[0, 1], [2, 0]]
    assert '1 of 3 pairs are not in both sets' in caplog.text
    assert pair_rows(read_pairs([['b', 'y']]), source, target).tolist() == [[1, 1]]


def test_wrong_pairs(tmp_path):
    ids = np.array(['a', 'b']), np.array(['x', 'y'])
    with pytest.raises(ValueError, match=r'of 1 pairs \(a, z, \.\.\.\) none is in both'):
        pair_rows(read_pairs([['a', 'z']]), *ids)
    with pytest.raises(FileNotFoundError, match='none.csv: there is no such file'):
        read_pairs(tmp_path / 'none.csv')
    with pytest.raises(ValueError, match='expected two columns'):
        read_pairs(np.array(['a', 'b']))
