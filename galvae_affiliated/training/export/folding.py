# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What can be done to a trained network before it is exported, so that inference does less."""

import copy

import torch
from torch import nn

__all__ = ['in_half', 'reading_frames', 'writing_frames']


def reading_frames(encoder, preprocess):
    """
    An encoder whose first convolution does the normalisation too: two passes over images less.

    Parameters
    ----------
    encoder : `torch.nn.Module`
        With a sequence ``features``.
    preprocess : `~galvae_affiliated.training.networks.preprocess.Preprocess`

    Returns
    -------
    encoder : `torch.nn.Module`
        A copy, or the same if its first layer is another or pads its input: beyond an edge lies
        zero, which is the mean of normalised images and not of frames.
    reads_frames : bool
        Whether it takes frames in place of normalised images.
    """
    first = encoder.features[0]
    if not isinstance(first, nn.Conv2d) or any(first.padding):
        return encoder, False
    encoder = copy.deepcopy(encoder)
    with torch.no_grad():
        weight = first.weight / preprocess.scale
        offset = -(weight * preprocess.centre).sum((1, 2, 3))
        folded = nn.Conv2d(first.in_channels, first.out_channels, first.kernel_size,
                           first.stride)
        folded.weight.copy_(weight)
        folded.bias.copy_(offset if first.bias is None else first.bias + offset)
    encoder.features[0] = folded.to(first.weight.device)
    return encoder, True


def writing_frames(decoder, preprocess):
    """
    A decoder whose last convolution undoes the normalisation too.

    Parameters
    ----------
    decoder : `torch.nn.Module`
        With a sequence ``layers``.
    preprocess : `~galvae_affiliated.training.networks.preprocess.Preprocess`

    Returns
    -------
    decoder : `torch.nn.Module`
        A copy, or the same if it does not end with a convolution and a pixel shuffle.
    writes_frames : bool
        Whether it gives levels of composites in place of normalised images.
    """
    last, shuffle = decoder.layers[-2:]
    if not isinstance(last, nn.Conv2d) or not isinstance(shuffle, nn.PixelShuffle):
        return decoder, False
    decoder = copy.deepcopy(decoder)
    with torch.no_grad():
        # the shuffle takes as many channels one after another for each colour
        scale, centre = (value.reshape(3).repeat_interleave(shuffle.upscale_factor ** 2)
                         for value in (preprocess.scale, preprocess.centre))
        decoder.layers[-2].weight.mul_(scale.view(-1, 1, 1, 1))
        decoder.layers[-2].bias.mul_(scale).add_(centre)
    return decoder, True


class _Cast(nn.Module):
    """To another precision."""

    def __init__(self, dtype):
        super().__init__()
        self.dtype = dtype

    def forward(self, x):
        return x.to(self.dtype)


def in_half(network, name):
    """
    A copy of a network one sequence of which computes in half precision, for GPUs.

    Parameters
    ----------
    network : `torch.nn.Module`
    name : str
        Of the sequence. What is before and after it stays in single precision.
    """
    network = copy.deepcopy(network)
    layers = getattr(network, name).half()
    setattr(network, name, nn.Sequential(_Cast(torch.float16), *layers, _Cast(torch.float32)))
    return network
