"""Threads: how many cores there are for them, and an iterator that works in one while its items are used."""

from __future__ import annotations

import os
import threading
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["prefetch", "usable_cores"]

T = TypeVar("T")
_Entry = tuple[T | None, BaseException | None]  # an item, or the error in its place

_DEPTH = 2
_GRACE = 0.5  # seconds
_POLL = 0.05  # seconds after which a waiting thread looks whether it is still wanted


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prefetch(items: Iterable[T], check: Callable[[], None] | None = None) -> Iterator[T]:
    """Yield ``items``, taken from their iterator in a background thread, at most two ahead.

    An error of the iterator is raised here, in its place. Closing the generator ends the thread, after the item that it
    is at; that may take longer than the caller waits here. ``check`` is called again and again while an item is waited
    for, and ends the waiting with what it raises.
    """
    queue: Queue[_Entry[T]] = Queue(_DEPTH)
    unwanted = threading.Event()
    thread = threading.Thread(target=_fill, args=(queue, iter(items), unwanted), name="reader", daemon=True)
    thread.start()
    try:
        while True:
            item, end = _next(queue, check)
            if isinstance(end, StopIteration):
                return
            if end is not None:
                raise end
            yield item  # type: ignore[misc]
    finally:
        unwanted.set()
        _drain(queue)
        thread.join(_GRACE)


def _next(queue: Queue[_Entry[T]], check: Callable[[], None] | None) -> _Entry[T]:
    while check is not None:
        try:
            return queue.get(timeout=_POLL)
        except Empty:
            check()
    return queue.get()


def _fill(queue: Queue[_Entry[T]], items: Iterator[T], unwanted: threading.Event) -> None:
    while not unwanted.is_set():
        try:
            entry: _Entry[T] = (next(items), None)
        except BaseException as error:
            entry = (None, error)
        while not unwanted.is_set():
            try:
                queue.put(entry, timeout=_POLL)
                break
            except Full:
                continue
        if entry[1] is not None:
            return


def _drain(queue: Queue[_Entry[T]]) -> None:
    """Let go of what nobody will take."""
    while True:
        try:
            queue.get_nowait()
        except Empty:
            return
