# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Mean square error of reconstructions, model beside model.

    reconstruction.py GALAXIES.parquet MODEL... [--split test] [--galaxies 4000] [--picture PNG] [--json OUT]

Each model encodes the same cutouts and decodes their latents (and pose, where it has one). The error is that of the
normalised image, over the circle that the network sees; SSIM is of the composite.
"""

import argparse
import json

import numpy as np
import torch
from invariance import cutouts
from skimage.metrics import structural_similarity

from galvae_affiliated import LatentTransformer, get_model
from galvae_affiliated.training.networks.preprocess import Preprocess

SHOWN = 8


def measured(bundle, images):
    """Mean square error in normalised units, mean SSIM, and the reconstructions."""
    preprocess = Preprocess(bundle.grid)
    transformer = LatentTransformer(bundle)
    encoding = transformer.encode(images, reconstruction=False)
    decoded = transformer.inverse_transform(encoding.latent, pose=encoding.pose)
    with torch.inference_mode():
        frame, _, weight = preprocess(torch.from_numpy(images))
    frame, weight, scale = frame.numpy(), weight.numpy(), preprocess.scale.numpy()
    mse = (weight * ((decoded - frame) / scale) ** 2).sum() / weight.sum()
    ssim = np.mean([structural_similarity(a, b, channel_axis=0, data_range=1.0) for a, b in zip(decoded, frame)])
    return float(mse), float(ssim), decoded, frame


def draw(path, frame, decoded):
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data')
    parser.add_argument('models', nargs='+')
    parser.add_argument('--split', default='test')
    parser.add_argument('--galaxies', type=int, default=5000)
    parser.add_argument('--picture')
    parser.add_argument('--json')
    options = parser.parse_args()
    bundles = [get_model(model) for model in options.models]
    images = cutouts(options.data, bundles[0], options.split, options.galaxies)
    found, decoded = {}, {}
    for bundle in bundles:
        mse, ssim, decoded[bundle.name], frame = measured(bundle, images)
        found[bundle.name] = {'mse': round(mse, 5), 'ssim': round(ssim, 4),
                              'steps': bundle.manifest['training'].get('steps'), 'galaxies': len(images)}
    print(json.dumps(found, indent=1))
    if options.picture:
        draw(options.picture, frame, decoded)
    if options.json:
        with open(options.json, 'w') as file:
            json.dump(found, file, indent=1)


if __name__ == '__main__':
    main()
