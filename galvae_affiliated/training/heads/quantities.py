# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Regression of any quantity from the latents, with errors that are calibrated on galaxies left out."""

import math
from dataclasses import dataclass

import astropy.units as u
import numpy as np
import onnx
import torch
from torch import nn

from galvae_affiliated.models.bundle import ModelBundle, replaced_parts
from galvae_affiliated.models.quantities import QUANTITIES, quantity_unit
from galvae_affiliated.training.export.graphs import export_graph
from galvae_affiliated.training.heads.quantity_networks import (
    LEAST_ERROR,
    apply_network,
    fit_networks,
    fit_ridge,
)

__all__ = ['QuantityModel', 'fit_quantities', 'with_quantities']

LEAST = 20  # galaxies with a known value; fewer fit and calibrate nothing
FOLDS = 5
ONE_SIGMA = 0.6827  # share of a normal distribution within one standard deviation
MAD = 1.4826  # robust scatter of a normal distribution over its median absolute deviation
# columns galvae_<name> that are there already
RESERVED = ('latent', 'latent_err', 'pose', 'recon_chi2', 'radius', 'flags')


@dataclass(frozen=True)
class QuantityModel:
    """
    What `fit_targets` has found.

    Attributes
    ----------
    names : tuple of str
        The targets.
    n_latents : int
    radius_unit : {'arcsec', 'pix'} or None
        Of the radii that are a feature; None if they are not.
    centre, spread : (n_targets,) float arrays
        Mean and standard deviation of each target's values.
    graph : `torch.nn.Module`
        Latents, and radii, to the values and errors in these units.
    report : dict of str to dict
        For each target what the galaxies left out in turn say; see `fit_targets`.
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
        values, errors : (N, n_targets) float arrays
            NaN where an input is.
        """
        inputs = [latent] if self.radius_unit is None else [latent, radius]
        values, errors = self.graph(*(torch.from_numpy(np.asarray(x, dtype=np.float32)) for x in inputs))
        return values.double().numpy() * self.spread + self.centre, errors.double().numpy() * self.spread


class QuantityGraph(nn.Module):
    """
    Latents, and radii, to the values and errors of all targets, each in units of its spread.

    Parameters
    ----------
    centre, spread : (n_features,) float arrays
        By which the features are standardised.
    predictors : list of `torch.nn.Module`
        One a target.
    scales : list of float
        By which the predictors' errors are multiplied.
    """

    def __init__(self, centre, spread, predictors, scales):
        super().__init__()
        self.register_buffer('centre', torch.tensor(centre, dtype=torch.float32))
        self.register_buffer('spread', torch.tensor(spread, dtype=torch.float32))
        self.register_buffer('scales', torch.tensor(scales, dtype=torch.float32))
        self.predictors = nn.ModuleList(predictors)

    def forward(self, latent, radius=None):
        features = latent if radius is None else torch.cat([latent, torch.log10(radius)[:, None]], dim=1)
        features = (features - self.centre) / self.spread
        values, errors = zip(*(predictor(features) for predictor in self.predictors))
        return torch.stack(values, dim=1), torch.stack(errors, dim=1) * self.scales


def fit_quantities(latent, error, values, *, radius=None, random_state=0):
    """
    Fit a regression of each quantity on the latents.

    For each target a ridge regression and two ensembles of small networks
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
        The targets; values that are masked or not finite are unknown, and left out.
    radius : (N,) array, `~astropy.table.Column` or `~astropy.units.Quantity`, optional
        petroR90, in arcsec unless it states a unit; its logarithm is one more
        feature. The latents do not hold a galaxy's apparent size: what depends
        on it, such as magnitudes, needs it. Rows without a radius are left out.
    random_state : int, optional
        Of the folds, and of the networks.

    Returns
    -------
    model : `TargetModel`
        Its report holds for each target: ``galaxies`` that were used,
        ``unmeasured`` and ``unknown``, those that were left out without latents
        (or radius), and without a value; the ``model`` that was taken; and of
        the galaxies left out in turn ``rmse``, ``scatter`` (1.4826 times the
        median absolute deviation), ``bias`` (mean of predicted minus true),
        ``r2``, ``within 1 error``, the share that lies so near, and ``nll``,
        the mean negative log-likelihood of each candidate, of values in units
        of their spread.

    Raises
    ------
    ValueError
        If shapes differ, values are not numbers, fewer than 20 galaxies have a known value or all have the same, or a
        name cannot be a column's.

    References
    ----------
    Tuccillo, D. et al. 2018, MNRAS 475, 894.
    """
    latent, error = as_floats(latent, 'latent'), as_floats(error, 'error')
    if latent.ndim != 2 or error.shape != latent.shape:
        raise ValueError(f'latent has shape {latent.shape} and error {error.shape}; expected (N, n_latents) for both')
    check_names(list(values))
    values = {name: as_vector(value, name, len(latent)) for name, value in values.items()}
    radius, unit = (None, None) if radius is None else read_radius(radius, len(latent))
    features, error = (latent, error) if radius is None else with_log_radius(latent, error, radius)
    measured = np.isfinite(features).all(axis=1) & np.isfinite(error).all(axis=1)
    used = {name: measured & np.isfinite(value) for name, value in values.items()}
    for name, rows in used.items():
        check_values(values[name][rows], name)
    centre = features[measured].mean(axis=0)
    # a latent that says nothing has a mean without spread, and an error of one
    spread = np.sqrt(features[measured].var(axis=0) + (error[measured] ** 2).mean(axis=0))
    spread[spread == 0] = 1.0
    features, error = (features - centre) / spread, error / spread
    centres, spreads, predictors, scales, report = [], [], [], [], {}
    for name, rows in used.items():
        value = values[name][rows]
        centres.append(value.mean())
        spreads.append(value.std())
        predictor, scale, found = fit_one(features[rows], error[rows], (value - centres[-1]) / spreads[-1], random_state)
        predictors.append(predictor)
        scales.append(scale)
        for key in ('rmse', 'scatter', 'bias'):
            found[key] *= float(spreads[-1])
        report[name] = {'galaxies': int(rows.sum()), 'unmeasured': int((~measured).sum()),
                        'unknown': int((measured & ~rows).sum()), **found}
    return QuantityModel(tuple(values), latent.shape[1], unit, np.array(centres), np.array(spreads),
                       QuantityGraph(centre, spread, predictors, scales).eval(), report)


def as_floats(array, name):
    """An array of floats, NaN where it is masked, or an error."""
    array = np.ma.asarray(getattr(array, 'value', array))
    if array.dtype.kind not in 'fiu':
        raise ValueError(f'{name} is of type {array.dtype}; expected numbers')
    return np.ma.filled(array.astype(float), np.nan)


def as_vector(array, name, n):
    """(n,) floats of a column, or an error."""
    array = as_floats(array, name)
    if array.shape != (n,):
        raise ValueError(f'{name} has shape {array.shape}; expected ({n},)')
    return array


def read_radius(radius, n):
    """(n,) radii, and 'arcsec' or 'pix', which they are in."""
    unit = getattr(radius, 'unit', None) or u.arcsec
    if unit != u.pix and not unit.is_equivalent(u.arcsec):
        raise ValueError(f"the radii are in '{unit}'; expected 'pix' or an angle")
    values = as_vector(radius, 'radius', n)
    return (values, 'pix') if unit == u.pix else (values * unit.to(u.arcsec), 'arcsec')


def with_log_radius(latent, error, radius):
    """Features and their errors with the logarithm of the radius, NaN where there is none; it has no error."""
    log_radius = np.log10(np.where(radius > 0, radius, np.nan))
    return np.column_stack([latent, log_radius]), np.column_stack([error, np.zeros(len(radius))])


def check_names(names):
    """Refuse names whose columns would be taken."""
    if not names:
        raise ValueError('there are no targets; expected a dict of name to values')
    for name in names:
        if name in RESERVED or name.startswith(('latent_', 'pose_')):
            raise ValueError(f'a target cannot be named {name!r}: galvae_{name} is another column')
        if name.endswith('_err') and name.removesuffix('_err') in names:
            raise ValueError(f'a target cannot be named {name!r}: galvae_{name} is the error of another')


def check_values(values, name):
    """Refuse a target that nothing can be learnt of."""
    if len(values) < LEAST:
        raise ValueError(f'{name} is known of {len(values)} measured galaxies; expected {LEAST} or more')
    if not np.ptp(values) > 0:
        raise ValueError(f'{name} is {values[0]:g} for every galaxy; there is nothing to learn')


def fit_one(features, error, target, random_state):
    """
    The best predictor of one target.

    Parameters
    ----------
    features, error : (N, n_features) arrays
        Standardised.
    target : (N,) array
        Standardised.
    random_state : int

    Returns
    -------
    predictor : `torch.nn.Module`
    scale : float
        By which its errors are to be multiplied.
    report : dict
        In units of the target's spread.
    """
    fold = np.random.default_rng(random_state).permutation(len(target)) % FOLDS
    learnt_from = np.array([fold != i for i in range(FOLDS + 1)])  # the last from all
    ridges = [fit_ridge(features[rows], target[rows]) for rows in learnt_from]
    candidates = {'ridge': ridges,
                  'network': fit_networks(ridges, features, 0 * error, target, learnt_from, random_state),
                  'network on draws': fit_networks(ridges, features, error, target, learnt_from, random_state)}
    judged = {}
    for name, predictors in candidates.items():
        value, spread = np.empty((2, len(target)))
        for i in range(FOLDS):
            value[fold == i], spread[fold == i] = apply_network(predictors[i], features[fold == i])
        scale = max(np.quantile(np.abs(target - value) / spread, ONE_SIGMA), LEAST_ERROR)
        nll = np.mean(0.5 * ((target - value) / (scale * spread)) ** 2 + np.log(scale * spread * math.sqrt(2 * np.pi)))
        judged[name] = float(nll), predictors[-1], float(scale), quantity_scores(target, value, scale * spread)
    best = min(judged, key=lambda name: judged[name][0])
    _, predictor, scale, found = judged[best]
    return predictor, scale, {'model': best, **found, 'nll': {name: result[0] for name, result in judged.items()}}


def quantity_scores(true, value, error):
    """
    How well values with errors predict the true ones.

    Parameters
    ----------
    true, value, error : (N,) arrays

    Returns
    -------
    scores : dict of str to float
        See `fit_targets`.
    """
    residual = value - true
    return {'rmse': float(np.sqrt(np.mean(residual ** 2))),
            'scatter': float(MAD * np.median(np.abs(residual - np.median(residual)))),
            'bias': float(residual.mean()), 'r2': float(1 - np.mean(residual ** 2) / np.var(true)),
            'within 1 error': float(np.mean(np.abs(residual) <= error))}


def with_quantities(bundle, model, *, units=None, name=None):
    """
    A bundle that predicts the targets too.

    Parameters
    ----------
    bundle : `~galvae_affiliated.ModelBundle`
        Of whose latents the targets were fitted; targets that it has are replaced.
    model : `TargetModel`
    units : dict of str to str or `~astropy.units.Unit`, optional
        Of the targets that have one.
    name : str, optional
        Of the new bundle; None keeps the name.

    Returns
    -------
    bundle : `~galvae_affiliated.ModelBundle`
        With the part ``targets.onnx``, and the key ``targets`` in the manifest.

    Raises
    ------
    ValueError
        If the number of latents differs, or ``units`` names no target or no unit.
    ParityError
        If the exported graph does not give what PyTorch gives, to a thousandth of each target's spread.
    """
    if model.n_latents != bundle.n_latents:
        raise ValueError(f'the targets are of {model.n_latents} latents; the model {bundle.id} has {bundle.n_latents}')
    unknown = [key for key in units or {} if key not in model.names]
    if unknown:
        raise ValueError(f'units names {unknown[0]!r}; the targets are {", ".join(model.names)}')
    units = {key: quantity_unit(unit).to_string() for key, unit in (units or {}).items()}
    manifest = bundle.manifest
    manifest['targets'] = {'names': list(model.names), 'units': units, 'radius': model.radius_unit,
                           'report': model.report}
    manifest['latents']['same_as'] = bundle.same_latents
    manifest['name'] = manifest['name'] if name is None else name
    return ModelBundle(*replaced_parts(manifest, bundle._parts, {QUANTITIES: export_quantities(model)}))


def export_quantities(model):
    """Bytes of ``targets.onnx``: a graph is compared with PyTorch, and then made to give the targets' own units."""
    generator = torch.Generator().manual_seed(0)
    inputs = {'latent': torch.randn(8, model.n_latents, generator=generator)}
    if model.radius_unit is not None:
        inputs['radius'] = torch.exp(torch.randn(8, generator=generator) + 2.0)
    graph = onnx.load_from_string(export_graph(model.graph, inputs, ['standard_values', 'standard_errors']))
    # in double precision: single would round a Julian date, and not hold a luminosity in erg / s
    add_affine(graph, 'standard_values', 'values', model.spread, model.centre)
    add_affine(graph, 'standard_errors', 'errors', model.spread, np.zeros(len(model.spread)))
    onnx.checker.check_model(graph, full_check=True)
    return graph.SerializeToString()


def add_affine(model, standard, output, factor, offset):
    """Replace an output of an ONNX model by ``factor`` times it plus ``offset``, in double precision."""
    graph, helper = model.graph, onnx.helper
    for key, value in {'factor': factor, 'offset': offset}.items():
        graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value, dtype=np.float64), f'{output}.{key}'))
    graph.node.extend([
        helper.make_node('Cast', [standard], [f'{output}.double'], to=onnx.TensorProto.DOUBLE),
        helper.make_node('Mul', [f'{output}.double', f'{output}.factor'], [f'{output}.scaled']),
        helper.make_node('Add', [f'{output}.scaled', f'{output}.offset'], [output])])
    graph.output.append(helper.make_tensor_value_info(output, onnx.TensorProto.DOUBLE, ['rows', len(factor)]))
    graph.output.remove(next(value for value in graph.output if value.name == standard))
