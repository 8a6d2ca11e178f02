"""The job's log, line by line in the service's shapes: its MetricDefinitions read them."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, TextIO

__all__ = ["IteratorCounts", "JobLog"]

_ALGORITHM = "Linear Learner"


class IteratorCounts:
    """What the service counts while it reads the train channel."""

    def __init__(self, rows: int, batch: int, scaler_rows: int) -> None:
        self._rows, self._batches = rows, math.ceil(rows / batch)
        # One batch tells the feature dimension; then the scaler reads. It sees the end of a short channel.
        exhausted = scaler_rows + batch > rows
        self._peak_rows = rows if exhausted else scaler_rows
        self._peak_batches = self._batches if exhausted else scaler_rows // batch
        self._total_rows, self._total_batches = batch + self._peak_rows, 1 + self._peak_batches
        self._resets, self._since_rows, self._since_batches = 2, 0, 0

    def finish_epoch(self) -> None:
        """Count one pass over the channel."""
        self._total_rows += self._rows
        self._total_batches += self._batches
        self._peak_rows, self._peak_batches = self._rows, self._batches
        self._since_rows, self._since_batches = self._rows, self._batches
        self._resets += 1

    def metrics(self) -> dict[str, float]:
        """Return the counts by the service's names."""
        return {
            "Total Records Seen": self._total_rows,
            "Total Batches Seen": self._total_batches,
            "Max Records Seen Between Resets": self._peak_rows,
            "Max Batches Seen Between Resets": self._peak_batches,
            "Reset Count": self._resets,
            "Number of Records Since Last Reset": self._since_rows,
            "Number of Batches Since Last Reset": self._since_batches,
        }


class JobLog:
    """A writer of log lines.

    Parameters
    ----------
    host : str
        ``current_host`` of ``resourceconfig.json``.
    stream : TextIO, optional
        Standard output by default.
    """

    def __init__(self, host: str, stream: TextIO | None = None) -> None:
        self.host, self._stream = host, stream or sys.stdout

    def plain(self, text: str) -> None:
        """Write a line as it is."""
        self._stream.write(text + "\n")

    def info(self, text: str) -> None:
        """Write a line with time, level and thread."""
        self._write("INFO", text)

    def warning(self, text: str) -> None:
        """Write a line of level WARNING."""
        self._write("WARNING", text)

    def error(self, text: str) -> None:
        """Write a line of level ERROR."""
        self._write("ERROR", text)

    def flush(self) -> None:
        """Hand what was written to whoever reads."""
        self._stream.flush()

    def metrics(self, metrics: dict[str, float], *, since: float | None = None, **dimensions: Any) -> None:
        """Write a ``#metrics`` line; a value may be a list of observations."""
        now = time.time()
        document = {
            "StartTime": now if since is None else since,
            "EndTime": now,
            "Dimensions": {
                "Algorithm": _ALGORITHM,
                "Host": self.host,
                "Operation": "training",
                **{name: value for name, value in dimensions.items() if value is not None},
            },
            "Metrics": {name: _summary(value) for name, value in metrics.items()},
        }
        self.plain(f"#metrics {json.dumps(document)}")

    def quality(self, split: str, name: str, value: float, *, loss: bool, epoch: int | None = None) -> None:
        """Write a ``#quality_metric`` line; ``epoch`` is None for the final one."""
        when = "" if epoch is None else f"epoch={epoch}, "
        mark = "loss" if loss else "score"
        self.info(f"#quality_metric: host={self.host}, {when}{split} {name} <{mark}>={value!r}")

    def score(self, split: str, name: str, value: float) -> None:
        """Write a final score."""
        self.info(f"#{split}_score ({self.host}) : {(name, value)}")

    def criterion(self, epoch: int, name: str, value: float) -> None:
        """Write what early stopping looks at."""
        self.info(f"#early_stopping_criteria_metric: host={self.host}, epoch={epoch}, criteria={name}, value={value!r}")

    def progress(self, epochs_done: int, epochs: int) -> None:
        """Write how much is done."""
        self.info(f"#progress_metric: host={self.host}, completed {100 * epochs_done / epochs} % of epochs")

    def stopped_early(self) -> None:
        """Write that the rest is not needed; the service words its progress otherwise here."""
        self.info("Early stop condition met. Stopping training.")
        self.info(f"#progress_metric: host={self.host}, completed 100 % epochs")

    def throughput(self, records_per_second: float) -> None:
        """Write the speed of an epoch."""
        self.info(f"#throughput_metric: host={self.host}, train throughput={records_per_second} records/second")

    def _write(self, level: str, text: str) -> None:
        stamp = datetime.now(UTC).strftime("%m/%d/%Y %H:%M:%S")
        self.plain(f"[{stamp} {level} {threading.get_ident()}] {text}")


def _summary(value: Any) -> dict[str, Any]:
    values = value if isinstance(value, list) else [value]
    return {
        "sum": float(sum(values)),
        "count": len(values),
        "min": min(values),
        "max": max(values),
    }
