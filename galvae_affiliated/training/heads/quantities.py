# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Regression of any quantity from the latents, with errors calibrated on galaxies left out."""

import math
from dataclasses import dataclass

import astropy.units as u
import numpy as np
import onnx
import torch
from torch import nn

from galvae_affiliated.models.quantities import quantity_unit
from galvae_affiliated.models.self_test import SELF_TEST, self_test
from galvae_affiliated.training.evaluate.quantities import quantity_scores
from galvae_affiliated.training.export.graphs import export_graph
from galvae_affiliated.training.heads.quantity_networks import (
    LEAST_ERROR,
    apply_predictor,
    fit_networks,
    fit_ridge,
)

__all__ = ['QuantityModel', 'fit_quantities', 'with_quantities']

LEAST_GALAXIES = 20  # with a known value; fewer fit and calibrate nothing
N_FOLDS = 5
ONE_SIGMA = 0.6827  # share of a normal distribution within one standard deviation
# columns galvae_<name> that are there already
RESERVED = ('latent', 'latent_err', 'pose', 'recon_chi2', 'radius', 'flags')


@dataclass(frozen=True)
class QuantityModel:
    """
    What `fit_quantities` has found.

    Attributes
    ----------
    names : tuple of str
        The quantities.
    n_latents : int
    radius_unit : {'arcsec', 'pix'} or None
        Of the radii that are a feature; None if they are not.
    centre, spread : (n_quantities,) float arrays
        Mean and standard deviation of each quantity's values.
    graph : `torch.nn.Module`
        Latents, and radii, to the values and errors in these units.
    report : dict of str to dict
        For each quantity how well galaxies left out are predicted; see `fit_quantities`.
    """

    names: tuple
    n_latents: int
    radius_unit: str | None
    centre: np.ndarray
    spread: np.ndarray
    graph: nn.Module
    report: dict

    @torch.no_grad()
    def predict(self, latent, radius=None):
        """
        Predict in PyTorch, as the exported graph does in ONNX Runtime.

        Parameters
        ----------
        latent : (N, n_latents) array
        radius : (N,) array, optional
            In ``radius_unit``.

        Returns
        -------
        values, errors : (N, n_quantities) float arrays
            NaN where an input is.
        """
        inputs = [latent] if self.radius_unit is None else [latent, radius]
        inputs = [torch.from_numpy(np.asarray(x, dtype=np.float32)) for x in inputs]
        values, errors = (x.double().numpy() for x in self.graph(*inputs))
        return values * self.spread + self.centre, errors * self.spread


class _QuantityGraph(nn.Module):
    """
    Latents, and radii, to the values and errors of all quantities, in units of their spreads.

    ``centre`` and ``spread`` standardise the features; each predictor's errors are multiplied by
    its scale.
    """

    def __init__(self, centre, spread, predictors, scales):
        super().__init__()
        self.register_buffer('centre', torch.tensor(centre, dtype=torch.float32))
        self.register_buffer('spread', torch.tensor(spread, dtype=torch.float32))
        self.register_buffer('scales', torch.tensor(scales, dtype=torch.float32))
        self.predictors = nn.ModuleList(predictors)

    def forward(self, latent, radius=None):
        features = latent
        if radius is not None:
            features = torch.cat([latent, torch.log10(radius)[:, None]], dim=1)
        features = (features - self.centre) / self.spread
        values, errors = zip(*(predictor(features) for predictor in self.predictors))
        return torch.stack(values, dim=1), torch.stack(errors, dim=1) * self.scales


def fit_quantities(latent, error, values, *, radius=None, random_state=0):
    """
    Fit a regression of each quantity on the latents.

    For each quantity a ridge regression and two ensembles of small networks
    compete; the one with the largest likelihood for galaxies left out (five
    folds) is taken. The networks learn what the ridge leaves, and the errors.
    One ensemble sees latents drawn from their posteriors, which keeps it from
    learning few galaxies by heart; the other sees the means, which blurs
    nothing, and wins where galaxies are many. The errors of all include the
    encoder's, as the means that they are judged on do. They are then scaled
    such that 68 % of the galaxies left out lie within one.

    Parameters
    ----------
    latent, error : (N, n_latents) float arrays
        Mean and standard deviation of the posterior; rows with NaN are left out.
    values : dict of str to (N,) float array
        The quantities; values that are masked or not finite are unknown, and left out.
    radius : (N,) array, `~astropy.table.Column` or `~astropy.units.Quantity`, optional
        petroR90, in arcsec unless it states a unit; its logarithm is one more
        feature. The latents do not hold a galaxy's apparent size: what depends
        on it, such as magnitudes, needs it. Rows without a radius are left out.
    random_state : int, optional
        Of the folds, and of the networks.

    Returns
    -------
    model : `QuantityModel`
        Its report holds for each quantity: ``galaxies`` that were used,
        ``unmeasured`` and ``unknown``, those that were left out without latents
        (or radius), and without a value; the ``model`` that was taken; of
        the galaxies left out in turn the scores of
        `~galvae_affiliated.training.evaluate.quantities.quantity_scores`; and ``nll``,
        the mean negative log-likelihood of each candidate, of values in units
        of their spread.

    Raises
    ------
    ValueError
        If shapes differ, values are not numbers, fewer than 20 galaxies have a known value or all
        have the same, or a name cannot be a column's.

    References
    ----------
    Tuccillo, D. et al. 2018, MNRAS 475, 894.
    """
    latent, error = _as_floats(latent, 'latent'), _as_floats(error, 'error')
    if latent.ndim != 2 or error.shape != latent.shape:
        raise ValueError(f'latent has shape {latent.shape} and error {error.shape}; '
                         'expected (N, n_latents) for both')
    _check_names(list(values))
    values = {name: _as_vector(value, name, len(latent)) for name, value in values.items()}
    n_latents, unit = latent.shape[1], None
    if radius is not None:
        radius, unit = _read_radius(radius, len(latent))
        latent, error = _with_log_radius(latent, error, radius)
    measured = np.isfinite(latent).all(axis=1) & np.isfinite(error).all(axis=1)
    used = {name: measured & np.isfinite(value) for name, value in values.items()}
    for name, rows in used.items():
        _check_values(values[name][rows], name)
    centre, spread = _feature_scale(latent[measured], error[measured])
    features, error = (latent - centre) / spread, error / spread
    fits, report = [], {}
    for name, rows in used.items():
        fits.append(_fit_quantity(features[rows], error[rows], values[name][rows], random_state))
        report[name] = {'galaxies': int(rows.sum()), 'unmeasured': int((~measured).sum()),
                        'unknown': int((measured & ~rows).sum()), **fits[-1][-1]}
    centres, spreads, predictors, scales, _ = zip(*fits)
    graph = _QuantityGraph(centre, spread, predictors, scales).eval()
    return QuantityModel(tuple(values), n_latents, unit, np.array(centres), np.array(spreads),
                         graph, report)


def _as_floats(array, name):
    """An array of floats, NaN where it is masked, or an error."""
    array = np.ma.asarray(getattr(array, 'value', array))
    if array.dtype.kind not in 'fiu':
        raise ValueError(f'{name} is of type {array.dtype}; expected numbers')
    return np.ma.filled(array.astype(float), np.nan)


def _as_vector(array, name, n):
    """(n,) floats of a column, or an error."""
    array = _as_floats(array, name)
    if array.shape != (n,):
        raise ValueError(f'{name} has shape {array.shape}; expected ({n},)')
    return array


def _read_radius(radius, n):
    """(n,) radii, and 'arcsec' or 'pix', which they are in."""
    unit = getattr(radius, 'unit', None) or u.arcsec
    if unit != u.pix and not unit.is_equivalent(u.arcsec):
        raise ValueError(f"the radii are in '{unit}'; expected 'pix' or an angle")
    values = _as_vector(radius, 'radius', n)
    return (values, 'pix') if unit == u.pix else (values * unit.to(u.arcsec), 'arcsec')


def _with_log_radius(latent, error, radius):
    """Features and errors with the logarithm of the radius, NaN where there is none; no error."""
    log_radius = np.log10(np.where(radius > 0, radius, np.nan))
    return np.column_stack([latent, log_radius]), np.column_stack([error, np.zeros(len(radius))])


def _feature_scale(features, error):
    """Mean and standard deviation of each feature, and of what its posteriors add."""
    # a latent that says nothing has a mean without spread, and an error of one
    spread = np.sqrt(features.var(axis=0) + (error ** 2).mean(axis=0))
    spread[spread == 0] = 1.0
    return features.mean(axis=0), spread


def _check_names(names):
    """Refuse names whose columns would be taken."""
    if not names:
        raise ValueError('there are no quantities; expected a dict of name to values')
    for name in names:
        if name in RESERVED or name.startswith(('latent_', 'pose_')):
            raise ValueError(f'a quantity cannot be named {name!r}: galvae_{name} is another '
                             'column')
        if name.endswith('_err') and name.removesuffix('_err') in names:
            raise ValueError(f'a quantity cannot be named {name!r}: galvae_{name} is the error of '
                             'another')


def _check_values(values, name):
    """Refuse a quantity that nothing can be learnt of."""
    if len(values) < LEAST_GALAXIES:
        raise ValueError(f'{name} is known of {len(values)} measured galaxies; expected '
                         f'{LEAST_GALAXIES} or more')
    if not np.ptp(values) > 0:
        raise ValueError(f'{name} is {values[0]:g} for every galaxy; there is nothing to learn')


def _fit_quantity(features, error, values, random_state):
    """
    The best predictor of one quantity.

    Parameters
    ----------
    features, error : (N, n_features) arrays
        Standardised.
    values : (N,) array
    random_state : int

    Returns
    -------
    centre, spread : float
        Of the values; the predictor gives them standardised.
    predictor : `torch.nn.Module`
    scale : float
        By which its errors are to be multiplied.
    report : dict
    """
    centre, spread = values.mean(), values.std()
    standard = (values - centre) / spread
    fold = np.random.default_rng(random_state).permutation(len(values)) % N_FOLDS
    learnt_from = np.array([fold != i for i in range(N_FOLDS + 1)])  # the last from all
    ridges = [fit_ridge(features[rows], standard[rows]) for rows in learnt_from]
    on_means = fit_networks(ridges, features, 0 * error, standard, learnt_from, random_state)
    on_draws = fit_networks(ridges, features, error, standard, learnt_from, random_state)
    candidates = {'ridge': ridges, 'network': on_means, 'network on draws': on_draws}
    judged = {name: _judge(predictors, features, standard, fold)
              for name, predictors in candidates.items()}
    nll = {name: result[0] for name, result in judged.items()}
    best = min(nll, key=nll.get)
    _, scale, value, uncertainty = judged[best]
    found = quantity_scores(values, value * spread + centre, uncertainty * spread)
    return (centre, spread, candidates[best][-1], scale,
            {'model': best, **found, 'nll': nll})


def _judge(predictors, features, standard, fold):
    """Negative log-likelihood, scale of the errors, values and errors of galaxies left out."""
    value, error = np.empty((2, len(standard)))
    for i in range(N_FOLDS):
        rows = fold == i
        value[rows], error[rows] = apply_predictor(predictors[i], features[rows])
    residual = np.abs(standard - value)
    scale = max(float(np.quantile(residual / error, ONE_SIGMA)), LEAST_ERROR)
    error = scale * error
    nll = np.mean(0.5 * (residual / error) ** 2 + np.log(error * math.sqrt(2 * np.pi)))
    return float(nll), scale, value, error


def with_quantities(bundle, model, *, units=None, name=None):
    """
    A bundle that predicts quantities too.

    Parameters
    ----------
    bundle : `~galvae_affiliated.ModelBundle`
        Of whose latents the quantities were fitted; those that it has are replaced.
    model : `QuantityModel`
    units : dict of str to str or `~astropy.units.Unit`, optional
        Of the quantities that have one.
    name : str, optional
        Of the new bundle; None keeps the name.

    Returns
    -------
    bundle : `~galvae_affiliated.ModelBundle`
        With the part ``quantities.onnx``, and the key ``quantities`` in the manifest.

    Raises
    ------
    ValueError
        If the number of latents differs, or ``units`` names no quantity or no unit.
    ParityError
        If the exported graph does not give what PyTorch gives, to a thousandth of each
        quantity's spread.
    """
    if model.n_latents != bundle.n_latents:
        raise ValueError(f'the quantities are of {model.n_latents} latents; the model '
                         f'{bundle.id} has {bundle.n_latents}')
    unknown = [key for key in units or {} if key not in model.names]
    if unknown:
        raise ValueError(f'units names {unknown[0]!r}; the quantities are '
                         f'{", ".join(model.names)}')
    units = {key: quantity_unit(unit).to_string() for key, unit in (units or {}).items()}
    manifest = bundle.manifest.raw
    manifest['quantities'] = {'names': list(model.names), 'units': units,
                              'radius': model.radius_unit, 'report': model.report}
    manifest['latents']['same_as'] = [bundle.id, *bundle.manifest.same_as]
    manifest['name'] = manifest['name'] if name is None else name
    inputs = _test_inputs(model)
    graph = _export_quantities(model, inputs)
    tested = self_test({'quantities': graph}, {'quantities': inputs}, bundle.parts[SELF_TEST])
    return bundle.replaced(manifest, {'quantities.onnx': graph, SELF_TEST: tested})


def _test_inputs(model):
    """Random latents, and radii, for the comparison with PyTorch and for the self-test."""
    generator = torch.Generator().manual_seed(0)
    inputs = {'latent': torch.randn(8, model.n_latents, generator=generator)}
    if model.radius_unit is not None:
        inputs['radius'] = torch.exp(torch.randn(8, generator=generator) + 2.0)
    return inputs


def _export_quantities(model, inputs):
    """Bytes of a graph that is compared with PyTorch, and then made to give the own units."""
    standard = ['standard_values', 'standard_errors']
    graph = onnx.load_from_string(export_graph(model.graph, inputs, standard))
    # in double precision: single would round a Julian date, and not hold a luminosity in erg / s
    _add_affine(graph, standard[0], 'values', model.spread, model.centre)
    _add_affine(graph, standard[1], 'errors', model.spread, np.zeros(len(model.spread)))
    onnx.checker.check_model(graph, full_check=True)
    return graph.SerializeToString()


def _add_affine(model, standard, output, factor, offset):
    """Replace an output of an ONNX model by ``factor`` times it plus ``offset``, in double."""
    graph, helper = model.graph, onnx.helper
    double = onnx.TensorProto.DOUBLE
    for key, value in {'factor': factor, 'offset': offset}.items():
        array = np.asarray(value, dtype=np.float64)
        graph.initializer.append(onnx.numpy_helper.from_array(array, f'{output}.{key}'))
    graph.node.extend([
        helper.make_node('Cast', [standard], [f'{output}.double'], to=double),
        helper.make_node('Mul', [f'{output}.double', f'{output}.factor'], [f'{output}.scaled']),
        helper.make_node('Add', [f'{output}.scaled', f'{output}.offset'], [output])])
    shape = ['rows', len(factor)]
    graph.output.append(helper.make_tensor_value_info(output, double, shape))
    graph.output.remove(next(value for value in graph.output if value.name == standard))
