"""Measure and write the page."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.testing import LocalRuntime, start_runtime
from benchmarks.waits.resuming import Resumed, resume
from benchmarks.waits.waiting import AIOBOTOCORE, Waited, our_trigger, their_trigger, wait

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = Path(__file__).parents[1] / "results" / "waits.md"
ROLE = "arn:aws:iam::123456789012:role/learner"
OUTPUT = "s3://waits/models"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waits", description=__doc__)
    parser.add_argument("--triggers", type=int, default=1000, help="of this provider (default: %(default)s)")
    parser.add_argument("--theirs", type=int, default=50, help="of the Amazon provider (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=300, help="to wait in peace (default: %(default)s)")
    parser.add_argument("--ending", type=float, default=600, help="seconds in which jobs end (default: %(default)s)")
    parser.add_argument("--tasks", type=int, default=50, help="real tasks to resume (default: %(default)s)")
    wanted = parser.parse_args()
    with TemporaryDirectory(prefix="airflow-ll-waits-") as temporary:
        folder = Path(temporary)
        runtime = start_runtime(folder / "runtime")
        try:
            os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = runtime.connection
            records = _record_set(runtime)
            blockers = _start(runtime, records, "blocker", max(2, os.cpu_count() or 1))  # the others stay in the queue
            at = {"seconds": wanted.seconds, "ending": wanted.ending}
            names = _start(runtime, records, "ours", wanted.triggers)
            ours = wait(runtime, folder / "ours", names, our_trigger, python=sys.executable, **at)
            print(ours, flush=True)
            names = _start(runtime, records, "theirs", wanted.theirs)
            theirs = wait(runtime, folder / "theirs", names, their_trigger, python=str(AIOBOTOCORE), **at)
            print(theirs, flush=True)
            for name in blockers:
                runtime.client("sagemaker").stop_training_job(TrainingJobName=name)
            resumed = resume(runtime, folder / "resume", records, OUTPUT, wanted.tasks)
            print(resumed, flush=True)
        finally:
            runtime.stop()
    PAGE.write_text(page(ours, theirs, resumed), encoding="utf-8")
    return 0


def _record_set(runtime: LocalRuntime) -> dict[str, Any]:
    from airflow_ll.hooks.linear_learner import LinearLearnerHook

    runtime.client("s3").create_bucket(Bucket="waits")
    rows = np.random.default_rng(7).normal(size=(100, 5)).astype(np.float32)
    uploaded = LinearLearnerHook().upload_record_set(rows, rows[:, 0], data_location="s3://waits/rows")
    return {
        "s3_data": uploaded.record_set.s3_data,
        "s3_data_type": "ManifestFile",
        "num_records": len(rows),
        "feature_dim": rows.shape[1],
        "channel": "train",
    }


def _start(runtime: LocalRuntime, records: dict[str, Any], prefix: str, count: int) -> list[str]:
    """Start training jobs that do not end by themselves."""
    from airflow_ll.hyperparameters import LinearLearnerHyperparameters
    from airflow_ll.requests import TrainingJobSpec, channel_from_dict, image_uri, training_job

    client, names = runtime.client("sagemaker"), [f"{prefix}-{number:04d}" for number in range(count)]
    endless = LinearLearnerHyperparameters(
        predictor_type="regressor", epochs=1_000_000, early_stopping_patience=2_000_000, num_models=1, mini_batch_size=1
    )
    for name in names:
        spec = TrainingJobSpec(
            training_job_name=name,
            role=ROLE,
            image_uri=image_uri("us-east-1"),
            hyperparameters=endless,
            channels=[channel_from_dict(records)],
            output_path=OUTPUT,
        )
        client.create_training_job(**training_job(spec))
    return names


def page(ours: Waited, theirs: Waited, resumed: Resumed) -> str:
    """Return the results as Markdown."""
    a_thousand = 1000 / theirs.triggers
    calls = f"{theirs.a_minute():.1f} | {theirs.a_minute() * a_thousand:.0f}"
    median = f"**{statistics.median(ours.delays):.1f} s** | {statistics.median(theirs.delays):.1f} s"
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[2]:.1f}"
    states = ", ".join(f"{count} {state}" for state, count in resumed.states.items())
    lines = [
        "# A thousand waits",
        "",
        f"Written by `python -m benchmarks.waits`. {machine} (average of the last 15 minutes).",
        "",
        "Trigger rows and their deferred task instances are written into the metadata database; one triggerer process",
        "takes them all, without the jobs' logs. Their training jobs run on the embedded runtime and end when they are",
        f"stopped: none for {ours.seconds:.0f} seconds, which is where calls, CPU and memory are measured, then all of",
        "them, evenly. The delay is that from StopTrainingJob to the task instance's leaving the state *deferred*. The",
        "Amazon provider's trigger (`waiter_delay=30`) runs in the same way, in an environment with aiobotocore.",
        "",
        "| | airflow-ll | Amazon provider | the same for 1,000 |",
        "| --- | ---: | ---: | ---: |",
        f"| triggers | {ours.triggers} | {theirs.triggers} | 1000 |",
        _row("List calls a minute", _lists(ours), _lists(theirs), a_thousand),
        _row("Describe calls a minute", _describes(ours), _describes(theirs), a_thousand),
        f"| **SageMaker calls a minute** | **{ours.a_minute():.1f}** | {calls} |",
        f"| Describe a finished job | {_a_job(ours)} | {_a_job(theirs)} | |",
        f"| CloudWatch calls | {_logs(ours)} | {_logs(theirs)} | |",
        f"| share of a core | {ours.cpu:.1%} | {theirs.cpu:.1%} | |",
        f"| memory (triggerer and its child) | {ours.memory / 2**20:.0f} MiB | {theirs.memory / 2**20:.0f} MiB | |",
        f"| **from a job's end to its event, median** | {median} | |",
        f"| 95 of 100 | {_percentile(ours.delays):.1f} s | {_percentile(theirs.delays):.1f} s | |",
        f"| longest | {ours.delays[-1]:.1f} s | {theirs.delays[-1]:.1f} s | |",
        "",
        "## Real tasks",
        "",
        f"{sum(resumed.states.values())} mapped training tasks, deferred, under `airflow standalone` (LocalExecutor,",
        f"4 workers, SQLite), whose jobs really train, two at a time: {states}, in {resumed.tries} tries, with",
        f"**{resumed.jobs} training jobs**. Airflow 3.3 fails some tasks that are deferred for a moment only; they are",
        "tried again and adopt their jobs.",
        "",
        "| seconds | median | 95 of 100 | longest |",
        "| --- | ---: | ---: | ---: |",
        _spread("from the trigger's event to the end of the task", resumed.from_event),
        _spread("from the end of the job to the end of the task", resumed.from_end),
    ]
    return "\n".join(lines) + "\n"


def _row(what: str, ours: float, theirs: float, factor: float) -> str:
    return f"| {what} | {ours:.1f} | {theirs:.1f} | {theirs * factor:.0f} |"


def _lists(waited: Waited) -> float:
    return waited.a_minute("ListTrainingJobs")


def _describes(waited: Waited) -> float:
    return waited.a_minute("DescribeTrainingJob")


def _a_job(waited: Waited) -> str:
    return f"{waited.at_the_end['DescribeTrainingJob'] / waited.triggers:.2f}"


def _logs(waited: Waited) -> int:
    counted = waited.calls + waited.at_the_end
    return sum(count for name, count in counted.items() if "Log" in name)


def _percentile(values: Sequence[float]) -> float:
    return float(np.percentile(values, 95))


def _spread(what: str, values: Sequence[float]) -> str:
    return f"| {what} | {statistics.median(values):.1f} | {_percentile(values):.1f} | {values[-1]:.1f} |"


if __name__ == "__main__":
    sys.exit(main())
