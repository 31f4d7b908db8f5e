"""Threads in the background do all that they are given, and end with whoever has them."""

import gc
import threading
from functools import partial
from queue import SimpleQueue

from sandbox.pool.threads import BackgroundThreads


def test_they_do_all_they_were_given_and_end_when_closed() -> None:
    done: list[int] = []
    threads = BackgroundThreads(2, name="test")
    for number in range(9):
        assert threads.submit(partial(done.append, number))
    threads.close()
    assert sorted(done) == list(range(9))
    assert not threads.submit(lambda: None)


def test_a_thread_that_nobody_has_any_more_ends() -> None:
    threads = BackgroundThreads(1, name="test")
    begun: SimpleQueue[threading.Thread] = SimpleQueue()
    threads.submit(lambda: begun.put(threading.current_thread()))
    thread = begun.get(timeout=60)
    del threads
    gc.collect()
    thread.join(timeout=60)
    assert not thread.is_alive()
