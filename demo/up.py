"""The retraining DAG under ``airflow standalone``, with Airflow's UI, until Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from demo import home, report, runtime, services
from demo.errors import DemoError
from demo.identity import DAG_ID, exclusive, finish, next_run
from demo.observer import Observer
from demo.progress import Progress
from demo.resources import RunResources

if TYPE_CHECKING:
    from demo.identity import RunIdentity

__all__ = ["up"]

USUAL_PORT = 8080
HEALTHY_SECONDS = 180
STOP_SECONDS = 20
ENDED = ("success", "failed")


def up(data_dir: Path, conf: dict[str, Any] | None = None, *, port: int | None = None) -> int:
    """Serve Airflow and the runtime, run the DAG once, and wait for Ctrl-C.

    :raises DemoError: the port or the data directory is in use, or something did not start.
    """
    began = time.monotonic()
    console = Console(soft_wrap=True)
    with exclusive(data_dir), contextlib.ExitStack() as stack:
        home.configure(data_dir)
        port = _choose_port(port)
        identity = next_run(data_dir, conf)
        console.print("Starting the embedded runtime and Airflow; this takes about half a minute ...")
        served = runtime.serve(data_dir)
        stack.callback(served.stop)
        os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = runtime.connection(served.url)
        home.migrate(data_dir)
        runtime.create_bucket(served.url)
        airflow = _start_airflow(data_dir, port)
        stack.callback(airflow.stop, whole_group=True, patience=STOP_SECONDS)
        api = _Api(f"http://127.0.0.1:{port}")
        _wait_until_healthy(api, airflow, data_dir)
        start_seconds = time.monotonic() - began
        console.print(f"Airflow's UI: [bold]{api.url}[/] (no login)   the runtime: {served.url}")
        _trigger(api, identity)
        state = _follow(api, data_dir, served.url, identity, console)
        if state == "success":
            figures = report.collect(data_dir, served.url, identity.run_id, {"start": start_seconds})
            figures["total_seconds"] = round(time.monotonic() - began, 1)
            report.write(data_dir / "demo.json", figures)
            finish(data_dir, identity)
            report.show(console, data_dir, identity.run_id, figures)
        else:
            console.print(
                f"[red]The run failed[/]: {api.url}/dags/{DAG_ID}/runs/{identity.run_id} shows the tasks' logs."
            )
        with contextlib.suppress(KeyboardInterrupt):
            console.print("Ctrl-C stops everything.")
            signal.pause()
    console.print("Stopped.")
    return 0


def _choose_port(wanted: int | None) -> int:
    if wanted is None:
        return USUAL_PORT if services.is_port_free(USUAL_PORT) else services.free_port()
    if not services.is_port_free(wanted):
        raise DemoError(f"Port {wanted} of 127.0.0.1 is in use: stop what uses it, or choose another with --port.")
    return wanted


def _start_airflow(data_dir: Path, port: int) -> services.Service:
    env = os.environ | {
        # standalone starts its parts by the command "airflow"
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(services.free_port()),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(services.free_port()),
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
    }
    log = data_dir / "airflow.log"
    return services.start(
        "Airflow", ["-m", "airflow", "standalone"], output=data_dir / "airflow.out", errors=log, env=env
    )


class _Api:
    """Airflow's REST API; all callers are admins."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send JSON, return JSON.

        :raises DemoError: Airflow refused, with its reason.
        """
        request = urllib.request.Request(  # noqa: S310 - the URL is our own
            f"{self.url}/api/v2{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                text = answer.read()
        except urllib.error.HTTPError as error:
            detail = error.read().decode(errors="replace")
            raise DemoError(f"Airflow answered {error.code} to {method} {path}: {detail}") from error
        return json.loads(text) if text else None


def _wait_until_healthy(api: _Api, airflow: services.Service, data_dir: Path) -> None:
    deadline = time.monotonic() + HEALTHY_SECONDS
    while time.monotonic() < deadline:
        if not airflow.is_alive():
            raise services.died(airflow, data_dir / "airflow.log")
        with contextlib.suppress(OSError, DemoError):
            parts = api.call("GET", "/monitor/health").values()
            if all(part["status"] in ("healthy", None) for part in parts) and _knows_the_dag(api):
                return
        time.sleep(0.5)
    raise DemoError(f"Airflow was not healthy within {HEALTHY_SECONDS} seconds: see {data_dir / 'airflow.out'}.")


def _knows_the_dag(api: _Api) -> bool:
    return any(dag["dag_id"] == DAG_ID for dag in api.call("GET", "/dags?limit=100")["dags"])


def _trigger(api: _Api, identity: RunIdentity) -> None:
    """Start the run anew under its id: what it has already made, it finds by name."""
    runs = f"/dags/{DAG_ID}/dagRuns"
    known = api.call("GET", f"{runs}?limit=100&order_by=-run_after")["dag_runs"]
    for run in (run for run in known if run["dag_run_id"] == identity.run_id):
        begun = f"{runs}/{urllib.parse.quote(identity.run_id)}"
        if run["state"] not in ENDED:  # it was interrupted, and Airflow deletes no run that it takes for running
            api.call("PATCH", f"/dags/{DAG_ID}", {"is_paused": True})
            api.call("PATCH", begun, {"state": "queued"})
        api.call("DELETE", begun)
    api.call("PATCH", f"/dags/{DAG_ID}", {"is_paused": False})
    new = {"dag_run_id": identity.run_id, "logical_date": identity.logical_date, "conf": identity.conf}
    api.call("POST", runs, new)


def _follow(api: _Api, data_dir: Path, url: str, identity: RunIdentity, console: Console) -> str:
    observer = Observer(home.database(data_dir), identity.run_id)
    task_ids = [task["task_id"] for task in api.call("GET", f"/dags/{DAG_ID}/tasks")["tasks"]]
    with Progress(console, observer, RunResources(url, identity.run_id), task_ids):
        while (state := observer.state()) not in ENDED:
            time.sleep(0.5)
    return str(state)
