# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tables of bench_generation.py, for a terminal and for the documentation."""

from _common import list_table, text_table
from _generation_checks import FEW

NO_RATE = 'times the rate of the smooth decoder'
EASY = ('smooth-or-featured: smooth', 'disk-edge-on: yes', 'how-rounded: round',
        'has-spiral-arms: yes')  # the others are to agree more often than by chance
HALVES = 'halves of the data'
KEPT = {'mse': 'MSE', 'ssim': 'SSIM', 'own is nearest, plain': 'own is nearest',
        'own is nearest, whitened': 'the same, whitened',
        'votes, mean difference': 'votes differ by'}


def tables(report):
    """All tables of a report, as text and as reStructuredText."""
    made = [table for table in (
        _kept(report), _likeness(report, 'reconstructions'), _likeness(report, 'samples'),
        _apart(report), _quantities(report), _conditions(report), _by_heart(report),
        _nearest(report), _halves(report), _two_models(report), _rate(report), _wanted(report))
            if table]
    run = (f'Model ``{report["model"]}``, {report["galaxies"]} galaxies of the split '
           f'``{report["split"]}``, features of ``{report["judge"]}``.\n')
    return ('\n'.join([run, *(text_table(*table) for table in made)]),
            '\n'.join([run, *(list_table(*table, compact=True) for table in made)]))


def _number(value, digits=3):
    return '-' if value is None else f'{value:.{digits}f}'


def _kept(report):
    rows = [[name, *_kept_row(its)] for name, its in report['reconstructions'].items()]
    rows.append(['the galaxy without its noise', '-', _number(report['noiseless ssim']),
                 '-', '-', '-'])
    return 'Reconstructions beside their galaxies', ['decoder', *KEPT.values()], rows


def _kept_row(found):
    return [_number(found.get(key), 4 if key == 'mse' else 3) for key in KEPT]


def _by_heart(report):
    others = {name: report['reconstructions'][name] for name in report['training']}
    rows = [[f'{name}, {which}', *_kept_row(sets[name])] for name in others
            for which, sets in (('training', report['training']), ('others', others))]
    return ('Galaxies of the training beside others', ['decoder, galaxies', *KEPT.values()],
            rows)


def _likeness(report, kind):
    sets = {HALVES: report[HALVES], **report[kind]}
    rows = [[name, _number(its['power, dex']), _number(its['Frechet distance'], 1),
             _number(its['kernel distance'], 3), _number(its['coverage'], 2),
             _number(its['told apart']['features']['accuracy'], 2)] for name, its in sets.items()]
    return (f'{kind.capitalize()} beside data', ['decoder', 'power, dex', 'Frechet', 'kernel',
                                                 'coverage', 'told apart'], rows)


def _apart(report):
    sets = {HALVES: report[HALVES], **report['samples']}
    names = list(report[HALVES]['told apart'])
    rows = [[name, *(_number(its['told apart'][key]['accuracy'], 2) for key in names)]
            for name, its in sets.items()]
    return 'What samples are told from data by', ['decoder', *names], rows


def _quantities(report):
    sets = report['quantities']
    rows = [[name, *(_interval(its.get(name)) for its in sets.values())]
            for name in sets[HALVES]]
    return 'Distances of distributions of samples to data', ['quantity', *sets], rows


def _interval(found):
    if found is None:
        return '-'
    return f'{found["wasserstein"]:.2f} ({found["low"]:.2f}-{found["high"]:.2f})'


def _conditions(report):
    rows = []
    for name, its in report['conditions'].items():
        row = [name]
        for reader in ('heads', 'other network'):
            found = its[reader]
            row += [f'{found["share"]:.2f}', f'{found["chance"]:.2f}',
                    f'{found["standard errors"]:.1f}']
        rows.append(row)
    other = report['other network']
    return ('Pictures that were drawn with an answer',
            ['asked', 'heads agree', 'by chance', 'standard errors', f'{other} agrees',
             'by chance', 'standard errors'], rows)


def _nearest(report):
    sets = {'data': report[HALVES], **report['samples']}
    rows = [[name, _number(its['nearest training galaxy'], 2),
             _number(its['share near to one'], 4)] for name, its in sets.items()]
    return ('Distance to the nearest training galaxy', ['pictures', 'median',
                                                        'share below 1 % of the data'], rows)


def _halves(report):
    rows = [[name, str(value) if isinstance(value, int) else _number(value)]
            for name, value in report['halves of the training'].items()]
    return 'Densities of two halves of the training', ['figure', 'value'], rows


def _two_models(report):
    found = report.get('two models')
    if not found:
        return None
    rows = [[name, _number(value)] for name, value in found.items() if isinstance(value, float)]
    rows.append(['samples: told apart', _number(found['samples: told apart']['accuracy'])])
    return 'Two models of halves of the training', ['figure', 'value'], rows


def _rate(report):
    found = report.get('rate')
    if not found:
        return None
    rows = [[name, f'{value:.0f}'] for name, value in found['samples a second'].items()]
    growth = f'growth from {FEW} samples, MiB'
    return (f'{found["samples"]} samples', ['', 'samples a second'],
            [*rows, ['peak memory, MiB', f'{found["peak memory, MiB"]:.0f}'],
             [growth, f'{found[growth]:.0f}']])


def _wanted(report):
    """What a sharp decoder is meant to reach, and whether each kind does."""
    sharp = [name for name in report['samples'] if name != 'smooth']
    rows = [[what, _says(wanted), *(_verdict(float(found(name)), wanted) for name in sharp)]
            for what, wanted, found in _aims(report)]
    for name, its in report['conditions'].items():
        key, wanted = (('share', ('>=', 0.85)) if name in EASY else
                       ('standard errors', ('>=', 3.0)))
        agree = {'all': _verdict(its['heads'][key], wanted)}
        rows.append([f'heads agree, {name}', _says(wanted),
                     *(agree.get(kind, '-') for kind in sharp)])
    return 'What is meant to be reached', ['measure', 'meant', *sharp], rows


def _aims(report):
    """Measures, what they are compared with and how, and functions of the kind that find them."""
    made, drawn = report['reconstructions'], report['samples']

    def share(sets, key):
        return lambda name: sets[name][key] / sets['smooth'][key]

    yield 'power, of the smooth distance', ('<=', 1 / 3), share(made, 'power, dex')
    for title, sets in (('reconstructions', made), ('samples', drawn)):
        for key in ('Frechet distance', 'kernel distance'):
            yield f'{key}, {title}, of the smooth', ('<=', 0.4), share(sets, key)
    yield 'SSIM below the smooth', ('<=', 0.02), lambda name: (
        made['smooth']['ssim'] - made[name]['ssim'])
    yield 'coverage, samples', ('>=', 0.6), lambda name: drawn[name]['coverage']
    yield 'told apart, samples', ('<=', 0.8), lambda name: (
        drawn[name]['told apart']['features']['accuracy'])
    yield 'votes differ by', ('<=', 0.05), lambda name: made[name]['votes, mean difference']
    for metric in ('plain', 'whitened'):
        yield f'own is nearest, {metric}', ('>=', 0.95), lambda name, key=metric: (
            made[name][f'own is nearest, {key}'])
    yield 'latents told apart, AUC', ('<=', 0.58), lambda name: (
        report['latents told apart, AUC']['area'])
    if 'rate' in report:
        rate = report['rate']['samples a second']
        yield NO_RATE, ('>=', 0.5), lambda name: rate[name] / rate['smooth']


def _says(wanted):
    return f'{"at most" if wanted[0] == "<=" else "at least"} {wanted[1]:.3g}'


def _verdict(value, wanted):
    sign, bound = wanted
    is_met = value <= bound if sign == '<=' else value >= bound
    return f'{value:.3g}' + ('' if is_met else ', missed')
