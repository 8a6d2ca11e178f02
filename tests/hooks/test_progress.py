"""The log of a long conversion says how far it is."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_ll.hooks.progress import Progress

if TYPE_CHECKING:
    import pytest


def test_rows_speed_and_the_time_that_is_left(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    seconds = iter([0.0, 5.0, 20.0, 40.0])
    progress = Progress(logging.getLogger("rows"), 1000, clock=lambda: next(seconds))
    progress.add(100, 1_000_000)
    progress.add(150, 4_000_000)
    progress.end(8_000_000)
    assert caplog.messages == [
        "250 of 1,000 rows, 4.0 MB, 0.2 MB/s, 60 s left",
        "Done: 250 of 1,000 rows, 8.0 MB, 0.2 MB/s",
    ]


def test_without_a_total_no_end_is_promised(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    seconds = iter([0.0, 10.0])
    Progress(logging.getLogger("rows"), clock=lambda: next(seconds)).add(1500, 2_000_000)
    assert caplog.messages == ["1,500 rows, 2.0 MB, 0.2 MB/s"]
