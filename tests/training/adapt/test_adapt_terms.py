# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Terms that bring latents together, and how much each of them pulls."""

import importlib.util

import numpy as np
import pytest

torch = pytest.importorskip('torch')

from galvae_affiliated.training.adapt.balance import GradientBalance, gradients_of  # noqa: E402
from galvae_affiliated.training.adapt.options import LOSSES, AdaptationOptions  # noqa: E402
from galvae_affiliated.training.adapt.terms import TERMS, Codes, make_terms  # noqa: E402

N, D = 300, 5
DIVERGENCES = ['mmd', 'conditional-mmd', 'coral']
if importlib.util.find_spec('geomloss'):
    DIVERGENCES.append('sinkhorn')


def normal(n=N, shift=0.0, width=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return shift + width * torch.randn(n, D, generator=generator)


def codes(source, target, source_answers=None, target_answers=None, **others):
    """`Codes` of two sets; what is not given is empty."""
    none = torch.empty(0, D)
    names = ('target_known', 'memory', 'view', 'view_known', 'pair', 'pair_known')
    empty = dict.fromkeys(names, none)
    answers = [torch.zeros(len(x), 0) if a is None else a for x, a in
               ((source, source_answers), (target, target_answers))]
    empty['memory_answers'] = torch.empty(0, answers[1].shape[1])
    return Codes(source=source, source_answers=answers[0], target=target,
                 target_answers=answers[1], **{**empty, **others})


def value(name, *args, **others):
    torch.manual_seed(0)
    return float(make_terms([name], D)[name](codes(*args, **others)))


def test_every_loss_has_a_term():
    assert set(LOSSES) == set(TERMS)


@pytest.mark.parametrize('name', DIVERGENCES)
@pytest.mark.parametrize('other', [{'shift': 0.5}, {'width': 1.6}], ids=str)
def test_a_divergence_grows_with_the_difference(name, other):
    same = value(name, normal(), normal(seed=1))
    assert value(name, normal(), normal(seed=1, **other)) > abs(same) + 1e-4


@pytest.mark.parametrize('name', ['mmd', 'conditional-mmd'])
def test_the_discrepancy_is_not_biased(name):
    found = [value(name, normal(40, seed=i), normal(40, seed=100 + i)) for i in range(40)]
    assert abs(np.mean(found)) < 3.0 * np.std(found) / np.sqrt(len(found))
    assert min(found) < 0.0


def test_the_memory_counts_as_the_target():
    target = normal(seed=1, shift=0.3)
    whole = value('mmd', normal(), target)
    assert value('mmd', normal(), target[:100], memory=target[100:]) == pytest.approx(whole)


def test_kinds_that_are_more_frequent_are_not_pulled_to_others():
    """Two kinds, each alike in both surveys, nine of ten against one of ten."""
    def mixed(share, seed):
        kind = (torch.arange(N) < share * N).float()[:, None]
        return normal(seed=seed, width=0.3) + 3.0 * kind, 2.0 * kind

    (source, kinds), (target, other_kinds) = mixed(0.9, 0), mixed(0.1, 1)
    plain = value('mmd', source, target)
    target = target.requires_grad_()
    pulls = {}
    for name in ('mmd', 'conditional-mmd'):
        loss = make_terms([name], D)[name](codes(source, target, kinds, other_kinds))
        gradient, = torch.autograd.grad(loss, target)
        # of the frequent kind, to the other one
        pulls[name] = float(-gradient[N // 10:].mean())
    assert plain > 0.1
    assert pulls['mmd'] > 0
    assert pulls['conditional-mmd'] < 0.2 * pulls['mmd']


def test_an_adversary_learns_and_the_encoder_unlearns():
    source, target = normal(), normal(seed=1, shift=1.0).requires_grad_()
    torch.manual_seed(0)
    term = make_terms(['adversarial'], D)['adversarial']
    critic = torch.optim.Adam(term.parameters(), 1e-2)
    for _ in range(60):
        critic.zero_grad()
        loss = term(codes(source, target.detach()))
        loss.backward()
        critic.step()
    assert float(loss.detach()) < 0.4  # log 2 is chance
    own = {'adversarial': list(term.parameters())}
    found = gradients_of({'adversarial': term(codes(source, target))}, target, own)
    # down this gradient the surveys are harder to tell apart: towards the source
    moved = target - 0.5 * N * found['adversarial']
    assert float((moved - target).detach().mean()) < -0.01
    assert float(term(codes(source, moved)).detach()) > float(loss.detach()) + 0.02
    assert all(p.grad is not None for p in term.parameters())


def test_consistency_and_pairs_are_distances():
    view, known = normal(seed=1), normal(seed=2)
    source, target = normal(), normal(seed=3)
    both = {'view': view, 'view_known': known}
    expected = float((view - known).square().mean())
    assert value('consistency', source, target, **both) == pytest.approx(expected)
    more = value('consistency', source, target, target_known=source, **both)
    assert more == pytest.approx(expected + float((target - source).square().mean()))
    assert value('pairs', source, target, pair=view, pair_known=known) == pytest.approx(expected)
    assert value('pairs', source, target) == 0.0


def test_weights_follow_the_size_of_the_gradients():
    """A term that is a millionth of another pulls as much."""
    balance = GradientBalance(['large', 'small'], tolerance=0.2)
    gradient = normal(20)
    gradients = {'large': gradient, 'small': 1e-6 * gradient}
    weights = balance.weights(gradients, 10, D)
    sizes = [weights[name] * float(gradients[name].norm()) for name in gradients]
    assert sizes == pytest.approx([0.2 / np.sqrt(10 * D)] * 2)
    # the anchor of galaxies that are 0.2 standard deviations away pulls as much as both
    away = torch.full((10, D), 0.2, requires_grad=True)
    anchor, = torch.autograd.grad(away.square().mean(), away)
    assert float(anchor.norm()) == pytest.approx(sum(sizes))
    balance.relax()
    assert balance.weights(gradients, 10, D)['large'] == pytest.approx(0.5 * weights['large'])
    other = GradientBalance(['large', 'small'], tolerance=0.2)
    other.load(balance.state())
    assert other.strength == 0.5 and other.sizes == balance.sizes


def test_a_term_that_does_not_act_has_no_weight_without_end():
    balance = GradientBalance(['none'], tolerance=0.2)
    weights = balance.weights({'none': torch.zeros(4, D)}, 4, D)
    assert np.isfinite(weights['none'])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'losses': ('mdm',)}, "no loss 'mdm'; did you mean 'mmd'"),
        ({'losses': ()}, 'losses is empty'),
        ({'steps': 0}, 'steps is 0; expected a whole number of at least 1'),
        ({'batch_size': 2.5}, 'batch_size is 2.5'),
        ({'tolerance': -1.0}, 'tolerance is -1.0; expected a positive number'),
        ({'max_source_loss': float('nan')}, 'max_source_loss is nan'),
        ({'held_out_share': 0.9}, 'held_out_share is 0.9'),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        AdaptationOptions(**options)


def test_options_as_entries():
    options = AdaptationOptions(losses='mmd', steps=3)
    assert options.losses == ('mmd',)
    assert options.entries()['losses'] == ['mmd']
    assert AdaptationOptions(losses=('mmd', 'coral', 'mmd')).losses == ('mmd', 'coral')
