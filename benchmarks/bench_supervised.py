# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Train what the default model is compared with: its encoder, on the votes alone.

    bench_supervised.py train GZ2.parquet RUN [--epochs 60]
    bench_supervised.py predict GZ2.parquet RUN -o PREDICTIONS.parquet [--unvoted]

The network has the default model's backbone, reads the same frames under the same augmentation, and
predicts vote fractions from its pooled features without a bottleneck. Galaxies without votes are of
no use to it; ``--unvoted`` predicts for those of the training split, averaged over four
orientations, to teach another network.
"""

import argparse
from pathlib import Path

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader

from galvae_affiliated.training.config import TrainingConfig
from galvae_affiliated.training.data.augment import random_view
from galvae_affiliated.training.data.dataset import as_composites, read_galaxies
from galvae_affiliated.training.data.labels import question_tree
from galvae_affiliated.training.data.sampler import MixedSampler
from galvae_affiliated.training.networks.preprocess import Preprocess
from galvae_affiliated.training.networks.residual import Encoder
from galvae_affiliated.training.networks.vote_heads import VoteHeads, vote_loss

QUESTIONS = {question: entry['answers'] for question, entry in question_tree('gz2').items()}
BATCH = 128  # galaxies that are predicted at a time
# quarter turns, and whether the image is flipped after
TURNS = ((0, False), (2, False), (1, True), (3, True))


class _SupervisedNetwork(nn.Module):
    """The encoder's features, pooled, to the votes."""

    def __init__(self, config):
        super().__init__()
        encoder = Encoder(config)
        self.features, self.dropout = encoder.features, encoder.dropout
        self.heads = VoteHeads(2 * config.widths[-1], [len(a) for a in QUESTIONS.values()])

    def forward(self, x):
        """(N, 3, grid, grid) normalised -> list of (N, n_answers) log-fractions."""
        x = self.features(x).float()
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)
        return self.heads.log_fractions(self.dropout(pooled))


class _SupervisedTraining(lightning.LightningModule):
    def __init__(self, config, galaxies):
        super().__init__()
        self.config = config
        self.preprocess = Preprocess(config.model.grid)
        network = _SupervisedNetwork(config.model)
        self.model = network.to(memory_format=torch.channels_last)
        self.fractions, self.weights = galaxies.vote_tensors()

    def training_step(self, batch, _):
        images, rows = batch
        seed = self.config.training.random_state * 1_000_003 + self.global_step
        generator = torch.Generator().manual_seed(seed)
        view, _ = random_view(as_composites(images), self.config.augmentation, generator)
        _, normalised, _ = self.preprocess(view)
        log_fractions = self.model(normalised.contiguous(memory_format=torch.channels_last))
        loss = vote_loss(log_fractions, [f[rows] for f in self.fractions],
                         [w[rows] for w in self.weights])
        self.log('votes', loss)
        return loss

    def configure_optimizers(self):
        config = self.config.training
        optimizer = torch.optim.AdamW(self.parameters(), config.learning_rate,
                                      weight_decay=config.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, config.learning_rate, config.steps, pct_start=config.warmup_share)
        return {'optimizer': optimizer,
                'lr_scheduler': {'scheduler': schedule, 'interval': 'step'}}


def _configuration(options, split='train'):
    return TrainingConfig.of_preset(
        source=options.data, questions='gz2', suffix='-gz2', split_column='split',
        train_split=split, already_scaled=True,
        validation_share=0.08 if split == 'train' else 0.0)


def _run_train(options):
    config = _configuration(options)
    galaxies = read_galaxies(config, Path(options.run) / 'cache')
    rows = galaxies.train[galaxies.has_votes[galaxies.train]]
    config = config.replaced(steps=options.epochs * len(rows) // config.training.batch_size)
    training = config.training
    lightning.seed_everything(training.random_state)
    module = _SupervisedTraining(config, galaxies)
    sampler = MixedSampler(rows, rows[:0], batch_size=training.batch_size, share=1.0,
                           steps=training.steps, random_state=training.random_state)
    callbacks = [EMAWeightAveraging(decay=training.ema_decay),
                 ModelCheckpoint(options.run, save_last=True)]
    trainer = lightning.Trainer(
        max_steps=training.steps, precision='bf16-mixed', default_root_dir=options.run,
        gradient_clip_val=5.0, callbacks=callbacks, log_every_n_steps=20,
        enable_progress_bar=False)
    trainer.fit(module, DataLoader(galaxies, batch_sampler=sampler))
    torch.save(module.model.state_dict(), Path(options.run) / 'supervised.pt')


@torch.inference_mode()
def _run_predict(options):
    config = _configuration(options, 'train' if options.unvoted else 'test')
    galaxies = read_galaxies(config, Path(options.run) / 'cache')
    rows = galaxies.train
    if options.unvoted:
        rows = rows[~galaxies.has_votes[rows]]
    model, preprocess = _SupervisedNetwork(config.model), Preprocess(config.model.grid)
    model.load_state_dict(torch.load(Path(options.run) / 'supervised.pt'))
    model.eval()
    turns, parts = TURNS if options.unvoted else TURNS[:1], []
    for some in np.array_split(rows, 1 + len(rows) // BATCH):
        image = preprocess(galaxies.composites(some))[1]
        views = [torch.cat(model(_turned(image, *turn)), dim=1).exp() for turn in turns]
        parts.append(sum(views) / len(views))
    names = [f'{question}_{answer}_fraction'
             for question, answers in QUESTIONS.items() for answer in answers]
    predictions = pd.DataFrame(torch.cat(parts).numpy(), columns=names)
    predictions.insert(0, 'id_str', galaxies.ids[rows])
    predictions.to_parquet(options.output)


def _turned(image, quarters, is_flipped):
    image = torch.rot90(image, quarters, (2, 3))
    return image.flip(3) if is_flipped else image


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, command in (('train', _run_train), ('predict', _run_predict)):
        p = commands.add_parser(name)
        p.add_argument('data')
        p.add_argument('run')
        p.set_defaults(command=command)
        if name == 'train':
            p.add_argument('--epochs', type=int, default=60)
    p.add_argument('-o', '--output', required=True)
    p.add_argument('--unvoted', action='store_true',
                   help='galaxies of the training split that have no votes')
    options = parser.parse_args()
    options.command(options)


if __name__ == '__main__':
    main()
