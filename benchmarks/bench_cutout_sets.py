# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How fast ready colour composites are encoded: as they are, and enlarged to 424 pixels as GZ2's.

    bench_cutout_sets.py SET.parquet [--baseline OTHER] [--rows 200] [--repeats 5]

Cutouts a second from the Parquet file to latents, without votes and reconstruction, after a run
that is not timed. ``--baseline`` compares this checkout with another, whose folder holds a
``galvae_affiliated``: each repeat is a process of its own, and the two take turns.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

HERE = Path(__file__).resolve().parent.parent
LARGE = 424  # pixels


def read_rows(path, n_rows):
    """Rows of a set, as dicts."""
    file = pq.ParquetFile(path)
    batch = next(file.iter_batches(n_rows, columns=['id_str', 'image']))
    return batch.to_pylist()


def enlarged(content, side):
    """A JPEG of another size."""
    image = Image.open(io.BytesIO(content)).convert('RGB')
    buffer = io.BytesIO()
    image.resize((side, side), Image.Resampling.BICUBIC).save(buffer, 'JPEG', quality=90)
    return buffer.getvalue()


def write_sets(path, folder, n_rows):
    """Paths of the two sets by their side in pixels."""
    rows = read_rows(path, n_rows)
    side = Image.open(io.BytesIO(rows[0]['image']['bytes'])).width
    ids = [row['id_str'] for row in rows]
    paths = {}
    for pixels in (side, LARGE):
        images = [row['image']['bytes'] for row in rows]
        if pixels != side:
            images = [enlarged(content, pixels) for content in images]
        paths[pixels] = folder / f'{pixels}.parquet'
        pq.write_table(pa.table({'id_str': ids, 'image': [{'bytes': i} for i in images]}),
                       paths[pixels])
    return paths


def run_once(path):
    """Print the seconds that a set takes."""
    try:
        from galvae_affiliated.catalog import encode_cutout_set
    except ImportError:  # before the package had folders
        from galvae_affiliated.cutout_sets import encode_cutout_set
    for _ in range(2):
        start = time.perf_counter()
        encode_cutout_set(path, morphology=False, reconstruction=False)
    print(time.perf_counter() - start)


def seconds(path, checkout):
    """Seconds of one run of a checkout's package."""
    environment = {**os.environ, 'PYTHONPATH': str(checkout)}
    result = subprocess.run([sys.executable, __file__, '--run', str(path)], env=environment,
                            check=True, capture_output=True, text=True)
    return float(result.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n\n')[0])
    parser.add_argument('path', help='a set as Galaxy Zoo lays them out')
    parser.add_argument('--baseline', type=Path, help='folder that holds another package')
    parser.add_argument('--rows', type=int, default=200)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--run', action='store_true', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run_once(options.path)
        return
    checkouts = [HERE] + ([options.baseline.resolve()] if options.baseline else [])
    with tempfile.TemporaryDirectory() as folder:
        paths = write_sets(options.path, Path(folder), options.rows)
        for side, path in paths.items():
            times = [[seconds(path, checkout) for checkout in checkouts]
                     for _ in range(options.repeats)]
            rates = [options.rows / median(some) for some in zip(*times)]
            line = f'{side} pixels: {rates[0]:.0f} a second'
            if options.baseline:
                line += f', baseline {rates[1]:.0f}, ratio {rates[0] / rates[1]:.2f}'
            print(line)


if __name__ == '__main__':
    main()
