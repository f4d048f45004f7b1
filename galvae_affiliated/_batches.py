# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Rows in slices, and the next slice made while this one is worked on."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

# cutouts made at a time; two such stacks are in memory. The allocator reuses the memory of no
# larger one
CHUNK = 128
_END = object()


def stack_rows(batch_size):
    """Rows of a stack: about `CHUNK`, in whole batches."""
    return max(CHUNK - CHUNK % batch_size, batch_size)


def row_slices(n_rows, size, start=0):
    """
    Slices of rows that follow one another.

    Parameters
    ----------
    n_rows : int
        Where the last one ends.
    size : int
        Rows of each but the last.
    start : int, optional
        First row.

    Returns
    -------
    slices : list of slice
        An empty one where there are no rows.
    """
    starts = range(start, n_rows, size)
    return [slice(i, min(i + size, n_rows)) for i in starts] or [slice(start, start)]


def prefetched(iterable, ahead=1):
    """
    The items of an iterable, made in a thread of their own while the caller works.

    NumPy and ONNX Runtime let other threads run while they compute. The thread
    ends with the last item, or when the caller stops early and closes this
    generator, which waits for the item in progress.

    Parameters
    ----------
    iterable : iterable
        What it raises is raised here, at the item that it would have been.
    ahead : int, optional
        How many items to make before they are asked for; so many are in
        memory, besides the one that the caller has.

    Yields
    ------
    item : object
        In the order of the iterable.

    Raises
    ------
    ValueError
        If ``ahead`` is less than one.
    """
    if ahead < 1:
        raise ValueError(f'ahead is {ahead}; expected one item or more')
    return _prefetched(iter(iterable), ahead)


def _prefetched(items, ahead):
    with ThreadPoolExecutor(1, thread_name_prefix='galvae-prefetch') as pool:
        awaited = deque(pool.submit(next, items, _END) for _ in range(ahead))
        try:
            while (item := awaited.popleft().result()) is not _END:
                awaited.append(pool.submit(next, items, _END))
                yield item
        finally:
            for future in awaited:
                future.cancel()
