"""Deadlines are kept in their order, by one thread, whatever one of them does."""

from __future__ import annotations

import queue
import threading
import time

from airflow_ll.local.timers import Timers


def test_deadlines_are_kept_in_order_by_one_thread() -> None:
    threads, done, now = threading.active_count(), queue.SimpleQueue[str](), time.time()
    timers = Timers()
    for number in range(100):
        timers.at(now + 86_400 + number, lambda: done.put("too early"))
    timers.at(now + 0.3, lambda: done.put("later"))
    timers.at(now + 0.2, lambda: 1 / 0)
    timers.at(now + 0.1, lambda: done.put("sooner"))
    timers.at(now - 5, lambda: done.put("at once"))

    assert [done.get(timeout=10) for _ in range(3)] == ["at once", "sooner", "later"]
    assert done.empty()
    assert threading.active_count() == threads + 1
