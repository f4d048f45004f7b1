# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Are latents that were drawn told from those of galaxies, and do they have what was asked for?

    bench_latent_density.py GALAXIES.fits [--model MODEL] [--ids FILE] [--n 500] [--json FILE]

GALAXIES is a table of latents that ``galvae encode`` wrote, of galaxies that the density was not
fitted to. Boosted trees learn to tell drawn latents from these on five shuffled folds, in whitened
latents; 0.5 is the best area under the ROC curve, and halves of the galaxies show what chance
gives. Then galaxies with one answer each are drawn and decoded: the share whose heads say so, of
the drawn latents and of the decoded images encoded again.
"""

import argparse
import time

import numpy as np
from _common import add_outputs, rounded, text_table, write_report
from astropy.table import Table

from galvae_affiliated import Engine, get_latents, get_model
from galvae_affiliated.models.encoder import Encoder
from galvae_affiliated.models.votes import predict_votes
from galvae_affiliated.surveys import survey_area

ASKED = (('smooth-or-featured', 'smooth'), ('disk-edge-on', 'yes'), ('how-rounded', 'round'),
         ('has-spiral-arms', 'yes'), ('bar', 'yes'), ('spiral-arm-count', '2'),
         ('merging', 'merger'))
SEEDS = (1, 2, 3)


def area_of_samples(model, latent):
    """Areas of samples against galaxies, and of halves of the galaxies."""
    whitening, density = model.density.whitening, model.density
    real = whitening(latent)
    drawn = [survey_area(real, whitening(density.sample(len(latent), seed)), n_boot=100,
                         random_state=seed) for seed in SEEDS]
    order = np.random.default_rng(0).permutation(len(real))
    halves = real[order[::2]], real[order[1::2]]
    area, low, high = np.mean(drawn, axis=0)
    return {'galaxies': len(latent), 'area': area, 'low': low, 'high': high,
            'halves of the galaxies': survey_area(*halves, n_boot=100)[0]}


def agreement(model, question, answer, n, engine):
    """Shares that have the answer that was asked for, and the time to draw them."""
    start = time.perf_counter()
    galaxies = model.generate(n, random_state=0, answers={question: answer}, engine=engine)
    seconds = time.perf_counter() - start
    seen = Encoder(model, engine).encode(galaxies.images, reconstruction=False).latent
    shares = [float((predict_votes(latent, model, engine).likeliest(question) == answer).mean())
              for latent in (galaxies.latent, seen)]
    usual = predict_votes(model.density.sample(4000, 0), model, engine).likeliest(question)
    return {'drawn': shares[0], 'encoded again': shares[1],
            'chance': float((usual == answer).mean()), 'seconds': seconds}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('galaxies')
    parser.add_argument('--model', help='name or file; the default model if left out')
    parser.add_argument('--ids', help='text file: take these galaxies alone')
    parser.add_argument('--n', type=int, default=500, help='galaxies to draw of each answer')
    add_outputs(parser, rst=False)
    options = parser.parse_args()
    model, engine = get_model(options.model), Engine(device='cpu')
    if model.density is None:
        parser.error(f'{model.id} has no density; galvae fit-parts adds one')
    table = Table.read(options.galaxies)
    if options.ids:
        with open(options.ids) as file:
            wanted = file.read().split()
        table = table[np.isin(table['id_str'].astype(str), wanted)]
    latent = get_latents(table, model)
    latent = latent[np.isfinite(latent).all(axis=1)]
    figures = {'model': model.id, 'samples': area_of_samples(model, latent), 'answers': {}}
    for question, answer in ASKED:
        if answer in model.questions.get(question, ()):
            figures['answers'][f'{question}: {answer}'] = agreement(model, question, answer,
                                                                    options.n, engine)
    print(rounded(figures['samples']))
    header = ['asked', 'drawn', 'encoded again', 'chance', 'seconds']
    rows = [[name, *(f'{row[key]:.3f}' for key in header[1:])]
            for name, row in figures['answers'].items()]
    print(text_table(f'{model.id}: the heads agree', header, rows))
    write_report(options, rounded(figures))


if __name__ == '__main__':
    main()
