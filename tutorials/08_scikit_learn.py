# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Latents in scikit-learn
=======================

`~galvae_affiliated.LatentTransformer` is a transformer of scikit-learn: cutouts go in, latents come
out, and any of its estimators follows. Forty numbers a galaxy are little, so that simple methods
do, with few labels.
"""

# %%
# A pipeline
# ----------
#
# Images in, kinds out. Nothing is learnt by the first step, which is the trained encoder. The
# images are composites at the model's scale; a `~galvae_affiliated.CutoutStack` from
# `~galvae_affiliated.make_cutouts` goes in the same way.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from galvae_affiliated import LatentTransformer
from galvae_affiliated.simulation import paint_galaxies

galaxies = paint_galaxies(400, random_state=2)
kinds = np.array(galaxies.truth['kind'])
pipeline = make_pipeline(LatentTransformer(), StandardScaler(), LogisticRegression(max_iter=1000))
pipeline.fit(galaxies.images[:200], kinds[:200])
print(f'right: {pipeline.score(galaxies.images[200:], kinds[200:]):.0%}')
pipeline

# %%
# Encode once
# -----------
#
# Cross-validation would encode each image again in each fold. The latents do not depend on labels,
# so encode first, and cross-validate what comes after. How many labels are enough?

from sklearn.model_selection import learning_curve

latents = pipeline[0].transform(galaxies.images)
sizes, _, scores = learning_curve(pipeline[1:], latents, kinds, cv=5, shuffle=True,
                                  random_state=0, train_sizes=[15, 30, 60, 120, 240, 320])

figure, axis = plt.subplots(figsize=(5, 3.6), layout='constrained')
axis.errorbar(sizes, scores.mean(axis=1), scores.std(axis=1), fmt='o-', capsize=3)
axis.axhline(1 / 6, color='0.7', linestyle=':')
axis.set(xlabel='labelled galaxies', ylabel='share of kinds that are right', ylim=(0, 1.02))
plt.show()

# %%
# Numbers can be learnt too. ``young`` is the share of the light of a painted disc that is in its
# young stars; the prediction is one by galaxies that the regression did not see.

from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_predict

discs = np.isin(kinds, ['spiral', 'barred', 'ring'])
young = np.array(galaxies.truth['young'])[discs]
regression = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))
predicted = cross_val_predict(regression, latents[discs], young, cv=5)
print(f'scatter {np.std(predicted - young):.2f}, of {np.std(young):.2f} without the latents')

figure, axis = plt.subplots(figsize=(4, 3.6), layout='constrained')
axis.plot([0, 0.6], [0, 0.6], color='0.7')
axis.plot(young, predicted, '.')
axis.set(xlabel='share of young light', ylabel='predicted', xlim=(0, 0.6), ylim=(0, 0.6))
plt.show()

# %%
# What a classifier looks at
# --------------------------
#
# The way from the mean of one kind to that of another is a direction in the latents. The decoder
# draws what lies along it (``inverse_transform`` makes images of latents); below each, the galaxy
# that lies nearest. The decoder is smooth: arms that it blurs are in the nearest galaxies. If what
# changes in the pictures is not what makes a spiral a spiral, but color alone, the classifier has
# learnt something else, and the labels should be looked at again.

from sklearn.neighbors import NearestNeighbors

two = np.isin(kinds, ['smooth', 'spiral'])
classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
classifier.fit(latents[two], kinds[two] == 'spiral')
nearest = NearestNeighbors(n_neighbors=1).fit(latents)

means = {kind: latents[kinds == kind].mean(axis=0) for kind in ('smooth', 'spiral')}
walk = means['smooth'] + np.linspace(-0.2, 1.3, 9)[:, None] * (means['spiral'] - means['smooth'])
decoded = pipeline[0].inverse_transform(walk)
found = galaxies.images[nearest.kneighbors(walk, return_distance=False)[:, 0]]

figure, axes = plt.subplots(2, 9, figsize=(9, 2.4), layout='constrained')
for line, images, name in zip(axes, (decoded, found), ('decoded', 'nearest')):
    line[0].text(-0.1, 0.5, name, transform=line[0].transAxes, rotation=90, ha='right',
                 va='center')
    for axis, image in zip(line, images):
        axis.imshow(image[:, 16:112, 16:112].transpose(1, 2, 0))
        axis.set_axis_off()
for axis, share in zip(axes[0], classifier.predict_proba(walk)[:, 1]):
    axis.set_title(f'spiral {share:.2f}', fontsize=8)
plt.show()

# sphinx_gallery_thumbnail_number = -1
