# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Exact nearest rows of more than fits in memory, at about the speed of the matrix product."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from galvae_affiliated.models._devices import usable_threads

# rows whose distances to all queries are in memory at a time, and distances: those of a block
# should stay in the processor's cache
BLOCK_ROWS = 4096
BLOCK_DISTANCES = 1 << 21
# relative error of a squared distance in single precision, with a margin
ROUNDING = 1e-5


def nearest_rows(queries, blocks, k, *, n_threads=None):
    """
    The nearest rows of each query.

    Each block is compared with all queries by one matrix product. What is nearer than the
    k-th best so far is kept and measured again in double precision; most blocks have little
    of that, and nothing is sorted for them.

    Parameters
    ----------
    queries : (n_queries, D) array
    blocks : iterable of (int, (n, D) array, (n,) bool array or None)
        Number of the first row, rows, and which of them count. Read once, in their order.
    k : int
        How many rows to find of each query.
    n_threads : int, optional
        None takes the processors that the process may use.

    Returns
    -------
    distances : (n_queries, k) float array
        Euclidean, in rising order; infinite where there are fewer rows.
    rows : (n_queries, k) int array
        -1 where there are fewer.
    """
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    best = _Best(len(queries), k)
    if len(queries) == 0:
        return best.distances, best.rows
    product = _Product(queries, best)
    n_threads = usable_threads(n_threads)
    with one_blas_thread(), ThreadPoolExecutor(n_threads) as pool:
        pending = deque()
        for part in _smaller(blocks, len(queries)):
            if len(pending) > n_threads:
                best.add(*pending.popleft().result())
            pending.append(pool.submit(product.candidates, *part))
        for task in pending:
            best.add(*task.result())
    best.merge()
    return best.distances, best.rows


class _Product:
    """Squared distances of blocks to all queries, less what a query has in all of them."""

    def __init__(self, queries, best):
        self.queries = queries.astype(float)
        self.norms = (self.queries**2).sum(axis=1)
        self.best = best
        # the last column takes the squared length of the row
        self.right = np.vstack([-2.0 * queries.T, np.ones(len(queries), dtype=np.float32)])

    def candidates(self, start, rows, counts):
        """Numbers of queries and rows, and distances, that may be among the nearest."""
        left = np.empty((len(rows), rows.shape[1] + 1), dtype=np.float32)
        left[:, :-1] = rows
        lengths = np.einsum('ij,ij->i', left[:, :-1], left[:, :-1])
        usable = np.isfinite(lengths) if counts is None else counts & np.isfinite(lengths)
        if not usable.any():
            return (np.zeros(0, dtype=int),) * 2 + (np.zeros(0),)
        left[~usable] = 0.0
        left[:, -1] = np.where(usable, lengths, np.inf)
        margin = ROUNDING * (self.norms + lengths[usable].max())
        limit = (self.best.limits - self.norms + margin).astype(np.float32)
        squares = left @ self.right
        if not np.isfinite(self.best.limits).all():
            limit = np.minimum(limit, self._limits_of(squares) + 2 * margin).astype(np.float32)
        found = np.flatnonzero((squares <= limit).ravel())
        place, query = np.divmod(found, len(self.queries))
        is_real = usable[place]
        place, query = place[is_real], query[is_real]
        return query, start + place, self._exact(query, left[place, :-1])

    def _limits_of(self, squares):
        """The k-th least of this block, for each query."""
        k = self.best.k
        if len(squares) <= k:
            return np.full(squares.shape[1], np.inf)
        return np.partition(squares, k - 1, axis=0)[k - 1]

    def _exact(self, query, rows):
        """Squared distances in double precision."""
        difference = rows - self.queries[query]
        return np.einsum('ij,ij->i', difference, difference)


class _Best:
    """The k nearest rows so far of each query."""

    def __init__(self, n_queries, k):
        self.k = k
        self.squares = np.full((n_queries, k), np.inf)
        self.rows = np.full((n_queries, k), -1, dtype=np.int64)
        self.limits = np.full(n_queries, np.inf)
        self._waiting, self._n_waiting = [], 0

    @property
    def distances(self):
        return np.sqrt(self.squares)

    def add(self, queries, rows, squares):
        """Keep candidates; they are sorted in when there are many."""
        self._waiting.append((queries, rows, squares))
        self._n_waiting += len(queries)
        if self._n_waiting > self.rows.size or not np.isfinite(self.limits).all():
            self.merge()

    def merge(self):
        """Sort the candidates in."""
        if self._n_waiting:
            self._merge(*(np.concatenate(part) for part in zip(*self._waiting)))
        self._waiting, self._n_waiting = [], 0

    def _merge(self, queries, rows, squares):
        good = squares < self.limits[queries]
        touched, place = np.unique(queries[good], return_inverse=True)
        queries = np.concatenate([np.repeat(np.arange(len(touched)), self.k), place])
        rows = np.concatenate([self.rows[touched].ravel(), rows[good]])
        squares = np.concatenate([self.squares[touched].ravel(), squares[good]])
        order = np.lexsort((rows, squares, queries))
        starts = np.searchsorted(queries[order], np.arange(len(touched)))
        kept = order[starts[:, None] + np.arange(self.k)]
        self.squares[touched], self.rows[touched] = squares[kept], rows[kept]
        self.limits = self.squares[:, -1].copy()


def _smaller(blocks, n_queries):
    """Blocks of which the distances to all queries stay in the cache."""
    size = int(np.clip(BLOCK_DISTANCES // n_queries, 64, BLOCK_ROWS))
    for start, rows, counts in blocks:
        for i in range(0, len(rows), size):
            part = slice(i, i + size)
            yield start + i, rows[part], None if counts is None else counts[part]


def one_blas_thread():
    """A context in which BLAS has one thread: ours each have a block, and more would wait."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api='blas')
