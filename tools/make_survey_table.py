# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Which model takes which survey, and how: the tables of docs/bands.rst.

    make_survey_table.py [--model MODEL]... [--measured SURVEYS.json] -o docs/surveys.inc

Each set of bands is planned as the package does it. SURVEYS.json is that of
``benchmarks/bench_surveys.py``: what was measured of cutouts of these surveys.
"""

import argparse
import json
from pathlib import Path

from galvae_affiliated import get_model, list_models
from galvae_affiliated.images.bands import plan_channels

SURVEYS = {
    'SDSS': 'u,g,r,i,z',
    'Legacy Surveys': 'g,r,z',
    'DES': 'g,r,i,z,Y',
    'Pan-STARRS': 'g,r,i,z,y',
    'HSC': 'HSC-G,HSC-R,HSC-I,HSC-Z,HSC-Y',
    'KiDS': 'u,g,r,i',
    'LSST': 'u,g,r,i,z,y',
    'CSST': 'NUV,u,g,r,i,z,y',
    'Euclid VIS': 'VIS',
    'Euclid VIS and NISP': 'VIS,NISP_Y,NISP_J,NISP_H',
    'HST, one band': 'F814W',
    'HST, two bands': 'F606W,F814W',
    'HST, COSMOS-Web': 'F814W,F115W,F150W,F277W,F444W',
    'JWST NIRCam': 'F115W,F200W,F356W',
    'UKIDSS': 'Y,J,H,K',
    'one band of any': 'r',
}
MEASURED = {'rows': 'galaxies', 'measured': 'measured', 'poor': 'POOR_FIT',
            'unresolved': 'UNRESOLVED', 'unlike': 'p < 0.05', 'turned': 'recall at 1, turned'}


def plan_rows(model):
    """A line a survey: its bands, what goes into which channel, the rendering, and flags."""
    names = list(model.frame.flux_renderings())
    rows = []
    for survey, bands in SURVEYS.items():
        plan = plan_channels(bands.split(','), *model.frame.band_sets())
        flags = 'FEW_BANDS' if plan.is_few else ''
        rows.append([survey, bands.replace(',', ', '), plan.channels.replace(',', ', '),
                     names[plan.place], flags])
    return rows


def list_table(title, header, rows):
    """A reStructuredText list-table, its columns as narrow as their words."""
    lines = [f'.. list-table:: {title}', '   :header-rows: 1', '   :class: compact', '']
    for row in [header, *rows]:
        lines += [f'   {" " if i else "*"} - {cell}'.rstrip() for i, cell in enumerate(row)]
    return '\n'.join([*lines, ''])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--model', action='append', help='all that are packaged if left out')
    parser.add_argument('--measured', action='append', default=[], help='of bench_surveys.py')
    parser.add_argument('-o', '--output', required=True)
    options = parser.parse_args()
    # models of one frame take the same images
    models, frames = {}, {}
    for name in options.model or list_models():
        model = get_model(name)
        key = tuple(map(str, model.frame.renderings))
        frames[key] = model
        models.setdefault(key, []).append(f'``{model.name}``')
    parts = []
    for key, model in frames.items():
        title = f'How {" and ".join(models[key])} take the bands of surveys'
        header = ['survey', 'bands', 'channels: red, green, blue', 'rendering', 'flag']
        parts.append(list_table(title, header, plan_rows(model)))
    for path in options.measured:
        figures = json.loads(Path(path).read_text())
        rows = [[name, *(f'{row[key]:.3f}' if isinstance(row[key], float) else str(row[key])
                         for key in MEASURED)] for name, row in figures['sets'].items()]
        parts.append(list_table(f'Measured with ``{figures["model"].partition("@")[0]}``',
                                ['images', *MEASURED.values()], rows))
    Path(options.output).write_text('.. made by tools/make_survey_table.py\n\n' + '\n'.join(parts))


if __name__ == '__main__':
    main()
