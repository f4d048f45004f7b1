# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the groups of bench_attack.py share: runs of the command, and what they may say."""

import signal
import subprocess
import sys
import time

import numpy as np


def command(*words, **options):
    """Code and messages of one run of the command."""
    words = [sys.executable, '-m', 'galvae_affiliated.scripts.main', *map(str, words)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, **options)
    return done.returncode, done.stderr


def encoding(images, output, *words):
    return ['encode', images, '-o', output, '--already-scaled', '--no-morphology',
            '--no-reconstruction', *words]


def rows_of(path):
    """Identifiers and latents of a table."""
    from astropy.table import Table

    table = Table.read(path)
    return [str(name) for name in table['id_str']], np.ma.filled(table['galvae_latent'], 0)


def one_line(code, said, codes=(1, 2)):
    """'' if a run ended with one line; else what it said."""
    lines = said.strip().splitlines()
    is_told = len(lines) == 1 and lines[0].startswith('galvae: error: ')
    is_told &= 'unexpected' not in said
    return '' if code in codes and is_told else f'code {code}: {said[-200:]}'


def killed_run(images, output, after=2):
    """A run with chunks of ten rows that was killed when some chunks were there."""
    words = [sys.executable, '-m', 'galvae_affiliated.scripts.main',
             *encoding(images, output, '--chunk-size', '10', '--batch-size', '1')]
    run = subprocess.Popen(list(map(str, words)), stderr=subprocess.DEVNULL)
    parts = output.with_name(f'.{output.name}.parts')
    while run.poll() is None and len(list(parts.glob('*.json'))) < after:
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    run.wait()
    return parts


def reference(folder):
    output = folder / 'reference.parquet'
    code, said = command(*encoding(folder / 'set.parquet', output, '--chunk-size', 10,
                                   '--batch-size', 1))
    assert code == 0, said
    return rows_of(output)
