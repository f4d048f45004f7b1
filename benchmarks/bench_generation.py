# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Reconstructions and samples beside data: how much they look like galaxies, and what they keep.

    bench_generation.py GALAXIES.parquet MODEL [--split test] [--galaxies 2000]
                        [--judge gz2-sdss-v1] [--also NAME=MODEL]... [--sharp NAME=MODEL]...
                        [--supervised FILE.pt]
                        [--statmorph 300] [--conditions 200] [--training 4000] [--latents TABLE]
                        [--halves MODEL MODEL] [--rate] [--sheet PNG] [--json OUT] [--rst OUT]

``smooth`` is the smooth decoder of MODEL, ``galaxy`` its sharp one where the galaxy shines, and
``all`` the sharp one with the texture of the sky; all draw the same latents. Two halves of the data
are the floor of every distance. ``texture of another galaxy`` is the smooth reconstruction with
the residual of another galaxy of the same brightness, turned by a quarter: it has the power of
data, and no latent could tell it, so it says what SSIM is left to a picture that looks like data.
``--also`` compares other models (each decodes latents of its own encoder); the JUDGE itself, an
auto-encoder without any adversary, is one of them if nothing else is named. ``--sharp`` names
models with the encoder and density of MODEL and another sharp decoder.

Features are those of the JUDGE's encoder, before its latents. It took no part in the training of
the sharp decoder, nor does the network of ``--supervised`` (``bench_supervised.py train``), which
reads conditional samples; without it, the encoder and heads of the JUDGE do. All that is drawn goes
through the same steps as the data: 8 bits, and JPEG of the same tables. Half of a sheet of pictures
is data; its key is in the JSON.

``--latents`` is what ``galvae encode`` wrote of all galaxies, for the test on halves of the
training; otherwise ``--training`` galaxies are encoded. ``--halves`` takes two models whose sharp
decoder or density was trained on a half of the training galaxies each.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from _common import add_outputs, composites, rounded, split_ids, write_report
from _generation import Data, Judge, Storage, draw_sheet, kept
from _generation_checks import (
    DETAILS,
    Heads,
    Supervised,
    conditions,
    density_halves,
    model_halves,
    quantity_distances,
    rates,
)
from _generation_tables import tables
from astropy.table import Table

from galvae_affiliated import Engine, get_latents, get_model
from galvae_affiliated.models import Encoder
from galvae_affiliated.models.generation import draw_latents
from galvae_affiliated.surveys import survey_area
from galvae_affiliated.training.evaluate.images import borrowed_texture, noiseless_ssim
from galvae_affiliated.training.evaluate.shapes import picture_shapes, picture_structure

TEXTURE = 'texture of another galaxy'
START = time.perf_counter()


class Run:
    """What all parts of a run share: the data, their latents, and how pictures are stored."""

    def __init__(self, options):
        self.options, self.model = options, get_model(options.model)
        self.engine = Engine(device='cpu', n_threads=options.n_threads)
        self.encoder, self.stored = Encoder(self.model, self.engine), Storage(options.data)
        self.ids = _some(split_ids(options.data, options.split), options.galaxies)
        training = split_ids(options.data, 'train')
        training = _some(training[~np.isin(training, self.ids)], options.training)
        both = composites(options.data, self.model, np.concatenate([self.ids, training]))
        self.images, self.training = np.split(both, [len(self.ids)])
        self.frames = self.encoder.frames(self.images)
        self.encoding = self.encoder.encode(self.images, reconstruction=False)
        judge = Judge(get_model(options.judge), self.frames)
        self.training_frames = self.encoder.frames(self.training[:options.galaxies])
        self.data = Data(self.frames, judge, self.training_frames)
        self.rng = np.random.default_rng(0)
        self.drawn = draw_latents(self.model, len(self.frames), self.rng)
        self.decoders = {name: (Encoder(model, self.engine), details)
                         for name, (model, details) in decoders(options).items()}

    def training_latents(self):
        """Latents of training galaxies: of the table, or encoded here."""
        if self.options.latents is None:
            return self.encoder.encode(self.training, reconstruction=False).latent
        table = Table.read(self.options.latents)
        ids = np.setdiff1d(split_ids(self.options.data, 'train'), self.ids)
        latent = get_latents(table[np.isin(table['id_str'].astype(str), ids)], self.model)
        return latent[np.isfinite(latent).all(axis=1)]

    def measured(self, encoder, encoding, pictures):
        """Likeness of reconstructions, and what they keep."""
        return {**kept(encoder, encoding, pictures, self.frames), **self.data.likeness(pictures)}


def decoders(options):
    """Models and details of the decoders of the same latents, by their names."""
    own = get_model(options.model)
    others = dict(text.split('=', 1) for text in options.sharp)
    return ({name: (own, details) for name, details in DETAILS.items()}
            | {name: (get_model(source), 'all') for name, source in others.items()})


def _some(ids, n):
    """``n`` identifiers at random: a set may have an order of its own, rare galaxies first."""
    return np.random.default_rng(0).permutation(ids)[:n]


def say(text):
    """Progress on the terminal."""
    print(f'{time.perf_counter() - START:5.0f} s  {text}', file=sys.stderr, flush=True)


def measure_pictures(run, report):
    """Reconstructions and samples of each kind; returns the samples."""
    code, samples = (run.encoding.latent, run.encoding.pose), {}
    for name, (encoder, details) in run.decoders.items():
        say(f'{name}: reconstructions')
        pictures = run.stored(encoder.draw(*code, details=details, random_state=1))
        report['reconstructions'][name] = run.measured(run.encoder, run.encoding, pictures)
        say(f'{name}: samples')
        samples[name] = run.stored(encoder.draw(*run.drawn, details=details, random_state=2))
        report['samples'][name] = run.data.likeness(samples[name])
    say(TEXTURE)
    smooth = run.encoder.decode(*code)
    report['noiseless ssim'] = noiseless_ssim(smooth, run.frames)
    pictures = run.stored(borrowed_texture(smooth, run.frames))
    report['reconstructions'][TEXTURE] = run.measured(run.encoder, run.encoding, pictures)
    return samples


def measure_training(run, report):
    """Reconstructions of training galaxies: those of a decoder that knows them would be better."""
    n = len(run.frames)
    encoding = run.encoder.encode(run.training[:n], reconstruction=False)
    for name in ('smooth', 'all'):
        say(f'{name}: training galaxies')
        pictures = run.stored(run.encoder.draw(encoding.latent, encoding.pose,
                                               details=DETAILS[name], random_state=1))
        report['training'][name] = kept(run.encoder, encoding, pictures,
                                        run.training_frames[:n])


def measure_also(run, report):
    """Reconstructions of other models."""
    for text in run.options.also or [f'{run.options.judge}={run.options.judge}']:
        name, _, source = text.partition('=')
        say(name)
        encoder = Encoder(get_model(source), run.engine)
        encoding = encoder.encode(run.images, reconstruction=False)
        pictures = run.stored(encoder.decode(encoding.latent, encoding.pose))
        report['reconstructions'][name] = run.measured(encoder, encoding, pictures)


def measure_quantities(run, samples, report):
    """Sizes, forms and colors, and on fewer galaxies what statmorph measures."""
    say('sizes, forms, colors')
    report['quantities'] = quantity_distances(
        {name: picture_shapes(some) for name, some in samples.items()},
        picture_shapes(run.frames))
    n = run.options.statmorph
    if not n:
        return
    say(f'statmorph, {2 * n} galaxies and {n} of each kind')
    try:
        found = quantity_distances(
            {name: picture_structure(some[:n]) for name, some in samples.items()},
            picture_structure(run.frames[:2 * n]))
    except ModuleNotFoundError as error:
        report['not measured'] = str(error)
        return
    for name, values in found.items():
        report['quantities'][name] |= values


def measure_conditions(run, samples, report):
    """What readers say of conditional samples."""
    options = run.options
    if options.supervised:
        other = Supervised(options.supervised, run.model.manifest.questions)
        report['other network'] = 'supervised'
    else:
        other = Heads(get_model(options.judge), run.engine)
        report['other network'] = options.judge
    readers = {'heads': Heads(run.model, run.engine), 'other network': other}
    say('conditions')
    report['conditions'] = conditions(run.model, run.engine, readers, samples['all'],
                                      run.stored, options.conditions)


def measure_memory(run, report):
    """Whether latents are told from real ones, and training galaxies repeated."""
    say('latents')
    real = run.model.density.whitening(run.encoding.latent)
    drawn = run.model.density.whitening(run.drawn[0])
    area, low, high = survey_area(real, drawn, n_boot=100)
    report['latents told apart, AUC'] = {
        'area': area, 'low': low, 'high': high,
        'halves of the data': survey_area(real[::2], real[1::2], n_boot=100)[0]}
    report['halves of the training'] = density_halves(run.training_latents(), run.encoding.latent)
    if run.options.halves:
        say('two models')
        models = [get_model(source) for source in run.options.halves]
        report['two models'] = model_halves(models, *run.drawn, run.data, run.stored, run.engine)


def options_of(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('data')
    add('model')
    add('--split', default='test')
    add('--galaxies', type=int, default=2000)
    add('--judge', default='gz2-sdss-v1', help='model whose features are compared')
    add('--also', action='append', metavar='NAME=MODEL', help='another model to compare')
    add('--sharp', action='append', default=[], metavar='NAME=MODEL',
        help='another sharp decoder of the same latents')
    add('--supervised', metavar='FILE.pt', help='of bench_supervised.py, to read conditional ones')
    add('--conditions', type=int, default=200, help='samples of each answer')
    add('--statmorph', type=int, default=300, help='galaxies that it measures; 0 leaves it out')
    add('--training', type=int, default=4000, help='training galaxies that are read')
    add('--latents', metavar='TABLE', help='of the training galaxies, by galvae encode')
    add('--halves', nargs=2, metavar='MODEL', help='two models of halves of the training')
    add('--rate', action='store_true', help='time 10,000 samples of each kind')
    add('--n-threads', type=int, help='of everything')
    add('--sheet', metavar='PNG')
    add_outputs(parser)
    return parser.parse_args(arguments)


def main(arguments=None):
    options = options_of(arguments)
    if options.n_threads:
        torch.set_num_threads(options.n_threads)
    report = {'split': options.split, 'judge': options.judge, 'reconstructions': {},
              'samples': {}, 'training': {}}
    if options.rate:  # before anything else has filled the memory
        say('rates')
        report['rate'] = rates(decoders(options), options.n_threads)
    say('galaxies')
    run = Run(options)
    report |= {'model': run.model.id, 'galaxies': len(run.frames),
               'training galaxies': len(run.data.training)}
    say('halves of the data')
    report['halves of the data'] = run.data.halves()
    samples = measure_pictures(run, report)
    measure_training(run, report)
    measure_also(run, report)
    measure_quantities(run, samples, report)
    measure_conditions(run, samples, report)
    measure_memory(run, report)
    if options.sheet:
        report['key of the sheet'] = draw_sheet(options.sheet, samples['all'], run.frames, run.rng)
    text, rst = tables(report)
    print(text)
    write_report(options, rounded(report), rst, Path(__file__).name)


if __name__ == '__main__':
    main()
