"""Threads that share the work of a batch: parts of the models, which do not need each other."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.records.threads import usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["THREADS_VARIABLE", "columns_of_parts", "side_by_side", "taking_turns", "thread_count"]

#: How many threads share the models of a job with sparse rows; as many as there are cores by default.
THREADS_VARIABLE = "AIRFLOW_LL_THREADS"

_TURN = 0.0002  # seconds; Python's own is 0.005
_FEWEST_MODELS = 4  # for fewer a thread of their own is not worth the waiting

T = TypeVar("T")


def thread_count() -> int:
    """Return how many threads a job may use.

    Raises
    ------
    DataError
        The environment's number is none.
    """
    given = os.environ.get(THREADS_VARIABLE)
    if given is None:
        return usable_cores()
    if not given.isdecimal() or int(given) < 1:
        raise DataError(f"The environment variable {THREADS_VARIABLE} must be a number of threads, but is {given!r}.")
    return int(given)


def columns_of_parts(models: int, classes: int, threads: int) -> list[NDArray[np.intp]]:
    """Deal models to threads: for each its models' columns, class-major as in `ParallelModels`.

    Parameters
    ----------
    models, classes, threads : int
        There are fewer parts than threads when there are few models.
    """
    parts = max(1, min(threads, models // _FEWEST_MODELS))
    every = np.arange(models * classes).reshape(classes, models)
    return [np.ascontiguousarray(part).reshape(-1) for part in np.array_split(every, parts, axis=1)]


@contextmanager
def side_by_side(parts: Sequence[T]) -> Iterator[Callable[[Callable[[T], None]], None]]:
    """Give a function that calls another one for all parts, each in a thread of its own, and waits for all.

    NumPy's products and updates leave the interpreter to others while they calculate.
    """
    if len(parts) == 1:
        yield lambda work: work(parts[0])
        return
    with ThreadPoolExecutor(len(parts) - 1, thread_name_prefix="models") as pool:

        def run(work: Callable[[T], None]) -> None:
            others = [pool.submit(work, part) for part in parts[1:]]
            try:
                work(parts[0])
            finally:
                wait(others)
            for other in others:
                other.result()

        yield run


@contextmanager
def taking_turns() -> Iterator[None]:
    """Let Python's threads take turns more often than usual.

    Training makes thousands of calls of some microseconds a second, and after each of them may wait for a whole turn of
    a thread that decodes.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
