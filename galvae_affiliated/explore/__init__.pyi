# Licensed under a 3-clause BSD style license - see LICENSE.rst
from .clusters import Clusters as Clusters
from .clusters import add_clusters as add_clusters
from .clusters import cluster_latents as cluster_latents
from .clusters import describe_clusters as describe_clusters
from .maps import LatentMap as LatentMap
from .maps import add_map as add_map
from .outliers import add_outlier_scores as add_outlier_scores
from .search import ActiveSearch as ActiveSearch
from .similarity import SimilarityIndex as SimilarityIndex
