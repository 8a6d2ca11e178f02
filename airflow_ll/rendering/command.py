"""The command ``airflow-ll render``."""

from __future__ import annotations

import importlib
import json
import os
import sys
from contextlib import redirect_stdout
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import RequestError

if TYPE_CHECKING:
    import argparse

__all__ = ["add_render"]


def add_render(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``airflow-ll render``."""
    parser.add_argument("dag", metavar="DAG", help="id of the DAG")
    parser.add_argument("task", metavar="TASK", help="id of the task, task groups included")
    parser.add_argument("--dags", type=Path, metavar="PATH", help="the DAG's file or folder (default: Airflow's own)")
    parser.add_argument("--run-id", help="the run that is imagined, which names follow from (default: a manual one)")
    parser.add_argument("--conf", default="{}", metavar="JSON", help="the run's conf, which overrides the DAG's params")
    parser.add_argument("--logical-date", metavar="TIME", help="the run's logical date in ISO form (default: now)")
    parser.add_argument("--map-index", type=int, default=0, metavar="N", help="which instance of a mapped task")
    region = os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
    parser.add_argument("--region", default=region, help="where the connection leads (default: %(default)s)")
    parser.add_argument("--reads", action="store_true", help="print the calls that only look, too")
    parser.set_defaults(run=_render)


def _render(arguments: argparse.Namespace) -> int:
    conf = _conf(arguments.conf)
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")  # "Created ..." would not be true
    os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    with redirect_stdout(sys.stderr):  # Airflow logs there
        import pendulum

        from airflow_ll.rendering.tasks import render

        when = pendulum.instance(_time(arguments.logical_date)) if arguments.logical_date else None
        rendering = render(
            _dag(arguments.dag, arguments.dags),
            arguments.task,
            run_id=arguments.run_id,
            conf=conf,
            logical_date=when,
            map_index=arguments.map_index,
            region=arguments.region,
            reads=arguments.reads,
        )
    sys.stdout.write(json.dumps(rendering.requests, indent=2) + "\n")
    if rendering.note:
        sys.stderr.write(f"airflow-ll render: {rendering.note}\n")
    return 0


def _conf(text: str) -> dict[str, Any]:
    try:
        conf = json.loads(text)
    except ValueError as error:
        raise RequestError(f"--conf must be a JSON object, got {text!r}: {error}.") from error
    if not isinstance(conf, dict):
        raise RequestError(f"--conf must be a JSON object, got {text!r}.")
    return conf


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise RequestError(f"--logical-date must be a time such as 2026-05-01T06:00:00+00:00, got {text!r}.") from error


def _dag(dag_id: str, path: Path | None) -> Any:
    """Return the DAG as its file makes it.

    :raises RequestError: there is none such, or its file cannot be imported.
    """
    from airflow.configuration import conf

    try:
        dagbag = importlib.import_module("airflow.dag_processing.dagbag")
    except ModuleNotFoundError:  # Airflow 3.1
        dagbag = importlib.import_module("airflow.models.dagbag")

    path = (path or Path(conf.get("core", "dags_folder"))).resolve()
    if not path.exists():
        raise RequestError(f"There are no DAGs at {path}: --dags names their file or folder.")
    sys.path.insert(0, str(path if path.is_dir() else path.parent))
    bag = dagbag.DagBag(dag_folder=str(path))
    if dag_id in bag.dags:
        return bag.dags[dag_id]
    broken = "".join(f"\n{file}: {error.strip().splitlines()[-1]}" for file, error in bag.import_errors.items())
    known = ", ".join(sorted(bag.dags)) or "none"
    raise RequestError(f"There is no DAG {dag_id!r} at {path}, whose DAGs are: {known}.{broken}")
