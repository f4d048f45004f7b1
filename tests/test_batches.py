# Licensed under a 3-clause BSD style license - see LICENSE.rst
import gc
import threading
import time
import traceback
import weakref

import pytest

from galvae_affiliated._batches import prefetched


@pytest.fixture(autouse=True)
def no_thread_left():
    """Of those that make items."""
    yield
    assert making() == []


def making():
    return [thread for thread in threading.enumerate() if thread.name.startswith('galvae-prefetch')]


def counted(n, made):
    for i in range(n):
        made.append(i)
        yield i


def wait_for(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.parametrize('ahead', [1, 2, 5])
@pytest.mark.parametrize('n', [0, 1, 2, 7])
def test_order_is_kept(n, ahead):
    assert list(prefetched(range(n), ahead)) == list(range(n))


def test_next_item_is_made_while_the_caller_works():
    at_work, made = threading.Event(), []

    def items():
        made.append(0)
        yield 0
        # comes only if the caller has the first item
        assert at_work.wait(10)
        made.append(1)
        yield 1

    for item in prefetched(items()):
        if item == 0:
            at_work.set()
            wait_for(lambda: made == [0, 1])


@pytest.mark.parametrize('ahead', [1, 3])
def test_not_more_is_made_than_asked_for(ahead):
    made = []
    for item in prefetched(counted(20, made), ahead):
        expected = min(item + 1 + ahead, 20)
        wait_for(lambda expected=expected: len(made) == expected)
        time.sleep(0.005)
        assert len(made) == expected


def test_items_that_were_used_are_not_kept():
    class Item:
        pass

    alive = weakref.WeakSet()

    def items():
        for _ in range(20):
            item = Item()
            alive.add(item)
            yield item
            del item

    most = 0
    for _ in prefetched(items()):
        gc.collect()
        most = max(most, len(alive))
    # what the caller has, the one that is ready, and the one that the iterable itself
    # still refers to
    assert most <= 3


def test_errors_come_where_they_belong():
    def failing():
        yield 1
        yield 2
        raise KeyError('the third')

    items = prefetched(failing())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(KeyError, match='the third') as caught:
        next(items)
    assert any(
        frame.name == 'failing' for frame in traceback.extract_tb(caught.value.__traceback__)
    )


def test_caller_that_stops_early():
    made = []
    for item in prefetched(counted(100, made)):
        if item == 3:
            break
    assert len(made) <= 6


def test_caller_that_fails():
    made = []

    def use():
        for item in prefetched(counted(100, made)):
            item / 0

    with pytest.raises(ZeroDivisionError):
        use()
    assert len(made) <= 3


def test_caller_that_never_asks():
    made = []
    prefetched(counted(3, made))
    assert made == []
    closed = prefetched(counted(3, made))
    next(closed)
    closed.close()
    assert list(closed) == []


def test_wrong_number():
    with pytest.raises(ValueError, match='ahead is 0; expected one item or more'):
        prefetched([], 0)
