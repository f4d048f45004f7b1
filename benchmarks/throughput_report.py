# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What `throughput.py` measured, as figures and tables: the arithmetic, and nothing that runs."""

from statistics import median

MIB = 1 << 20
OURS, VOTES, STREAM, CLUSTER = 'ours', 'ours, votes', 'stream', 'cluster'
# what each path is called in the tables
TITLES = {'ours': 'encode_catalog', 'ours, votes': 'encode_catalog(reconstruction=False)',
          'stream': 'stream_catalog(reconstruction=False)',
          'cluster': 'encode_fields(reconstruction=False), a worker a thread',
          'plain': 'plain loop, a source at a time', 'plain, batches': 'the same, linear, batches of 64',
          'paper': 'Xu et al. (2023), arcsinh stretch', 'paper, its code': 'Xu et al. (2023), stretch of their code',
          'zoobot, efficientnet_b0': 'Zoobot: efficientnet_b0 of timm',
          'zoobot, convnext_nano': 'Zoobot: convnext_nano of timm', 'hyrax': 'Hyrax infer, its own network; reads FITS'}
# what is asked: how many times as fast at least, and shares at most
FASTER = {'plain': 10, 'plain, batches': 10, 'paper': 15, 'paper, its code': 15}
MOST_BESIDE_NETWORK, LEAST_OF_PEAK, MOST_GROWTH, MOST_DASK = 0.30, 0.60, 0.10, 0.15
MOST_SECONDS = {'galvae encode': 1.5, 'import galvae_affiliated': 0.3}


def seconds_a_source(runs):
    """
    Median of repeated runs.

    Parameters
    ----------
    runs : list of dict
        With ``rows`` and ``seconds``.

    Returns
    -------
    seconds : float
    """
    return median(run['seconds'] / run['rows'] for run in runs)


def measured(runs):
    """Whether a path ran: not if a package is missing, or it failed."""
    return bool(runs) and all('seconds' in run for run in runs)


def faster(found, name, than):
    """How many times as many galaxies a second the path ``name`` encodes as ``than``; both from mosaic to table."""
    return seconds_a_source(found[than]) / seconds_a_source(found[name])


def slopes(seconds):
    """
    Seconds that one more source takes, between neighbouring sizes of a catalogue.

    Parameters
    ----------
    seconds : dict of int to float
        Rows of the catalogue to seconds in all.

    Returns
    -------
    slopes : list of float
    """
    sizes = sorted(seconds)
    return [(seconds[b] - seconds[a]) / (b - a) for a, b in zip(sizes, sizes[1:])]


def spread(values):
    """How much the largest is above the smallest, as a share of it."""
    return max(values) / min(values) - 1


def beside_network(runs):
    """Median share of the time in which the network did not run."""
    return median(1 - run['stages']['network'] / sum(run['stages'].values()) for run in runs)


def checks(found):
    """
    What is asked of the package, and what was found.

    Parameters
    ----------
    found : dict
        Of `throughput.py`; parts that were not measured are left out.

    Returns
    -------
    rows : list of (str, float, str, bool)
        What, the figure, what is asked, and whether it is met.
    """
    rows, tables = [], found.get('tables', {})
    for name, least in FASTER.items():
        for ours in (OURS, VOTES):
            if measured(tables.get(name)) and measured(tables.get(ours)):
                rows.append((f'{TITLES[ours]}, times as fast as: {TITLES[name]}', faster(tables, ours, name), '>=',
                             least))
    for ours in (OURS, VOTES):
        if measured(tables.get(ours)):
            rows.append((f'{TITLES[ours]}: share of everything but the network', beside_network(tables[ours]), '<=',
                         MOST_BESIDE_NETWORK))
    if measured(tables.get(CLUSTER)) and measured(tables.get(VOTES)):
        rows.append(('Dask, a worker a thread: share by which it is slower than one process',
                     1 - faster(tables, CLUSTER, VOTES), '<=', MOST_DASK))
    for name, sizes in found.get('growth', {}).items():
        sizes = {int(n): runs for n, runs in sizes.items()}
        change = spread(slopes({n: median(r['seconds'] for r in runs) for n, runs in sizes.items()}))
        rows.append((f'{TITLES[name]}: change of the time a source with the catalogue', change, '<=', MOST_GROWTH))
        *_, before, last = (max(r['memory']['peak'] for r in sizes[n]) for n in sorted(sizes))
        rows.append((f'{TITLES[name]}: change of the peak memory between the two largest', last / before - 1, '<=',
                     MOST_GROWTH))
    for name, most in MOST_SECONDS.items():
        if name in found.get('start', {}):
            rows.append((f'{name}, seconds', median(found['start'][name]), '<=', most))
    for name, share in found.get('limits', {}).get('shares of peak', {}).items():
        rows.append((f'{name}: share of the matrix-multiply peak', share, '>=', LEAST_OF_PEAK))
    return [(what, figure, f'{sign} {limit:g}', figure >= limit if sign == '>=' else figure <= limit)
            for what, figure, sign, limit in rows]


def tables(found):
    """
    Tables of all that was measured.

    Parameters
    ----------
    found : dict

    Returns
    -------
    tables : list of (str, list of str, list of list of str)
        Title, header and rows.
    """
    makers = {'tables': (table_of_paths, stage_table), 'latents': (latent_table,), 'growth': (growth_table,),
              'start': (start_table,), 'limits': (limit_table, kernel_table)}
    made = [maker(found) for part, some in makers.items() if part in found for maker in some]
    asked = [[what, f'{figure:.3g}', limit, 'yes' if met else 'NO'] for what, figure, limit, met in checks(found)]
    return [table for table in made if table[2]] + [('What is asked', ['what', 'found', 'asked', 'met'], asked)]


def not_measured(name, runs, length):
    """The row of a path that did not run."""
    reason = f'{runs[0]["missing"]} is not installed' if 'missing' in runs[0] else f'failed: {runs[0]["failed"]}'
    return [TITLES[name], reason, *['-'] * (length - 2)]


def table_of_paths(found):
    """From mosaic to table."""
    runs = found['tables']
    header = ['path', 'sources', 'galaxies a second', 'ms a galaxy', f'{TITLES[OURS]} is faster by',
              f'{TITLES[VOTES]} by', 'peak memory / MiB', 'not of files / MiB', 'over baseline / MiB']
    rows = []
    for name, some in runs.items():
        if not measured(some):
            rows.append(not_measured(name, some, len(header)))
            continue
        seconds = seconds_a_source(some)
        rows.append([TITLES[name], f'{some[0]["rows"]}', f'{1 / seconds:.4g}', f'{seconds * 1e3:.3g}',
                     *(f'{faster(runs, ours, name):.3g}' if measured(runs.get(ours)) else '-'
                       for ours in (OURS, VOTES)),
                     *(f'{max(run["memory"][key] for run in some) / MIB:.0f}'
                       for key in ('peak', 'not of files', 'over baseline'))])
    return 'From mosaic to table', header, rows


def latent_table(found):
    """From cutouts that are ready to latents."""
    header, rows = ['path', 'cutouts', 'galaxies a second', 'ms a galaxy', 'ours is faster by'], []
    ours = found['latents'].get(VOTES)
    for name, runs in found['latents'].items():
        if not measured(runs):
            rows.append(not_measured(name, runs, len(header)))
            continue
        seconds = seconds_a_source(runs)
        rows.append([TITLES[name] if name != VOTES else 'LatentTransformer', f'{runs[0]["rows"]}', f'{1 / seconds:.4g}',
                     f'{seconds * 1e3:.3g}', f'{seconds / seconds_a_source(ours):.3g}' if measured(ours) else '-'])
    return 'From cutouts to latents', header, rows


def stage_table(found):
    """What our time goes to; a moment counts once."""
    paths = [name for name in (OURS, VOTES) if measured(found['tables'].get(name))]
    header = ['stage', *(f'{TITLES[name]}: {what}' for name in paths for what in ('share', 'at work'))]
    if not paths:
        return 'Share of the time by stage', header, []
    rows = []
    for stage in found['tables'][paths[0]][0]['stages']:
        row = [stage]
        for name in paths:
            runs = found['tables'][name]
            row += [f'{median(run["stages"][stage] / run["seconds"] for run in runs):.1%}',
                    f'{median(run["busy"][stage] / run["seconds"] for run in runs):.1%}'
                    if stage in runs[0]['busy'] else '-']
        rows.append(row)
    rows.append(['everything but the network', *(x for name in paths
                                                 for x in (f'{beside_network(found["tables"][name]):.1%}', '-'))])
    alone = found.get('latents', {}).get(VOTES)
    if VOTES in paths and measured(alone):
        # what is hidden behind the network slows it on a machine whose cores are all at work
        share = 1 - seconds_a_source(alone) / seconds_a_source(found['tables'][VOTES])
        rows.append(['the same, by the time of the network alone', *['-'] * (len(header) - 3), f'{share:.1%}', '-'])
    return 'Share of the time by stage', header, rows


def growth_table(found):
    """Time and memory against the length of the catalogue."""
    header = ['path', 'sources', 'seconds', 'ms a further source', 'peak memory / MiB', 'not of files / MiB']
    rows = []
    for name, sizes in found['growth'].items():
        seconds = {int(n): median(run['seconds'] for run in runs) for n, runs in sizes.items()}
        further = [None, *slopes(seconds)]
        for n, slope in zip(sorted(seconds), further):
            runs = sizes.get(n, sizes.get(str(n)))
            rows.append([TITLES[name], f'{n}', f'{seconds[n]:.3g}', '-' if slope is None else f'{slope * 1e3:.3g}',
                         *(f'{max(run["memory"][key] for run in runs) / MIB:.0f}' for key in ('peak', 'not of files'))])
    return 'Growth with the catalogue', header, rows


def start_table(found):
    """Seconds of a new process."""
    rows = [[name, f'{median(times):.3f}', f'{min(times):.3f}'] for name, times in found['start'].items()]
    return 'Start-up, a new process each', ['command', 'median / s', 'shortest / s'], rows


def limit_table(found):
    """What the machine can do, and what the network asks of it."""
    limits = found['limits']
    network, least = limits['network'], limits['least seconds a galaxy']
    rows = [[f'matrix-multiply peak, {name}, {peak["size"]} x {peak["size"]}',
             f'{peak["rate"] / 1e9:.1f} G multiply-adds/s'] for name, peak in limits['peaks'].items()]
    rows += [['device', limits['device']]] if 'device' in limits else []
    rows += [['memory bandwidth, triad', f'{limits["bandwidth"] / 1e9:.1f} GB/s'],
             ['encoder: multiply-adds a galaxy', f'{network["multiply-adds"] / 1e6:.1f} M'],
             ['of which convolutions', f'{network["convolutions"] / 1e6:.1f} M'],
             ['encoder: bytes read and written by its nodes', f'{network["bytes"] / 1e6:.1f} MB a galaxy'],
             ['least time for the multiply-adds', f'{least["multiply-adds"] * 1e3:.3f} ms a galaxy'],
             ['least time for the bytes, if none stayed in a cache', f'{least["bytes"] * 1e3:.3f} ms a galaxy'],
             ['time of the encoder', f'{limits["encoder"]["seconds a galaxy"] * 1e3:.3f} ms a galaxy']]
    rows += [[f'share of the peak: {name}', f'{share:.1%}'] for name, share in limits['shares of peak'].items()]
    return 'The limit of the machine', ['what', 'figure'], rows


def kernel_table(found):
    """What the encoder's time goes to, and its slowest convolutions."""
    kernels = found['limits']['encoder'].get('kernels', {})
    total = sum(kernels.values())
    rows = [[f'all {name}', f'{seconds * 1e6:.1f}', f'{seconds / total:.1%}', '-']
            for name, seconds in kernels.items() if seconds > 0.01 * total]
    rows += [[f'convolution {row["node"]}', f'{row["seconds"] * 1e6:.1f}', f'{row["seconds"] / total:.1%}',
              f'{row["share of peak"]:.1%}'] for row in found['limits'].get('convolutions', [])]
    return "The encoder's kernels", ['kernel', 'microseconds a galaxy', 'share of the time', 'share of the peak'], rows


def as_text(table):
    """A table for a terminal."""
    title, header, rows = table
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = ['  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [header, *rows]]
    return '\n'.join([title, '=' * len(title), *lines, ''])


def as_rst(table):
    """A table as a reStructuredText list-table."""
    title, header, rows = table
    lines = [f'.. list-table:: {title}', '   :header-rows: 1', '']
    for row in [header, *rows]:
        lines += [f'   {"*" if i == 0 else " "} - {cell}' for i, cell in enumerate(row)]
    return '\n'.join([*lines, ''])
