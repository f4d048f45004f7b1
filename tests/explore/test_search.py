# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A person looks, and what is shown next is learnt."""

import latent_tables
import numpy as np
import pytest

from galvae_affiliated import ModelMismatchError
from galvae_affiliated.explore import ActiveSearch
from galvae_affiliated.flags import GalvaeFlags


def sought_galaxies(n_rows=600, n_sought=40):
    """A table, and which of its rows are sought: those far in one direction."""
    latent, error = latent_tables.random_latents(n_rows)
    is_sought = np.zeros(n_rows, dtype=bool)
    is_sought[:n_sought] = True
    latent[is_sought, 2] += 3.0
    flags = np.zeros(n_rows)
    latent[-1] = np.nan
    flags[-1] = GalvaeFlags.NO_DATA
    flags[-3:-1] = GalvaeFlags.ARTIFACT
    return latent_tables.latent_table(latent, error, flags=flags), is_sought


def look(search, is_sought, n_rounds, n=20):
    """Answer some rounds; the number of sought ones among them."""
    n_found = 0
    for _ in range(n_rounds):
        for row in search.next_rows(n):
            search.answer(row, 'interesting' if is_sought[row] else 'boring')
            n_found += is_sought[row]
    return n_found


def test_a_person_finds_more_than_the_plain_score_and_chance(tmp_path):
    table, is_sought = sought_galaxies()
    search = ActiveSearch(table, tmp_path / 'a.jsonl')
    n_plain = is_sought[np.argsort(-np.nan_to_num(search.plain, nan=-1))[:100]].sum()
    n_found = look(search, is_sought, 5)
    assert n_found >= max(30, n_plain + 8)
    assert len(search.answers) == 100


def test_one_example_begins_a_search(tmp_path):
    table, is_sought = sought_galaxies()
    search = ActiveSearch(table, tmp_path / 'a.jsonl', like=[0])
    assert 0 not in search.next_rows(599)
    assert look(search, is_sought, 5) >= 25


def test_every_answer_is_on_the_disk_at_once(tmp_path):
    table, is_sought = sought_galaxies()
    path = tmp_path / 'a.jsonl'
    search = ActiveSearch(table, path)
    for i, row in enumerate(search.next_rows(5)):
        search.answer(row, 'boring')
        assert len(path.read_bytes().splitlines()) == i + 2
    look(search, is_sought, 2)
    # a process that was killed, even in the middle of a line, goes on with the same rows
    with open(path, 'ab') as file:
        file.write(b'{"row": 17, "ans')
    again = ActiveSearch(table, path)
    assert again.answers == search.answers
    assert again.next_rows().tolist() == search.next_rows().tolist()
    again.answer(17, 'artifact')
    assert ActiveSearch(table, path).answers[17] == 'artifact'


def test_a_file_that_was_cut_in_its_first_line_begins_anew(tmp_path):
    table, _ = sought_galaxies()
    (tmp_path / 'a.jsonl').write_bytes(b'{"model')
    search = ActiveSearch(table, tmp_path / 'a.jsonl')
    assert search.answers == {}
    search.answer(3, 'boring')
    assert ActiveSearch(table, tmp_path / 'a.jsonl').answers == {3: 'boring'}


def test_the_last_word_counts_and_can_be_taken_back(tmp_path):
    table, _ = sought_galaxies()
    search = ActiveSearch(table, tmp_path / 'a.jsonl')
    assert search.undo() is None
    search.answer(3, 'boring')
    search.answer(8, 'boring')
    search.answer(3, 'interesting')
    assert ActiveSearch(table, tmp_path / 'a.jsonl').answers == {8: 'boring', 3: 'interesting'}
    assert search.undo() == 3
    assert search.answers == {8: 'boring'}
    assert ActiveSearch(table, tmp_path / 'a.jsonl').answers == {8: 'boring'}
    assert 3 in search.next_rows(599)


def test_each_row_is_shown_once_and_what_is_no_galaxy_last(tmp_path):
    table, is_sought = sought_galaxies()
    search = ActiveSearch(table, tmp_path / 'a.jsonl')
    shown = search.next_rows(1000)
    assert sorted(shown) == list(range(599))  # not the one without latents
    assert set(shown[-2:]) == {597, 598}
    look(search, is_sought, 3)
    assert not set(search.answers) & set(search.next_rows(1000))


def test_columns_hold_scores_and_answers(tmp_path):
    table, is_sought = sought_galaxies()
    search = ActiveSearch(table, tmp_path / 'a.jsonl')
    look(search, is_sought, 4)
    scored = search.add_score()
    score = scored['galvae_search_score']
    assert score.mask.nonzero()[0].tolist() == [599]
    assert 0 <= score.min() and score.max() <= 1
    assert np.asarray(score[:40]).mean() > np.asarray(score[40:599]).mean() + 0.3
    answered = scored['galvae_search_answer']
    assert (~answered.mask).sum() == 80
    assert scored['galvae_search_answer'].compressed().tolist().count('interesting') == sum(
        is_sought[row] for row in search.answers)
    assert search.latents.model.id in score.description


def test_the_score_of_the_table_is_what_is_shown_first(tmp_path):
    table, _ = sought_galaxies()
    table['galvae_outlier_score'] = np.arange(600.0)
    assert ActiveSearch(table, tmp_path / 'a').next_rows(3).tolist() == [596, 595, 594]
    search = ActiveSearch(table, tmp_path / 'a', score=-np.arange(600.0))
    assert search.next_rows(3).tolist() == [0, 1, 2]


def test_answers_to_other_latents_are_refused(tmp_path, other_bundle):
    table, _ = sought_galaxies()
    ActiveSearch(table, tmp_path / 'a.jsonl').answer(1, 'boring')
    with pytest.raises(ValueError, match='a.jsonl is of other latents'):
        ActiveSearch(table[::-1], tmp_path / 'a.jsonl')
    with pytest.raises(ModelMismatchError):
        ActiveSearch(table, tmp_path / 'b.jsonl', model=other_bundle)
    (tmp_path / 'c.jsonl').write_text('{"row": 1}\nno\n')
    with pytest.raises(ValueError, match='c.jsonl: this is no file of answers'):
        ActiveSearch(table, tmp_path / 'c.jsonl')


def test_wrong_calls_are_refused(tmp_path):
    table, _ = sought_galaxies()
    search = ActiveSearch(table, tmp_path / 'a.jsonl')
    with pytest.raises(ValueError, match="answer is 'great'; expected one of interesting"):
        search.answer(3, 'great')
    with pytest.raises(IndexError, match='no row 600; the table has 600'):
        search.answer(600, 'boring')
    with pytest.raises(ValueError, match='row 599 has no latents'):
        ActiveSearch(table, tmp_path / 'a.jsonl', like=599)
    with pytest.raises(KeyError, match="no column 'nothing'"):
        ActiveSearch(table, tmp_path / 'a.jsonl', score='nothing')
    with pytest.raises(ValueError, match='the score has shape'):
        ActiveSearch(table, tmp_path / 'a.jsonl', score=np.zeros(3))
    assert not (tmp_path / 'a.jsonl').exists()  # nothing was said
