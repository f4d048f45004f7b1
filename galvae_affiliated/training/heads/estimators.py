# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The one contract of all kinds of heads, as scikit-learn has it, and those of PyTorch."""

import math

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import KFold, cross_val_predict
from torch import nn

from galvae_affiliated.training.export.graphs import export_graph
from galvae_affiliated.training.heads.labelled import mean_divergence
from galvae_affiliated.training.networks.vote_heads import VoteHeads, dirichlet_loss, vote_loss

__all__ = ['GalaxyFolds', 'GuideHeads', 'HeadEstimator', 'NetworkHeads', 'folds']

OUTPUTS = ['fractions', 'concentration']
BATCH = 512
N_FOLDS = 5
CROSS_MEMBERS = 2  # heads a fold, where their answers are only compared with votes
UNSELECTED_FACTOR = 2.0  # how much oftener galaxies are drawn that votes did not select


def folds(n_splits):
    """The `GalaxyFolds` by which heads are judged."""
    return GalaxyFolds(n_splits)


class GalaxyFolds:
    """
    Shuffled folds of galaxies, as scikit-learn takes them: all views of one are in the same.

    Parameters
    ----------
    n_splits : int
    """

    def __init__(self, n_splits):
        self.n_splits = n_splits

    def get_n_splits(self, X=None, y=None, groups=None):
        """int: How many folds there are."""
        return self.n_splits

    def split(self, X, y=None, groups=None):
        """Yield rows to learn from and rows to judge by, of a `LabelledLatents`."""
        galaxy = X.galaxy.numpy()
        known = np.unique(galaxy)
        for _, judged in KFold(self.n_splits, shuffle=True, random_state=0).split(known):
            is_judged = np.isin(galaxy, known[judged])
            yield np.flatnonzero(~is_judged), np.flatnonzero(is_judged)


class HeadEstimator(BaseEstimator):
    """
    What predicts the votes of galaxies from their latents.

    A kind of head has the methods below, which are all that the rest of the package asks of it.
    """

    kind = None

    def fit(self, data, y=None):
        """
        Learn from latents and votes.

        Parameters
        ----------
        data : `~galvae_affiliated.training.heads.labelled.LabelledLatents`
        y : None
            The votes are in ``data``, as they are soft, weighted, and of several questions.

        Returns
        -------
        self : object
        """
        raise NotImplementedError

    def predict_log_proba(self, data):
        """
        Predict fractions.

        Parameters
        ----------
        data : `~galvae_affiliated.training.heads.labelled.LabelledLatents` or (N, n_latents) tensor

        Returns
        -------
        logs : (N, n_columns) float32 array
            Log-fractions, the questions' answers one after the other.
        """
        raise NotImplementedError

    def predict(self, data):
        """(N, n_columns) fractions, of what `predict_log_proba` takes."""
        return np.exp(self.predict_log_proba(data))

    def graph(self, calibration, latent, *, half_weights=False):
        """
        The ONNX graph of the calibrated heads, compared with what it was made from.

        Parameters
        ----------
        calibration : `~galvae_affiliated.training.heads.calibration.Calibration`
        latent : (N, n_latents) tensor
            Latents to compare on; at least three.
        half_weights : bool, optional
            See `~galvae_affiliated.training.export.graphs.export_graph`.

        Returns
        -------
        graph : bytes
            Input ``latent``, outputs ``fractions`` and ``concentration``.

        Raises
        ------
        ParityError
            If the graph does not give what it was made from.
        """
        raise NotImplementedError

    def cross_log_proba(self, data):
        """
        What such heads say of galaxies that they did not learn from.

        Parameters
        ----------
        data : `~galvae_affiliated.training.heads.labelled.LabelledLatents`
            That these heads were fitted on.

        Returns
        -------
        logs : (N, n_columns) array
        """
        raise NotImplementedError

    def score(self, data, y=None):
        """The negative mean divergence from the votes; more is better."""
        return -mean_divergence(data.split_answers(self.predict_log_proba(data)), data)

    @property
    def about(self):
        """dict: What a manifest says of them besides their kind."""
        return {}


class TorchHeads(HeadEstimator):
    """Heads whose ``heads_`` are a module of PyTorch with ``log_fractions``."""

    @torch.no_grad()
    def predict_log_proba(self, data):
        latent = getattr(data, 'latent', data)
        return torch.cat(self.heads_.log_fractions(latent), 1).numpy()

    def graph(self, calibration, latent, *, half_weights=False):
        module = _CalibratedHeads(self.heads_, calibration)
        return export_graph(module, {'latent': latent}, OUTPUTS, half_weights=half_weights)


class GuideHeads(TorchHeads):
    """
    The heads that guided the latents while these were learnt; they are as they are.

    Parameters
    ----------
    heads : `~galvae_affiliated.training.networks.vote_heads.VoteHeads`
    """

    kind = 'guide'

    def __init__(self, heads):
        self.heads = heads

    def fit(self, data, y=None):
        self.heads_ = self.heads
        return self

    def cross_log_proba(self, data):
        # they learnt from the images: no fold is without its galaxies
        return self.predict_log_proba(data)


class NetworkHeads(TorchHeads):
    """
    An ensemble of small networks, or logistic regressions, of every question's fractions.

    Each member starts from other weights, and sees latents drawn from their
    posteriors, so that it does not lean on what the encoder is not sure of.

    Parameters
    ----------
    kind : {'network', 'dirichlet', 'logistic'}, optional
    n_members, steps : int, optional
        How many heads, and how often each is updated.
    weight_decay : float, optional
    noise : float, optional
        Of the latents that a member sees, in their errors.
    n_volunteers : int, optional
        Votes of a question that everybody was asked; only 'dirichlet' uses it.
    random_state : int, optional
    """

    def __init__(self, kind='network', *, n_members=8, steps=1500, weight_decay=0.02, noise=1.0,
                 n_volunteers=40, random_state=0):
        self.kind = kind
        self.n_members = n_members
        self.steps = steps
        self.weight_decay = weight_decay
        self.noise = noise
        self.n_volunteers = n_volunteers
        self.random_state = random_state

    def fit(self, data, y=None):
        if self.kind not in NETWORKS:
            raise ValueError(f'the kind of head is {self.kind!r}; expected one of '
                             f'{", ".join(NETWORKS)}')
        members = [self._fit_member(data, self.random_state + i) for i in range(self.n_members)]
        self.heads_ = HeadEnsemble(members)
        return self

    def _fit_member(self, data, random_state):
        network, rate = NETWORKS[self.kind]
        drawn = 1.0 + (UNSELECTED_FACTOR - 1.0) * data.unselected
        torch.manual_seed(random_state)
        head = network(data.latent.shape[1], data.n_answers)
        optimizer = torch.optim.AdamW(head.parameters(), rate, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, self.steps)
        order = torch.multinomial(drawn, BATCH * self.steps, replacement=True)
        for rows in order.split(BATCH):
            error = self.noise * data.error[rows]
            latent = data.latent[rows] + error * torch.randn_like(error)
            loss = head.vote_loss(latent, [f[rows] for f in data.fractions],
                                  [w[rows] for w in data.weights], self.n_volunteers)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        return head.eval().requires_grad_(False)

    def cross_log_proba(self, data):
        few = clone(self).set_params(n_members=min(self.n_members, CROSS_MEMBERS))
        return cross_val_predict(few, data, cv=folds(N_FOLDS), method='predict_log_proba')

    @property
    def about(self):
        return {'n_members': self.n_members, 'weight decay': self.weight_decay,
                'noise, errors of the latents': self.noise}


class CrossEntropyHeads(VoteHeads):
    """A small network that is fitted to the fractions by their cross-entropy."""

    def vote_loss(self, latent, fractions, weights, n_volunteers):
        """Of a batch; the number of volunteers does not matter."""
        return vote_loss(self.log_fractions(latent), fractions, weights)


class LogisticHeads(CrossEntropyHeads):
    """
    Multinomial logistic regression of every question's fractions.

    Parameters
    ----------
    n_latents : int
    n_answers : list of int
    """

    def __init__(self, n_latents, n_answers):
        super().__init__(n_latents, n_answers)
        self.layers = nn.Linear(n_latents, sum(self.n_answers))


class DirichletHeads(VoteHeads):
    """
    A small network whose fractions are drawn from a Dirichlet distribution, votes from these.

    After the loss of Walmsley et al. (2022). What it finds of the scatter is
    replaced when the heads are calibrated.

    Parameters
    ----------
    n_latents : int
    n_answers : list of int

    References
    ----------
    Walmsley, M. et al. 2022, MNRAS 509, 3966.
    """

    def __init__(self, n_latents, n_answers):
        super().__init__(n_latents, n_answers)
        self.scatter = nn.Linear(n_latents, len(self.n_answers))
        nn.init.zeros_(self.scatter.weight)
        nn.init.constant_(self.scatter.bias, math.log(10.0))

    def vote_loss(self, latent, fractions, weights, n_volunteers):
        """Of a batch."""
        concentration = self.scatter(latent).exp().clamp(0.5, 500.0)
        return dirichlet_loss(self.log_fractions(latent), concentration, fractions, weights,
                              n_volunteers)


# kind of head: its network and learning rate
NETWORKS = {
    'network': (CrossEntropyHeads, 3e-3),
    'dirichlet': (DirichletHeads, 3e-3),
    'logistic': (LogisticHeads, 1e-2),
}


class HeadEnsemble(nn.Module):
    """
    The mean of the fractions that several heads predict.

    Parameters
    ----------
    heads : list of `~galvae_affiliated.training.networks.vote_heads.VoteHeads`
    """

    def __init__(self, heads):
        super().__init__()
        self.members = nn.ModuleList(heads)

    def log_fractions(self, latent):
        """List of (N, n_answers) log-fractions, a question each."""
        every = [member.log_fractions(latent) for member in self.members]
        return [torch.logsumexp(torch.stack(logs), 0) - math.log(len(every))
                for logs in zip(*every)]


class _CalibratedHeads(nn.Module):
    """Latents to calibrated fractions and concentrations."""

    def __init__(self, heads, calibration):
        super().__init__()
        self.heads = heads
        self.calibration = calibration

    def forward(self, latent):
        logs = self.calibration.log_fractions(self.heads.log_fractions(latent))
        return torch.cat([x.exp() for x in logs], dim=1), self.calibration.concentration(latent)
