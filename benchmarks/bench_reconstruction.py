# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Mean square error of reconstructions, model beside model.

    bench_reconstruction.py GALAXIES.parquet MODEL... [--split test] [--galaxies 4000]
                            [--picture PNG] [--json OUT]

Each model encodes the same cutouts and decodes their latents (and pose, where it has one). The
error is that of the normalised image, over the circle that the network sees; SSIM is of the
composite.
"""

import argparse
import json

import numpy as np
import torch
from _common import add_outputs, composites, split_ids, write_report

from galvae_affiliated import LatentTransformer, get_model
from galvae_affiliated.training.evaluate.images import image_mse, image_ssim
from galvae_affiliated.training.networks.preprocess import Preprocess

SHOWN = 8


def _measured(bundle, images):
    """Mean square error in normalised units, mean SSIM, the reconstructions and the frames."""
    preprocess = Preprocess(bundle.grid)
    encoder = LatentTransformer(bundle).encoder
    encoding = encoder.encode(images, reconstruction=False)
    decoded = encoder.decode(encoding.latent, encoding.pose)
    with torch.inference_mode():
        frame, _, weight = preprocess(torch.from_numpy(images))
    frame, weight, scale = frame.numpy(), weight.numpy(), preprocess.scale.numpy()
    mse = image_mse(decoded / scale, frame / scale, weight)
    return mse, image_ssim(decoded, frame), decoded, frame


def _draw(path, frame, decoded):
    """The first galaxies above what each model makes of them."""
    from matplotlib.figure import Figure

    rows = {'image': frame, **decoded}
    figure = Figure(figsize=(1.3 * SHOWN, 1.4 * len(rows)), layout='constrained')
    axes = figure.subplots(len(rows), SHOWN)
    for line, (name, images) in zip(axes, rows.items()):
        for ax, image in zip(line, images):
            ax.imshow(np.moveaxis(image, 0, -1).clip(0, 1))
            ax.set_xticks([])
            ax.set_yticks([])
        line[0].set_ylabel(name)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data')
    parser.add_argument('models', nargs='+')
    parser.add_argument('--split', default='test')
    parser.add_argument('--galaxies', type=int, default=5000)
    parser.add_argument('--picture')
    add_outputs(parser, rst=False)
    options = parser.parse_args()
    bundles = [get_model(model) for model in options.models]
    ids = split_ids(options.data, options.split)[:options.galaxies]
    images = composites(options.data, bundles[0], ids)
    found, decoded = {}, {}
    for bundle in bundles:
        mse, ssim, decoded[bundle.name], frame = _measured(bundle, images)
        steps = bundle.manifest.raw['training'].get('steps')
        found[bundle.name] = {'mse': round(mse, 5), 'ssim': round(ssim, 4), 'steps': steps,
                              'galaxies': len(images)}
    print(json.dumps(found, indent=1))
    if options.picture:
        _draw(options.picture, frame, decoded)
    write_report(options, found)


if __name__ == '__main__':
    main()
