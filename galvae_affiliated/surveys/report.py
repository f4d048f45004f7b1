# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a map between two surveys does, measured on galaxies that it was not fitted to."""

from dataclasses import asdict

from galvae_affiliated.surveys.classifier import LEAST_ROWS, survey_area
from galvae_affiliated.surveys.discrepancy import kernel_widths, maximum_mean_discrepancy
from galvae_affiliated.surveys.pairs import pair_scores

__all__ = ['report_lines', 'survey_report']

SIGNIFICANT = 0.01  # p-value of the discrepancy, above which the surveys count as alike
LEAST_PAIRS = 5


def survey_report(data, latent_map, *, random_state=0):
    """
    Measures before and after a map, and what follows from them.

    Parameters
    ----------
    data : object
        ``source``, ``target``: whitened latents; ``pairs``, rows of the same galaxies;
        ``alike()``, the latents of galaxies of like kind.
    latent_map : callable
        Whitened latents of the target to those of the source.
    random_state : int, optional

    Returns
    -------
    report : dict
        ``before`` and ``after``, each with ``mmd``, ``survey_area``, and ``pairs`` if there are
        five; ``verdict`` and ``why``.
    """
    source, target = data.alike()
    widths = kernel_widths(source, target, random_state=random_state)
    report = {}
    for when, change in (('before', lambda rows: rows), ('after', latent_map)):
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
    return report


def _verdict(before, after):
    """'useful', 'nothing to do' or 'useless', with the reason."""
    found = before['mmd']
    if found['p_value'] > SIGNIFICANT:
        return 'nothing to do', ('the latents of the two surveys cannot be told apart '
                                 f'(discrepancy {found["value"]:.2g}, p = {found["p_value"]:.2g})')
    if not after['mmd']['value'] < found['low']:
        return 'useless', (f'the discrepancy was {found["value"]:.2g} before and is '
                           f'{after["mmd"]["value"]:.2g} after, on galaxies left out')
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
             f'{"on galaxies left out":24s}{"before":>32s}{"after":>32s}']
    before, after = report['before'], report['after']
    rows = [('discrepancy (MMD2)', before['mmd'], after['mmd'])]
    if 'survey_area' in before:
        rows.append(('survey classifier AUC', before['survey_area'], after['survey_area']))
    for name in before.get('pairs', ()):
        rows.append((f'pairs: {name}', before['pairs'][name], after['pairs'][name]))
    for name, one, other in rows:
        shown = [f'{entry["value"]:.3g} ({entry["low"]:.3g} to {entry["high"]:.3g})'
                 for entry in (one, other)]
        lines.append(f'{name:24s}{shown[0]:>32s}{shown[1]:>32s}')
    p_values = [f'{entry["mmd"]["p_value"]:.2g}' for entry in (before, after)]
    lines.append(f'{"  p-value":24s}{p_values[0]:>32s}{p_values[1]:>32s}')
    return lines
