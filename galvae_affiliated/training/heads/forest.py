# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A random forest a question, and its ONNX graph."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import RandomForestClassifier

from galvae_affiliated.exceptions import ParityError
from galvae_affiliated.models.votes import ASKED
from galvae_affiliated.training.export.graphs import OPSET, PARITY, export_graph, run_graph
from galvae_affiliated.training.heads.estimators import OUTPUTS, HeadEstimator

__all__ = ['ForestHeads']

SMALLEST = 1e-3  # a share of trees that is zero is not a fraction of zero
ML_OPSET = 3
# Leaves are what makes the file large; more of them add nothing to the scores.
SETTINGS = {'max_features': 'sqrt', 'min_samples_leaf': 3, 'max_leaf_nodes': 128,
            'class_weight': 'balanced_subsample', 'oob_score': True, 'n_jobs': -1}


class ForestHeads(HeadEstimator):
    """
    Random forests, one a question, that vote for its most voted answer.

    Parameters
    ----------
    n_trees : int, optional
        Of each question.
    random_state : int, optional
    """

    kind = 'forest'

    def __init__(self, n_trees=300, *, random_state=0):
        self.n_trees = n_trees
        self.random_state = random_state

    def fit(self, data, y=None):
        """
        Learn from latents and votes.

        Parameters
        ----------
        data : `~galvae_affiliated.training.heads.labelled.LabelledLatents`
        y : None

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If all galaxies that were asked a question gave the same answer.
        """
        latent = data.latent.numpy()
        self.n_answers_ = data.n_answers
        self.forests_, self.learnt_ = [], []
        for question, fractions, weight in zip(data.questions, data.fractions, data.weights):
            rows = np.flatnonzero(weight.numpy() >= ASKED)
            answers = fractions.numpy()[rows].argmax(axis=1)
            if len(np.unique(answers)) < 2:
                raise ValueError(f'question {question!r} has one answer only, among the '
                                 f'{len(rows)} galaxies that were asked it; a forest has nothing '
                                 'to tell apart')
            forest = RandomForestClassifier(self.n_trees, random_state=self.random_state,
                                            **SETTINGS)
            self.forests_.append(forest.fit(latent[rows].astype(np.float32), answers))
            self.learnt_.append(rows)
        return self

    def predict_log_proba(self, data):
        latent = getattr(data, 'latent', data).numpy()
        return np.concatenate([_log_shares(forest, forest.predict_proba(latent), n)
                               for forest, n in zip(self.forests_, self.n_answers_)], axis=1)

    def cross_log_proba(self, data):
        """By those trees alone that did not learn from a galaxy; see `HeadEstimator`."""
        logs = self.predict_log_proba(data)
        columns = np.split(logs, np.cumsum(self.n_answers_)[:-1], axis=1)  # views of them
        for own, forest, rows in zip(columns, self.forests_, self.learnt_):
            shares = forest.oob_decision_function_
            known = np.isfinite(shares).all(axis=1)  # of few trees, all may have seen a galaxy
            own[rows[known]] = _log_shares(forest, shares[known], own.shape[1])
        return logs

    def graph(self, calibration, latent, *, half_weights=False):
        tail = _CalibratedLogs(calibration, self.n_answers_)
        inputs = {'logs': torch.from_numpy(self.predict_log_proba(latent)), 'latent': latent}
        graph = _joined_graph(self.forests_, self.n_answers_, export_graph(tail, inputs, OUTPUTS))
        expected = tail(*inputs.values())[0].numpy()
        found = run_graph(graph, {'latent': latent.numpy()}, ['fractions'])[0]
        check_forest_parity(found, expected, self.n_answers_)
        return graph

    @property
    def about(self):
        return {'n_trees': self.n_trees}


def _log_shares(forest, shares, n_answers):
    """Logarithms of the shares of the trees, with the answers that no galaxy had."""
    full = np.zeros((len(shares), n_answers), dtype=np.float32)
    full[:, forest.classes_] = shares
    return np.log(np.maximum(full, SMALLEST))


def _joined_graph(forests, n_answers, tail):
    """Bytes of the graph of some forests and, behind them, of their calibration."""
    tail = onnx.load_from_string(tail)
    nodes, weights, shares = [], [], []
    for i, (forest, n) in enumerate(zip(forests, n_answers)):
        graph = _forest_graph(forest, f'forest{i}_')
        place = np.eye(n, dtype=np.float32)[forest.classes_]
        weights += [*graph.initializer, numpy_helper.from_array(place, f'forest{i}_place')]
        shares.append(f'forest{i}_answers')
        ends = [f'forest{i}_probabilities', f'forest{i}_place']
        nodes += [*graph.node, helper.make_node('MatMul', ends, [shares[-1]])]
    weights.append(numpy_helper.from_array(np.float32(SMALLEST), 'smallest'))
    nodes += [helper.make_node('Concat', shares, ['shares'], axis=1),
              helper.make_node('Max', ['shares', 'smallest'], ['raised']),
              helper.make_node('Log', ['raised'], ['logs'])]
    n_latents = forests[0].n_features_in_
    entry = helper.make_tensor_value_info('latent', TensorProto.FLOAT, ['rows', n_latents])
    whole = helper.make_graph([*nodes, *tail.graph.node], 'heads', [entry], tail.graph.output,
                              [*weights, *tail.graph.initializer])
    opsets = [helper.make_opsetid('', OPSET), helper.make_opsetid('ai.onnx.ml', ML_OPSET)]
    model = helper.make_model(whole, opset_imports=opsets, ir_version=tail.ir_version)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _forest_graph(forest, prefix):
    """A forest from 'latent' to '<prefix>probabilities', with names of its own."""
    # here, as the other kinds of heads do without it
    from skl2onnx import to_onnx

    model = to_onnx(forest, np.zeros((1, forest.n_features_in_), np.float32),
                    options={'zipmap': False}, target_opset={'': OPSET, 'ai.onnx.ml': ML_OPSET})
    graph = onnx.compose.add_prefix(model, prefix).graph
    entry = graph.input[0].name
    for node in graph.node:
        node.input[:] = ['latent' if name == entry else name for name in node.input]
    return graph


class _CalibratedLogs(torch.nn.Module):
    """The calibration as a graph of its own."""

    def __init__(self, calibration, n_answers):
        super().__init__()
        self.calibration = calibration
        self.n_answers = n_answers

    def forward(self, logs, latent):
        logs = self.calibration.log_fractions(logs.split(self.n_answers, dim=1))
        return torch.cat([x.exp() for x in logs], dim=1), self.calibration.concentration(latent)


def check_forest_parity(found, expected, n_answers):
    """
    Raise unless a graph gives the fractions that scikit-learn gives, on every row.

    Parameters
    ----------
    found, expected : (N, n_columns) arrays
        Of ONNX Runtime and of scikit-learn.
    n_answers : list of int

    Raises
    ------
    ParityError
        If they differ, or another answer is the likeliest for any of the rows.
    """
    ends = np.cumsum(n_answers)[:-1]
    for i, (ours, theirs) in enumerate(zip(np.split(found, ends, 1), np.split(expected, ends, 1))):
        difference = np.abs(ours - theirs).max()
        if not difference <= PARITY:
            raise ParityError(f'the forest of question {i} differs between scikit-learn and ONNX '
                              f'Runtime by {difference:.2g}, more than {PARITY}')
        # where two answers are as likely, either may come first
        gap = -np.diff(np.sort(theirs, axis=1)[:, ::-1][:, :2], axis=1)[:, 0]
        other = (ours.argmax(1) != theirs.argmax(1)) & (gap > 1e-6)
        if other.any():
            raise ParityError(f'the forest of question {i} gives {other.sum()} of {len(other)} '
                              'galaxies another answer in ONNX Runtime than in scikit-learn')
