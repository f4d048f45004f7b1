# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a map between two surveys does, measured on galaxies that it was not fitted to."""

from dataclasses import asdict

from galvae_affiliated.surveys.classifier import LEAST_ROWS, survey_area
from galvae_affiliated.surveys.discrepancy import kernel_widths, maximum_mean_discrepancy
from galvae_affiliated.surveys.pairs import pair_scores

__all__ = ['report_lines', 'survey_report']

SIGNIFICANT = 0.01  # p-value of the discrepancy, above which the surveys count as alike
LEAST_PAIRS = 5


def survey_report(data, latent_map, shift=None, *, random_state=0):
    """
    Measures before and after a map, and what follows from them.

    Parameters
    ----------
    data : object
        ``source``, ``target``: whitened latents; ``pairs``, rows of the same galaxies;
        ``alike()``, the latents of galaxies of like kind.
    latent_map : callable
        Whitened latents of the target to those of the source.
    shift : callable, optional
        The same by means alone, which a map has to be better than.
    random_state : int, optional

    Returns
    -------
    report : dict
        ``before``, ``after`` and ``shifted``, each with ``mmd``, ``survey_area``, and ``pairs`` if
        there are five; ``verdict`` and ``why``.
    """
    source, target = data.alike()
    widths = kernel_widths(source, target, random_state=random_state)
    changes = {'before': lambda rows: rows, 'after': latent_map}
    changes |= {} if shift is None else {'shifted': shift}
    report = {}
    for when, change in changes.items():
        found = maximum_mean_discrepancy(source, change(target), widths=widths,
                                         random_state=random_state)
        report[when] = {'mmd': asdict(found)}
        if min(len(source), len(target)) >= LEAST_ROWS:
            area, low, high = survey_area(source, change(target), random_state=random_state)
            report[when]['survey_area'] = {'value': area, 'low': low, 'high': high}
        if len(data.pairs) >= LEAST_PAIRS:
            report[when]['pairs'] = pair_scores(data.source, change(data.target), data.pairs,
                                                random_state=random_state)
    report['verdict'], report['why'] = _verdict(report['before'], report['after'])
    if report['verdict'] == 'useful' and _is_as_good(report.get('shifted'), report['after']):
        report['why'] += '; a shift of the mean does as much'
    return report


def _is_as_good(simple, ours):
    """Whether each measure of a simpler map is in our interval of 95 per cent, or below it."""
    if simple is None:
        return False
    is_good = [simple[name]['value'] <= ours[name]['high'] for name in ('mmd', 'survey_area')
               if name in ours]
    if 'pairs' in ours:
        is_good.append(simple['pairs']['distance']['value'] <= ours['pairs']['distance']['high'])
    return all(is_good)


def _verdict(before, after):
    """'useful', 'nothing to do' or 'useless', with the reason."""
    found = before['mmd']
    if found['p_value'] > SIGNIFICANT:
        return 'nothing to do', ('the latents of the two surveys cannot be told apart '
                                 f'(discrepancy {found["value"]:.2g}, p = {found["p_value"]:.2g})')
    if not after['mmd']['value'] < found['low']:
        return 'useless', (f'the discrepancy was {found["value"]:.2g} before and is '
                           f'{after["mmd"]["value"]:.2g} after, on galaxies left out')
    if 'pairs' in before:
        apart, now = (scores['pairs']['distance'] for scores in (before, after))
        if now['low'] > apart['value']:
            return 'useless', (f'pairs left out are taken apart: their distance was '
                               f'{apart["value"]:.2g} of a usual one and is {now["value"]:.2g}')
    return 'useful', (f'the discrepancy falls from {found["value"]:.2g} to '
                      f'{after["mmd"]["value"]:.2g} on galaxies left out')


def report_lines(report):
    """
    The report as text.

    Parameters
    ----------
    report : dict

    Returns
    -------
    lines : list of str
    """
    lines = [f'{report["verdict"]}: {report["why"]}',
             f'{report["method"]}, {report["source galaxies"]} galaxies of the source, '
             f'{report["target galaxies"]} of the target, {report["pairs"]} pairs', '',
             f'{"on galaxies left out":24s}{"before":>32s}{"after":>32s}{"by a shift":>14s}']
    columns = [report[when] for when in ('before', 'after', 'shifted') if when in report]
    rows = [('discrepancy (MMD2)', [column['mmd'] for column in columns])]
    if 'survey_area' in columns[0]:
        rows.append(('survey classifier AUC', [column['survey_area'] for column in columns]))
    for name in columns[0].get('pairs', ()):
        rows.append((f'pairs: {name}', [column['pairs'][name] for column in columns]))
    for name, (before, after, *shifted) in rows:
        shown = [f'{entry["value"]:.3g} ({entry["low"]:.3g} to {entry["high"]:.3g})'
                 for entry in (before, after)]
        last = ''.join(f'{entry["value"]:>14.3g}' for entry in shifted)
        lines.append(f'{name:24s}{shown[0]:>32s}{shown[1]:>32s}{last}')
    p_values = [f'{column["mmd"]["p_value"]:.2g}' for column in columns]
    widths = (32, 32, 14)
    lines.append(f'{"  p-value":24s}' + ''.join(map(str.rjust, p_values, widths)))
    return lines
