# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How odd galaxies are among others."""

import latent_tables
import numpy as np
import pytest
from astropy.table import Table

from galvae_affiliated import ModelMismatchError
from galvae_affiliated.explore import add_outlier_scores
from galvae_affiliated.explore._calibration import Calibration
from galvae_affiliated.explore.outliers import OUTLIER_METHODS
from galvae_affiliated.flags import GalvaeFlags

ODD = [3, 111, 250]


def with_odd_ones(n_rows=400, **more):
    """Three galaxies far from all others, in latents that say something."""
    latent, error = latent_tables.random_latents(n_rows)
    for i, row in enumerate(ODD):
        latent[row, i] += 15.0
    return latent_tables.latent_table(latent, error, **more)


def answers(n_rows):
    """Columns of likeliest answers, as `add_morphology` makes them."""
    kinds = np.where(np.arange(n_rows) % 2, 'smooth', 'featured-or-disk')
    return {'smooth-or-featured_answer': kinds}


@pytest.mark.parametrize('method', OUTLIER_METHODS)
def test_odd_ones_come_first(method):
    table = with_odd_ones(**answers(400))
    scored = add_outlier_scores(table, method=method)
    assert set(np.argsort(-scored['galvae_outlier_score'])[:3]) == set(ODD)
    assert sorted(scored['galvae_outlier_rank'][ODD]) == [1, 2, 3]
    assert scored['galvae_outlier_score'].meta['galvae_method'] == method
    assert table.colnames == with_odd_ones(**answers(400)).colnames  # not changed
    assert len(scored) == 400


def test_p_values_of_galaxies_that_are_all_alike_are_uniform():
    """The share of false alarms is what the p-value says."""
    p_values = add_outlier_scores(latent_tables.simulated(2000))['galvae_outlier_p']
    for level in (0.01, 0.1, 0.5):
        assert np.mean(p_values <= level) == pytest.approx(level, abs=0.02)
    assert p_values.min() > 0


def test_scores_are_rarities():
    scored = add_outlier_scores(latent_tables.simulated(2000))
    score = np.asarray(scored['galvae_outlier_score'])
    middle = (score > 0.3) & (score < 1.5)
    np.testing.assert_allclose(10.0 ** -score[middle], scored['galvae_outlier_p'][middle],
                               rtol=0.05, atol=0.002)


def test_scores_rise_beyond_all_that_was_seen():
    calibration = Calibration.of(np.random.default_rng(0).exponential(size=1000))
    rarity = calibration.rarity(np.array([0.0, 0.5, 3.0, 6.0, 20.0, 40.0]))
    assert (np.diff(rarity) > 0).all()
    # the tail of an exponential distribution is continued by itself
    assert rarity[-1] == pytest.approx(40.0 * np.log10(np.e), rel=0.35)
    assert calibration.p_values(40.0) == pytest.approx(1 / 1001)


def test_reasons_name_the_latents_the_answers_and_the_neighbours():
    fractions = np.full(400, 0.1, dtype='f4')
    fractions[111] = 0.9
    table = with_odd_ones(**{'merging_merger_fraction': fractions})
    scored = add_outlier_scores(table, n_reasons=5)
    reason = scored['galvae_outlier_reason']
    assert reason[111].startswith('merging_merger 0.90; latents 01 +')
    assert 'errors; next to rows ' in reason[111]
    assert reason[3].startswith('latents 00 +')
    assert (~reason.mask).sum() == 5


def test_what_volunteers_would_find_odd_is_odd():
    fractions = np.random.default_rng(0).uniform(0.05, 0.2, 400).astype('f4')
    fractions[17] = 0.95
    table = with_odd_ones(**{'something-odd_yes_fraction': fractions})
    both = add_outlier_scores(table)
    assert set(np.argsort(-both['galvae_outlier_score'])[:4]) == {17, *ODD}
    assert both['galvae_outlier_score'].meta['galvae_votes'] == 'something-odd_yes_fraction'
    assert both['galvae_outlier_reason'][17].startswith('something-odd_yes 0.95')
    alone = add_outlier_scores(table, votes=())
    assert alone['galvae_outlier_rank'][17] > 4


def test_flagged_rows_teach_nothing_and_are_kept():
    latent, error = latent_tables.random_latents(400)
    flags = np.zeros(400)
    # a third of the table is the same odd galaxy, flagged
    flags[::3] = GalvaeFlags.POOR_FIT
    latent[::3, 0] += 9.0
    latent[5] = np.nan
    flags[5] = GalvaeFlags.NO_DATA
    flags[9] = GalvaeFlags.ARTIFACT
    latent[9, 1] += 20.0
    scored = add_outlier_scores(latent_tables.latent_table(latent, error, flags=flags))
    assert scored['galvae_outlier_p'][::3].max() < 0.02
    assert scored['galvae_outlier_score'].mask.nonzero()[0].tolist() == [5]
    # an artefact has a score, and no rank among galaxies
    assert scored['galvae_outlier_rank'].mask.nonzero()[0].tolist() == [5, 9]
    assert scored['galvae_outlier_score'][9] == scored['galvae_outlier_score'].max()
    assert sorted(scored['galvae_outlier_rank'].compressed()) == list(range(1, 399))


def test_flags_of_a_whole_image_do_not_count():
    flags = np.full(100, int(GalvaeFlags.SCALE_ESTIMATED))
    add_outlier_scores(latent_tables.simulated(100, flags=flags))
    with pytest.raises(ValueError, match='0 of 100 rows have latents and no flags'):
        add_outlier_scores(latent_tables.simulated(100, flags=flags | int(GalvaeFlags.FAINT)))


def test_galaxies_are_compared_with_others_when_asked():
    """What fills a table of its own is odd in a survey."""
    latent, error = latent_tables.random_latents(60, seed=3)
    latent[:, 0] += 15.0
    table = latent_tables.latent_table(latent, error)
    survey = latent_tables.simulated(500)
    p_values = add_outlier_scores(table, reference=survey)['galvae_outlier_p']
    assert p_values.max() < 0.01
    assert np.median(np.asarray(add_outlier_scores(table)['galvae_outlier_p'])) > 0.3


def test_wrong_calls_are_refused(other_bundle):
    table = latent_tables.simulated(50)
    with pytest.raises(ValueError, match="method is 'magic'; expected one of density"):
        add_outlier_scores(table, method='magic')
    with pytest.raises(ValueError, match='needs the predicted vote fractions'):
        add_outlier_scores(table, method='class-distance')
    with pytest.raises(KeyError, match="no column 'weird'"):
        add_outlier_scores(table, votes=['weird'])
    with pytest.raises(ModelMismatchError):
        add_outlier_scores(table, other_bundle)
    with pytest.raises(ModelMismatchError):
        add_outlier_scores(table, reference=latent_tables.simulated(50, model=other_bundle))
    with pytest.raises(KeyError, match='no latents'):
        add_outlier_scores(Table({'x': [1.0]}))
    with pytest.raises(ValueError, match='10 of 10 rows have latents and no flags; a score needs'):
        add_outlier_scores(latent_tables.simulated(10))
    scored = add_outlier_scores(table)
    with pytest.raises(ValueError, match='overwrite=True'):
        add_outlier_scores(scored)
    assert add_outlier_scores(scored, overwrite=True).colnames == scored.colnames
