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

__all__ = ['ForestHeads', 'export_forest', 'fit_forest']

SMALLEST = 1e-3  # a share of trees that is zero is not a fraction of zero
ML_OPSET = 3
# Leaves are what makes the file large; more of them add nothing to the scores.
SETTINGS = {'max_features': 'sqrt', 'min_samples_leaf': 3, 'max_leaf_nodes': 128, 'class_weight': 'balanced_subsample'}


class ForestHeads:
    """
    Random forests, one a question, that vote for its most voted answer.

    Parameters
    ----------
    forests : list of `~sklearn.ensemble.RandomForestClassifier`
    n_answers : list of int
    """

    def __init__(self, forests, n_answers):
        self.forests, self.n_answers = forests, list(n_answers)

    def log_fractions(self, latent):
        """List of (N, n_answers) tensors, the logarithms of the shares of the trees."""
        return [self.logs(forest, forest.predict_proba(latent.numpy()), n)
                for forest, n in zip(self.forests, self.n_answers)]

    def out_of_bag(self, data, learnt):
        """The same, by those trees alone that did not learn from a galaxy."""
        logs = self.log_fractions(data.latent)
        for log, forest, n, rows in zip(logs, self.forests, self.n_answers, learnt):
            shares = forest.oob_decision_function_
            known = np.isfinite(shares).all(axis=1)  # of a few trees, every one may have seen a galaxy
            log[torch.from_numpy(rows[known])] = self.logs(forest, shares[known], n)
        return logs

    @staticmethod
    def logs(forest, shares, n_answers):
        """Logarithms, with the answers that no galaxy had."""
        full = np.zeros((len(shares), n_answers), dtype=np.float32)
        full[:, forest.classes_] = shares
        return torch.from_numpy(np.log(np.maximum(full, SMALLEST)))


def fit_forest(data, questions, *, n_trees=300, random_state=0):
    """
    Fit the forests.

    Parameters
    ----------
    data : `~galvae_affiliated.training.heads.networks.LabelledLatents`
    questions : list of str
    n_trees : int, optional
        Of each question.
    random_state : int, optional

    Returns
    -------
    heads : `ForestHeads`
    logs : list of (N, n_answers) tensors
        What the trees say of the galaxies that they did not learn from.

    Raises
    ------
    ValueError
        If all galaxies that were asked a question gave the same answer.
    """
    forests, learnt = [], []
    for question, fractions, weight in zip(questions, data.fractions, data.weights):
        rows = np.flatnonzero(weight.numpy() >= ASKED)
        answers = fractions.numpy()[rows].argmax(axis=1)
        if len(np.unique(answers)) < 2:
            raise ValueError(f'question {question!r} has one answer only, among the {len(rows)} galaxies that were '
                             'asked it; a forest has nothing to tell apart')
        forest = RandomForestClassifier(n_trees, oob_score=True, n_jobs=-1, random_state=random_state, **SETTINGS)
        forests.append(forest.fit(data.latent.numpy()[rows].astype(np.float32), answers))
        learnt.append(rows)
    heads = ForestHeads(forests, data.n_answers)
    return heads, heads.out_of_bag(data, learnt)


def export_forest(heads, calibration, latent):
    """
    The graph of forests and their calibration, compared with scikit-learn.

    Parameters
    ----------
    heads : `ForestHeads`
    calibration : `~galvae_affiliated.training.heads.calibration.Calibration`
    latent : (N, n_latents) float32 tensor
        Real latents to compare on; at least three.

    Returns
    -------
    graph : bytes
        Input ``latent``, outputs ``fractions`` and ``concentration``.

    Raises
    ------
    ParityError
        If the graph does not give what scikit-learn gives, or another likeliest answer for any of the latents.
    """
    tail = onnx.load_from_string(export_graph(CalibratedLogs(calibration, heads.n_answers),
                                              {'logs': torch.cat(heads.log_fractions(latent), 1), 'latent': latent},
                                              ['fractions', 'concentration']))
    nodes, weights, shares = [], [], []
    for i, (forest, n) in enumerate(zip(heads.forests, heads.n_answers)):
        graph = forest_graph(forest, f'forest{i}_')
        place = np.eye(n, dtype=np.float32)[forest.classes_]
        weights += [*graph.initializer, numpy_helper.from_array(place, f'forest{i}_place')]
        shares.append(f'forest{i}_answers')
        nodes += [*graph.node,
                  helper.make_node('MatMul', [f'forest{i}_probabilities', f'forest{i}_place'], [shares[-1]])]
    weights.append(numpy_helper.from_array(np.float32(SMALLEST), 'smallest'))
    nodes += [helper.make_node('Concat', shares, ['shares'], axis=1),
              helper.make_node('Max', ['shares', 'smallest'], ['raised']),
              helper.make_node('Log', ['raised'], ['logs'])]
    entry = helper.make_tensor_value_info('latent', TensorProto.FLOAT, ['rows', latent.shape[1]])
    whole = helper.make_graph([*nodes, *tail.graph.node], 'heads', [entry], tail.graph.output,
                              [*weights, *tail.graph.initializer])
    opsets = [helper.make_opsetid('', OPSET), helper.make_opsetid('ai.onnx.ml', ML_OPSET)]
    model = helper.make_model(whole, opset_imports=opsets, ir_version=tail.ir_version)
    onnx.checker.check_model(model)
    graph = model.SerializeToString()
    check_forest_parity(graph, heads, calibration, latent)
    return graph


def forest_graph(forest, prefix):
    """A forest's nodes and constants, with names of their own, from 'latent' to '<prefix>probabilities'."""
    from skl2onnx import to_onnx

    model = to_onnx(forest, np.zeros((1, forest.n_features_in_), np.float32), options={'zipmap': False},
                    target_opset={'': OPSET, 'ai.onnx.ml': ML_OPSET})
    graph = onnx.compose.add_prefix(model, prefix).graph
    entry = graph.input[0].name
    for node in graph.node:
        node.input[:] = ['latent' if name == entry else name for name in node.input]
    return graph


class CalibratedLogs(torch.nn.Module):
    """The calibration as a graph of its own."""

    def __init__(self, calibration, n_answers):
        super().__init__()
        self.calibration, self.n_answers = calibration, n_answers

    def forward(self, logs, latent):
        logs = self.calibration.log_fractions(logs.split(self.n_answers, dim=1))
        return torch.cat([x.exp() for x in logs], dim=1), self.calibration.concentration(latent)


def check_forest_parity(graph, heads, calibration, latent):
    """Raise unless the graph answers as scikit-learn does, on every row."""
    found = run_graph(graph, {'latent': latent.numpy()}, ['fractions'])[0]
    expected = torch.cat([x.exp() for x in calibration.log_fractions(heads.log_fractions(latent))], 1).numpy()
    start = 0
    for i, n in enumerate(heads.n_answers):
        ours, theirs = found[:, start:start + n], expected[:, start:start + n]
        start += n
        difference = np.abs(ours - theirs).max()
        if not difference <= PARITY:
            raise ParityError(f'the forest of question {i} differs between scikit-learn and ONNX Runtime by '
                              f'{difference:.2g}, more than {PARITY}')
        # where two answers are as likely, either may come first
        gap = -np.diff(np.sort(theirs, axis=1)[:, ::-1][:, :2], axis=1)[:, 0]
        other = (ours.argmax(1) != theirs.argmax(1)) & (gap > 1e-6)
        if other.any():
            raise ParityError(f'the forest of question {i} gives {other.sum()} of {len(other)} galaxies another '
                              'answer in ONNX Runtime than in scikit-learn')
