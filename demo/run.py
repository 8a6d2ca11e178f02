"""The retraining DAG to its end, in this process."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console

from demo import home, report, runtime
from demo.errors import DemoError
from demo.identity import DAG_ID, RunIdentity, exclusive, finish, next_run
from demo.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["run"]


def run(data_dir: Path, conf: dict[str, Any] | None = None) -> int:
    """Run the DAG, show how it goes, leave ``demo.json``; 0 when everything went well.

    :raises DemoError: with the sentence for the user, after everything was stopped.
    """
    began = time.monotonic()
    with exclusive(data_dir), _quiet(data_dir / "demo.log") as console, contextlib.ExitStack() as stack:
        home.configure(data_dir)
        identity = next_run(data_dir, conf)
        _greet(console, identity)
        served = runtime.serve(data_dir)
        stack.callback(served.stop)
        if served.adopted:
            console.print("Found the runtime of the earlier run, still at work.")
        os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = runtime.connection(served.url)
        home.migrate(data_dir)
        runtime.create_bucket(served.url)
        dag = _load_dag()
        seconds = {"start": time.monotonic() - began}
        _run_dag(dag, data_dir, served, identity, console)
        figures = report.collect(data_dir, served.url, identity.run_id, seconds)
        figures["total_seconds"] = round(time.monotonic() - began, 1)
        report.write(data_dir / "demo.json", figures)
        finish(data_dir, identity)
        report.show(console, data_dir, identity.run_id, figures)
    return 0


def _greet(console: Console, identity: RunIdentity) -> None:
    verb = "Continuing" if identity.continued else "Running"
    console.print(f"{verb} the DAG [bold]{DAG_ID}[/] on a year of real flights, on an embedded SageMaker.")


@contextlib.contextmanager
def _quiet(log: Path) -> Iterator[Console]:
    """Send what this process prints to ``log``, and give a console on what was its output."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {number: os.dup(number) for number in (1, 2)}
    with log.open("ab") as file:
        for number in kept:
            os.dup2(file.fileno(), number)
    try:
        with os.fdopen(os.dup(kept[1]), "w") as terminal:
            yield Console(file=terminal, soft_wrap=True)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, original in kept.items():
            os.dup2(original, number)
            os.close(original)


def _run_dag(dag: Any, data_dir: Path, served: runtime.Runtime, identity: RunIdentity, console: Console) -> None:
    from demo.progress import Progress
    from demo.resources import RunResources

    failures: dict[str, str] = {}
    for task in dag.tasks:
        task.on_failure_callback = [_remember(failures)]
    observer = Observer(home.database(data_dir), identity.run_id)
    observer.forget_earlier()
    progress = Progress(console, observer, RunResources(served.url, identity.run_id), dag.task_ids)

    def stop() -> None:
        progress.close()
        served.stop()
        console.print("Stopped; the same command continues the run.")

    _stop_on_signal(stop)
    with progress:
        try:
            ended = dag.test(run_after=identity.date, logical_date=identity.date, run_conf=identity.conf)
        except Exception as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            remembered = " --conf '{}' forgets the params of this run." if identity.conf else ""
            raise DemoError(
                f"Airflow could not run the DAG: {reason} (The log is {data_dir / 'demo.log'}.){remembered}"
            ) from error
    if str(ended.state) != "success":
        raise DemoError(_failure(failures, observer, data_dir))


def _load_dag() -> Any:
    from airflow.dag_processing.dagbag import BundleDagBag

    # As Airflow itself loads it: with the folder of the DAG files, where their helper package is, on the path.
    bag = BundleDagBag(home.DAGS / f"{DAG_ID}.py", bundle_path=home.DAGS, bundle_name="dags-folder")
    if DAG_ID not in bag.dags:
        reasons = " ".join(str(reason).strip().splitlines()[-1] for reason in bag.import_errors.values())
        raise DemoError(f"The file {home.DAGS / DAG_ID}.py could not be loaded: {reasons}")
    return bag.dags[DAG_ID]


def _remember(failures: dict[str, str]) -> Callable[[Any], None]:
    def remember(context: Any) -> None:
        failures[context["ti"].task_id] = " ".join(str(context.get("exception")).split())

    return remember


def _failure(failures: dict[str, str], observer: Observer, data_dir: Path) -> str:
    failed = [task.task_id for task in observer.tasks().values() if task.state == "failed"]
    task_id = next((task_id for task_id in failures if task_id in failed), failed[0] if failed else "(none)")
    reason = failures.get(task_id, "it gave no reason")
    return f"The task {task_id} failed: {reason} (The whole log is {data_dir / 'demo.log'}.)"


def _stop_on_signal(stop: Callable[[], Any]) -> None:
    """From now on, end at once on Ctrl-C and SIGTERM, after ``stop``.

    Airflow runs the tasks on this thread: it would take a KeyboardInterrupt for the task's own failure and try the
    task again, and it replaces the handler of SIGTERM. So both signals are blocked here and awaited by another thread.
    """
    signals = {signal.SIGINT, signal.SIGTERM}

    def wait() -> None:
        received = signal.sigwait(signals)
        stop()
        os._exit(128 + received)

    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    threading.Thread(target=wait, name="signals", daemon=True).start()
