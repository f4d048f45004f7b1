# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxies of other surveys, without labels."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from galvae_affiliated.training.data.labels import (
    no_votes,
    question_tree,
    read_labels,
    read_votes,
    with_teacher,
)
from galvae_affiliated.training.data.rendered import OPTIONS, open_source, rendered_images

__all__ = ['OtherSurvey', 'draw_others', 'read_other_surveys']

ALLOWED = ('source', 'is_aligned', 'teacher', *OPTIONS)


@dataclass(frozen=True)
class OtherSurvey:
    """
    Composites of another survey.

    Attributes
    ----------
    images : (N, grid, grid, 3) uint8 array
        Of the galaxies that could be brought to the model's scale.
    is_aligned : bool
        Their latents shall be distributed as those of the labelled survey are, within kinds. That
        asks for galaxies of the same mass and distance.
    votes : dict of str to `~galvae_affiliated.training.data.labels.Votes`
        What a teacher predicts of them; empty where there is none.
    """

    images: np.ndarray
    is_aligned: bool = True
    votes: dict = field(default_factory=dict)


def draw_others(surveys, n, generator):
    """
    Random galaxies of other surveys.

    Parameters
    ----------
    surveys : sequence of `OtherSurvey`
    n : int
        Of each.
    generator : `torch.Generator`

    Yields
    ------
    images : (n, grid, grid, 3) uint8 tensor
    rows : (n,) int64 tensor
        Their places in the survey.
    """
    for survey in surveys:
        drawn = torch.randint(len(survey.images), (n,), generator=generator)
        yield torch.from_numpy(survey.images[drawn.numpy()]), drawn


def read_other_surveys(config, cache):
    """
    Composites of the sets that ``config.data.other_surveys`` names.

    Parameters
    ----------
    config : `~galvae_affiliated.training.TrainingConfig`
    cache : str or path
        Folder for the rendered images, as `~galvae_affiliated.training.data.dataset.read_galaxies`
        takes it.

    Returns
    -------
    surveys : list of `OtherSurvey`

    Raises
    ------
    ValueError
        If a set is named with other options, or has no galaxy.
    FileNotFoundError
        If it is not there.
    """
    plain = {name: getattr(type(config.data)(), name) for name in OPTIONS
             if name not in ('field_of_view', 'exposure')}
    surveys = []
    for other in config.data.other_surveys:
        options = {'source': other} if isinstance(other, str) else dict(other)
        unknown = sorted(set(options) - set(ALLOWED))
        if unknown or 'source' not in options:
            what = f'has {unknown[0]!r}' if unknown else 'names no source'
            raise ValueError(f'data.other_surveys: {other!r} {what}; expected '
                             f'{", ".join(ALLOWED)}')
        is_aligned, teacher = options.pop('is_aligned', True), options.pop('teacher', '')
        own = config.replaced(**{**plain, **options})
        ids, images, usable = rendered_images(open_source(own), None, own, Path(cache))
        if not usable.any():
            raise ValueError(f'{options["source"]}: no galaxy could be brought to the scale of the '
                             'model')
        votes = _predicted_votes(teacher, ids[usable], config) if teacher else {}
        surveys.append(OtherSurvey(np.array(images[np.flatnonzero(usable)]), is_aligned, votes))
    return surveys


def _predicted_votes(path, ids, config):
    """What a teacher says of a survey's galaxies, as votes with the weight that it has."""
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path}: there is no such file (data.other_surveys, teacher)')
    tree = question_tree(config.data.questions)
    predicted = read_votes(read_labels(path, config.data.id_column).reindex(ids), tree)
    return with_teacher(no_votes(predicted, len(ids)), predicted, tree,
                        config.data.teacher_weight)
