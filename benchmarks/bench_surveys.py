# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How a model fares on the images of several surveys, without any labels of them.

    bench_surveys.py --set NAME=FILE.parquet[,OPTION=VALUE...] [--field NAME=FILE...] ...
                     [--model MODEL] [-n 300] --json SURVEYS.json

Options of a set are those of `_sets.set_stack` (``split=adapt``, ``pixel_scale=0.1``,
``already_scaled=yes``, ``bands=VIS``), and those of a field of `_sets.field_stack`. Of each: the
share of rows that are measured, that have the flags POOR_FIT and UNRESOLVED, whose p-value of being
like the training is below 0.05 (where the model says it), and that find themselves among all when
they are turned by a right angle and flipped, by the distance of whitened latents.
"""

import argparse

import numpy as np
from _common import add_outputs, rounded, text_table, write_report
from _sets import field_stack, set_stack, split_words

from galvae_affiliated import CutoutStack, GalvaeFlags, get_model
from galvae_affiliated.models.encoder import Encoder
from galvae_affiliated.models.whitening import Whitening

COLUMNS = ('rows', 'measured', 'poor', 'unresolved', 'unlike', 'turned')


def turned(stack):
    """The cutouts turned by a right angle and flipped; nothing is resampled."""
    data = np.ascontiguousarray(stack.data.swapaxes(2, 3))
    fields = {name: getattr(stack, name) for name in stack.__dataclass_fields__}
    return CutoutStack(**{**fields, 'data': data})


def recall(latent, other):
    """Share of rows whose nearest is their own among others, whitened by these."""
    whitening = Whitening.fit(other)
    a, b = whitening(latent), whitening(other)
    square = (a ** 2).sum(1)[:, None] + (b ** 2).sum(1) - 2.0 * a @ b.T
    return float((square.argmin(axis=1) == np.arange(len(a))).mean())


def measure(model, stack, encoder):
    """Figures of one survey; NaN where there is nothing to tell them by."""
    found, again = encoder.encode(stack), encoder.encode(turned(stack), reconstruction=False)
    known = found.measured & again.measured
    p = np.full(len(stack), np.nan)
    if model.applicability is not None:
        p = model.applicability.test(found).p
    told = np.isfinite(p)
    flags = found.flags[found.measured]
    shares = {name: float(((flags & bit) != 0).mean()) if len(flags) else np.nan for name, bit in
              (('poor', GalvaeFlags.POOR_FIT), ('unresolved', GalvaeFlags.UNRESOLVED))}
    return {'rows': len(stack), 'measured': float(found.measured.mean()), **shares,
            'unlike': float((p[told] < 0.05).mean()) if told.any() else np.nan,
            'turned': recall(again.latent[known], found.latent[known]) if known.sum() > 2
            else np.nan}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, what in (('set', 'cutouts'), ('field', 'images')):
        parser.add_argument(f'--{name}', action='append', default=[], help=what)
    parser.add_argument('--model', help='name or file; the default model if left out')
    parser.add_argument('-n', type=int, default=300, help='galaxies of each at most')
    parser.add_argument('--n-threads', type=int)
    add_outputs(parser, rst=False)
    options = parser.parse_args()
    model = get_model(options.model)
    encoder, sets = Encoder(model, n_threads=options.n_threads), {}
    for texts, read in ((options.set, set_stack), (options.field, field_stack)):
        for name, path, words in map(split_words, texts):
            sets[name] = measure(model, read(path, model, options.n, **words), encoder)
    lines = [[name, *(f'{row[key]:.3f}' if isinstance(row[key], float) else row[key]
                      for key in COLUMNS)] for name, row in sets.items()]
    print(text_table(model.id, ['', *COLUMNS], lines))
    write_report(options, rounded({'model': model.id, 'sets': sets}))


if __name__ == '__main__':
    main()
