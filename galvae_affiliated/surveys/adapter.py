# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Latents of another survey brought to those of the training, by a linear map."""

from dataclasses import dataclass, field

import numpy as np

from galvae_affiliated.flags import UNMEASURED
from galvae_affiliated.models._archive import write_arrays
from galvae_affiliated.models.adapter import ADAPTER, LatentMap
from galvae_affiliated.models.registry import get_model
from galvae_affiliated.models.self_test import SELF_TEST, self_test
from galvae_affiliated.models.whitening import Whitening, check_latents
from galvae_affiliated.surveys.alignment import (
    coral_map,
    identity_map,
    paired_ridge_map,
    shift_map,
)
from galvae_affiliated.surveys.classifier import matched_rows
from galvae_affiliated.surveys.pairs import check_pairs
from galvae_affiliated.surveys.report import report_lines, survey_report
from galvae_affiliated.tables.columns import get_latents

__all__ = ['SurveyAdapter']

LEAST_GALAXIES = 100  # of each survey; a covariance matrix of fewer is noise
LEAST_PAIRS = 20
LEAST_VARIANCE = 0.02  # mean variance of the target, in units of the source's
METHODS = ('auto', 'coral', 'ridge')
SELF_TEST_ROWS = 4
# what a manifest says of latents that are not mapped
OUTDATED = ('scores', 'comparison', 'invariance')


@dataclass(frozen=True)
class SurveyAdapter:
    """
    A linear map from the latents of one survey to those of another.

    Made by `fit`. The map is fitted in latents that are whitened by the source, with a floor.

    Attributes
    ----------
    latent_map : `~galvae_affiliated.models.LatentMap`
    method : {'coral', 'ridge', 'identity'}
    report : dict
        Before and after, on galaxies that the map was not fitted to: of each measure the value
        and an interval of 95 per cent; the same ``shifted``, by the means alone; ``verdict``,
        'useful', 'nothing to do' or 'useless', and ``why``, which says if a shift does as much.

    Examples
    --------
    >>> import numpy as np
    >>> from galvae_affiliated.surveys import SurveyAdapter
    >>> rng = np.random.default_rng(0)
    >>> source = rng.normal(size=(400, 3))
    >>> target = rng.normal(size=(300, 3)) @ np.diag([1.0, 0.5, 2.0]) + 1.0
    >>> adapter = SurveyAdapter.fit(source, target)
    >>> adapter.report['verdict']
    'useful'
    >>> [round(float(width), 1) for width in target.std(axis=0)]
    [1.0, 0.5, 2.2]
    >>> [round(float(width), 1) for width in adapter.transform(target).std(axis=0)]
    [0.9, 0.7, 1.0]
    """

    latent_map: LatentMap
    method: str
    report: dict = field(repr=False)

    @classmethod
    def fit(cls, source, target, pairs=None, *, method='auto', shrinkage=0.1, kinds=None,
            model=None, random_state=0):
        """
        Fit the map, and measure what it does on galaxies left out.

        Parameters
        ----------
        source : (N, n_latents) array or `~astropy.table.Table`
            Latents of galaxies of the survey that the model was trained on; rows of a table
            that are not measured are left out.
        target : (M, n_latents) array or `~astropy.table.Table`
            The same of the survey that is to be brought to it. No labels are needed.
        pairs : (P, 2) int array, optional
            Rows of source and target that are the same galaxy.
        method : {'auto', 'coral', 'ridge'}, optional
            'coral' gives the target the mean and covariance of the source; 'ridge' brings
            pairs together; 'auto' takes the one that brings left-out pairs nearer, and without
            pairs 'coral'.
        shrinkage : float, optional
            See `~galvae_affiliated.surveys.coral_map`.
        kinds : ((N, K), (M, K)) pair of arrays, optional
            What galaxies of both surveys are to be alike in where they are compared, such as
            vote fractions. 'coral' takes like galaxies alone, so that a survey with other
            shares of each kind is not pulled to those of the source.
        model : `~galvae_affiliated.ModelBundle`, str or path, optional
            The model of the latents of tables; None takes the default.
        random_state : int, optional

        Returns
        -------
        adapter : `SurveyAdapter`
            The map changes nothing if the report's verdict is not 'useful'.

        Raises
        ------
        ValueError
            If a survey has fewer than 100 galaxies that can be used, its latents hardly vary,
            as those of blank images, or an option does not exist.
        """
        if method not in METHODS:
            raise ValueError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
        if not 0.0 <= shrinkage <= 1.0:
            raise ValueError(f'shrinkage is {shrinkage}; expected 0 to 1')
        data = _Surveys.of(source, target, pairs, kinds, model)
        if method == 'ridge' and len(data.pairs) < LEAST_PAIRS:
            raise ValueError(f'there are {len(data.pairs)} pairs; ridge needs {LEAST_PAIRS}')
        fitted, other = data.halves(random_state)
        trial = _fit_map(fitted, method, shrinkage)
        shift = shift_map(*fitted.alike())[1]
        report = survey_report(other, lambda rows: rows @ trial[0] + trial[1],
                               lambda rows: rows + shift, random_state=random_state)
        chosen = method_of(fitted, method)
        if report['verdict'] == 'useful':
            matrix, offset = _fit_map(data, method, shrinkage)
        else:
            chosen = 'identity'
            matrix, offset = identity_map(data.source.shape[1])
        report = {'method': chosen, 'source galaxies': len(data.source),
                  'target galaxies': len(data.target), 'pairs': len(data.pairs), **report}
        return cls(_unwhitened(data.whitening, matrix, offset), chosen, report)

    def transform(self, latent):
        """
        Latents of the target as those of the source.

        Parameters
        ----------
        latent : (N, n_latents) array

        Returns
        -------
        latent : (N, n_latents) float32 array
        """
        if np.ndim(latent) != 2 or np.shape(latent)[1] != len(self.latent_map.offset):
            raise ValueError(f'latents have shape {np.shape(latent)}; '
                             f'expected (N, {len(self.latent_map.offset)})')
        return self.latent_map(latent)

    def transform_errors(self, latent_err):
        """(N, n_latents) float32 errors of the new latents, of those of the old ones."""
        return self.latent_map.errors(latent_err)

    def __str__(self):
        return '\n'.join(report_lines(self.report))

    def adapted(self, model, survey, *, name=None):
        """
        The model with this map behind its encoder.

        Parameters
        ----------
        model : `~galvae_affiliated.ModelBundle`, str or path
            That gave the latents of both surveys.
        survey : str
            Whose images the new model is for.
        name : str, optional
            Of the new model; None takes the old name and that of the survey.

        Returns
        -------
        model : `~galvae_affiliated.ModelBundle`
            With another id: its latents are others.

        Raises
        ------
        ValueError
            If the map was not found to be useful, the model has one already, or another
            number of latents.
        """
        model = get_model(model)
        if self.report['verdict'] != 'useful':
            raise ValueError(f'{self.report["verdict"]}: {self.report["why"]}')
        if model.adapter is not None:
            raise ValueError(f'{model.id} is adapted to {model.manifest.adapter.survey} already; '
                             'expected the model that it was made of')
        if model.n_latents != len(self.latent_map.offset):
            raise ValueError(f'{model.id} has {model.n_latents} latents; '
                             f'expected {len(self.latent_map.offset)}')
        manifest = {key: value for key, value in model.manifest.raw.items()
                    if key not in OUTDATED}
        manifest['name'] = name or f'{model.name}-{survey}'.replace(' ', '-')
        manifest['latents'].pop('same_as', None)
        manifest['adapter'] = {'survey': survey, 'method': self.method, 'report': self.report,
                               'made of': model.id}
        content = write_arrays(self.latent_map.arrays())
        drawn = np.random.default_rng(0).standard_normal((2, SELF_TEST_ROWS, model.n_latents))
        tested = self_test({'adapter': self.latent_map},
                           {'adapter': {'latent': drawn[0], 'latent_err': np.abs(drawn[1])}},
                           model.parts[SELF_TEST])
        return model.replaced(manifest, {ADAPTER: content, SELF_TEST: tested})

    def save(self, model, path, survey, *, name=None, overwrite=False):
        """
        Write the model of `adapted` to a file.

        Parameters
        ----------
        model, survey, name : object
            See `adapted`.
        path : str or path
        overwrite : bool, optional
            Replace a file that exists.

        Raises
        ------
        ValueError
            See `adapted`.
        FileExistsError
            If the file exists and ``overwrite`` is false.
        """
        self.adapted(model, survey, name=name).write(path, overwrite=overwrite)


@dataclass(frozen=True)
class _Surveys:
    """Whitened latents of two surveys, of measured galaxies."""

    source: np.ndarray
    target: np.ndarray
    pairs: np.ndarray
    kinds: tuple | None
    whitening: Whitening

    @classmethod
    def of(cls, source, target, pairs, kinds, model):
        (source, source_rows), (target, target_rows) = (
            _measured(rows, name, model) for rows, name in ((source, 'source'),
                                                            (target, 'target')))
        for latent, name in ((source, 'source'), (target, 'target')):
            if len(latent) < LEAST_GALAXIES:
                raise ValueError(f'there are {len(latent)} measured galaxies of the {name}; '
                                 f'expected at least {LEAST_GALAXIES}')
        target = check_latents(target, 'target', n_columns=source.shape[1])
        whitening = Whitening.fit(source)
        found = [whitening(source), whitening(target)]
        variance = found[1].var(axis=0).mean()
        if variance < LEAST_VARIANCE * found[0].var(axis=0).mean():
            raise ValueError(f'the latents of the target hardly vary ({variance:.1g} of those of '
                             'the source): are its images blank?')
        if pairs is None:
            pairs = np.zeros((0, 2), dtype=int)
        else:
            pairs = check_pairs(pairs, len(source_rows), len(target_rows))
            places = [np.where(rows, np.cumsum(rows) - 1, -1)
                      for rows in (source_rows, target_rows)]
            pairs = np.column_stack([places[0][pairs[:, 0]], places[1][pairs[:, 1]]])
            pairs = pairs[(pairs >= 0).all(axis=1)]
        if kinds is not None:
            kinds = _checked_kinds(kinds, source_rows, target_rows)
        return cls(*found, pairs, kinds, whitening)

    def halves(self, random_state):
        """Galaxies to fit to, and others to measure on; pairs are divided as their galaxies."""
        rng = np.random.default_rng(random_state)
        ours, theirs = (rng.random(len(rows)) < 0.5 for rows in (self.source, self.target))
        return self._chosen(ours, theirs), self._chosen(~ours, ~theirs)

    def _chosen(self, source_rows, target_rows):
        # the source of a pair may be on either side: it is not what is fitted
        pairs = self.pairs[target_rows[self.pairs[:, 1]]]
        keep = source_rows.copy()
        keep[pairs[:, 0]] = True
        places = [np.cumsum(rows) - 1 for rows in (keep, target_rows)]
        pairs = np.column_stack([places[i][pairs[:, i]] for i in (0, 1)])
        kinds = None
        if self.kinds is not None:
            kinds = self.kinds[0][keep], self.kinds[1][target_rows]
        return _Surveys(self.source[keep], self.target[target_rows], pairs, kinds,
                        self.whitening)

    def alike(self):
        """Latents of galaxies of like kind, of both surveys."""
        if self.kinds is None:
            return self.source, self.target
        ours, theirs = matched_rows(*self.kinds)
        return self.source[ours], self.target[theirs]


def _measured(rows, name, model):
    """Latents of measured rows, and which of all they are."""
    if hasattr(rows, 'colnames'):
        latent = get_latents(rows, model)
        measured = np.isfinite(latent).all(axis=1)
        if 'galvae_flags' in rows.colnames:
            flags = np.ma.filled(np.ma.asarray(rows['galvae_flags']), UNMEASURED)
            measured &= (flags & UNMEASURED) == 0
    else:
        latent = np.asarray(rows, dtype=float)
        if latent.ndim != 2:
            raise ValueError(f'{name} has shape {latent.shape}; expected (N, n_latents)')
        measured = np.isfinite(latent).all(axis=1)
    return np.asarray(latent, dtype=float)[measured], measured


def _checked_kinds(kinds, source_rows, target_rows):
    found = []
    for values, rows in zip(kinds, (source_rows, target_rows)):
        if len(values) != len(rows):
            raise ValueError(f'kinds have {len(values)} rows for {len(rows)} galaxies')
        found.append(np.asarray(values, dtype=float)[rows])
    return tuple(found)


def method_of(data, method):
    """The method that 'auto' stands for."""
    if method != 'auto':
        return method
    if len(data.pairs) < LEAST_PAIRS:
        return 'coral'
    source, target = data.source[data.pairs[:, 0]], data.target[data.pairs[:, 1]]
    matrix, offset = coral_map(*data.alike())
    by_coral = ((target @ matrix + offset - source) ** 2).sum(axis=1).mean()
    return 'ridge' if paired_ridge_map(source, target)[2] < by_coral else 'coral'


def _fit_map(data, method, shrinkage):
    if method_of(data, method) == 'ridge':
        return paired_ridge_map(data.source[data.pairs[:, 0]], data.target[data.pairs[:, 1]])[:2]
    source, target = data.alike()
    if len(target) < LEAST_GALAXIES // 2:
        raise ValueError(f'{len(target)} galaxies of the two surveys are of like kind; expected '
                         f'at least {LEAST_GALAXIES // 2}')
    return coral_map(source, target, shrinkage)


def _unwhitened(whitening, matrix, offset):
    """The map of whitened latents as one of latents."""
    whole = whitening.matrix @ matrix @ whitening.inverse
    return LatentMap(whole, whitening.back(offset[None])[0] - whitening.mean @ whole)
