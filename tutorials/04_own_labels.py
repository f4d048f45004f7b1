# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Your own labels in 20 lines
===========================

You have sorted 150 galaxies by eye, into kinds that no survey of volunteers asks for, and want
the same of all others. The latents stay as they are; a new head is fitted to them within
seconds, and what comes out is a model like any other, with calibrated probabilities.

This tutorial needs PyTorch (``pip install 'galvae_affiliated[train]'``). The model that it makes
does not.

.. only:: not_run_04_own_labels

    .. note:: This page was built without PyTorch, so that its code was not run.
"""

# %%
# Galaxies and labels
# -------------------
#
# 450 painted galaxies stand in for a survey. Of the first 150 we pretend to have labels; what the
# others are is kept to check the answer.

import matplotlib.pyplot as plt
import numpy as np
from astropy.table import Table

from galvae_affiliated import add_latents
from galvae_affiliated.simulation import paint_galaxies

galaxies = paint_galaxies(450, random_state=4)
table = Table({'id_str': [f'J{i:03d}' for i in range(450)]})
table = add_latents(table, galaxies.images, reconstruction=False)

labelled, others = np.arange(150), np.arange(150, 450)
truth = np.array(galaxies.truth['kind'])

# %%
# The 20 lines
# ------------
#
# Labels are a data frame whose index names the galaxies as the table of latents does.
# ``class_column`` makes one question of a column of kinds. Votes of many people, and numbers such
# as masses, work as well (:func:`~galvae_affiliated.training.fit_new_quantities`). In the shell
# this is ``galvae fit-heads gz2-sdss-v3 labels.csv --latents latents.fits --class-column kind``.

import pandas as pd

from galvae_affiliated import add_morphology
from galvae_affiliated.training import fit_new_heads

labels = pd.DataFrame({'kind': truth[labelled]}, index=table['id_str'][labelled])
model = fit_new_heads('gz2-sdss-v3', labels, table, class_column='kind', head='logistic',
                      name='kinds')
predicted = add_morphology(table[others], model)
some = predicted['id_str', 'kind_answer', 'kind_set', 'kind_ring_fraction'][:6]
some.round(2)
some

# %%
# ``model.write('kinds.galvae')`` puts it into a file, for ``galvae encode --model kinds.galvae``.
#
# Is it right?
# ------------
#
# The right answer should be the likeliest, and in the set of 90 per cent of galaxies like those
# that were labelled. With real galaxies keep some labels back, as here, to know this.

answer = np.array(predicted['kind_answer'].filled(''))
sets = predicted['kind_set'].filled('{}')
inside = [kind in text.strip('{}').split(', ') for kind, text in zip(truth[others], sets)]
print(f'likeliest answer right: {np.mean(answer == truth[others]):.0%}')
print(f'right answer in the set: {np.mean(inside):.0%}')

# %%
# Each line shows the galaxies of one kind that the head is surest of, and then those that it
# hesitated about most. Wrong answers have a red frame. Look at the right half: it tells what to
# label next.

kinds = list(model.questions['kind'])
figure, axes = plt.subplots(len(kinds), 10, figsize=(9, 5.7))
figure.subplots_adjust(0.09, 0.01, 0.995, 0.94, wspace=0.04, hspace=0.06)
for line, kind in zip(axes, kinds):
    fraction = np.array(predicted[f'kind_{kind}_fraction'])
    order = np.argsort(-np.where(answer == kind, fraction, -1.0))[:np.sum(answer == kind)]
    shown = [*order[:5], *order[5:][-5:][::-1]]
    line[0].text(-0.1, 0.5, kind, transform=line[0].transAxes, ha='right', va='center')
    for axis in line:
        axis.set(xticks=[], yticks=[])
    for axis, row in zip(line, shown):
        axis.imshow(galaxies.images[others[row]].transpose(1, 2, 0))
        axis.text(0.04, 0.04, f'{fraction[row]:.2f}', color='white', fontsize=7,
                  transform=axis.transAxes)
        axis.spines[:].set(visible=answer[row] != truth[others[row]], color='red', linewidth=2)
axes[0, 2].set_title('surest', fontsize='medium')
axes[0, 7].set_title('least sure', fontsize='medium')
plt.show()
