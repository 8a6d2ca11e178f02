"""Start and end of the embedded runtime."""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import json
import logging
import os
import signal
import socket
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from airflow_ll.exceptions import LinearLearnerError
from airflow_ll.local import compilation, training, transform
from airflow_ll.local.app import AccessLog, RuntimeApp
from airflow_ll.local.clients import airflow_connection
from airflow_ll.local.cloudwatch import CloudWatch
from airflow_ll.local.connections import Connection
from airflow_ll.local.faults import Faults, parse_rules
from airflow_ll.local.hosting import Hosting
from airflow_ll.local.jobs import JobPool
from airflow_ll.local.logs import Logs
from airflow_ll.local.processes import Processes, kill_leftovers
from airflow_ll.local.runtime import Runtime
from airflow_ll.local.s3 import create_app as create_s3_app
from airflow_ll.local.speed import SPEEDS
from airflow_ll.local.store import Store
from airflow_ll.local.tuning import Tuning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["Options", "run"]

REGION = "us-east-1"
ACCOUNT_ID = "123456789012"

_GRACE_SECONDS = 2.0
_EXIT_SECONDS = 4.0


@dataclass(frozen=True)
class Options:
    """How a runtime is started.

    ``s3_endpoint`` is the URL of the S3 that jobs read and write, with the credentials of the environment; by default
    the runtime's own. ``speed`` is a name in :data:`~airflow_ll.local.speed.SPEEDS`, ``fail`` the fault rules
    (:mod:`airflow_ll.local.faults`).
    """

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 9100
    s3_endpoint: str | None = None
    speed: str = "fast"
    fail: Sequence[str] = ()


def run(options: Options) -> int:
    """Serve until SIGTERM or SIGINT, and return the exit code.

    The first line on standard output is ``READY http://HOST:PORT``, the second a ready-made
    ``AIRFLOW_CONN_AWS_DEFAULT``.

    :raises LinearLearnerError: the host is not a loopback address, a fault rule is none, or the data directory is in
        use.
    """
    host = options.host
    _check_loopback(host)
    rules = parse_rules(options.fail)
    data_dir = options.data_dir.resolve()
    data_dir.mkdir(parents=True, exist_ok=True)
    with _locked(data_dir), _listening(host, options.port) as listener:
        logging.basicConfig(
            filename=data_dir / "runtime.log",
            format="%(asctime)s %(levelname)s %(name)s %(message)s",
            level=logging.WARNING,
            force=True,
        )
        url = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        faults = Faults(data_dir, rules)
        runtime = _runtime(data_dir, url, options, faults)
        asyncio.run(_serve(runtime, listener))
    return 0


def _check_loopback(host: str) -> None:
    try:
        loopback = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise LinearLearnerError(
            f"The embedded runtime does not check who calls it, so it listens on loopback addresses only: "
            f"--host {host} is refused, use 127.0.0.1."
        )


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """Hold the data directory; the system releases it however this process ends."""
    with (data_dir / "runtime.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LinearLearnerError(
                f"The data directory {data_dir} is in use by another embedded runtime{_running_at(data_dir)}: "
                "stop that one or use another --data-dir."
            ) from error
        yield


def _running_at(data_dir: Path) -> str:
    try:
        state = json.loads((data_dir / "runtime.json").read_text(encoding="utf-8"))
        return f" (process {state['pid']} at {state['url']})"
    except (OSError, ValueError, KeyError):
        return ""


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's delay off only for sockets that say they are TCP
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise LinearLearnerError(
                f"The embedded runtime cannot listen on {host}:{port} ({error.strerror}): "
                "choose another --port, or 0 for a free one."
            ) from error
        listener.listen(512)
        yield listener


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling, which would end the process before our children are gone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to :func:`_serve`."""
        yield


async def _serve(runtime: Runtime, listener: socket.socket) -> None:
    data_dir = runtime.data_dir
    access_log = AccessLog(data_dir / "access.log")
    app = RuntimeApp(runtime, create_s3_app(data_dir, region=REGION, account_id=ACCOUNT_ID), access_log)
    config = uvicorn.Config(
        app,
        http=Connection,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    _recover(runtime)  # before the first request: the connections that its jobs open wait in the listener's queue
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        _announce(runtime)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
    finally:
        _exit_after(_EXIT_SECONDS)
        runtime.closing.set()
        runtime.hosting.close()
        server.should_exit = True
        (data_dir / "runtime.json").unlink(missing_ok=True)
        await asyncio.to_thread(runtime.processes.end_all, _GRACE_SECONDS)
        await serving
        access_log.close()


def _exit_after(seconds: float) -> None:
    """End this process whatever its threads still wait for; what it acknowledged is on the disk."""
    timer = threading.Timer(seconds, os._exit, [0])
    timer.daemon = True
    timer.start()


def _runtime(data_dir: Path, url: str, options: Options, faults: Faults) -> Runtime:
    kill_leftovers(data_dir)
    store = Store(data_dir / "runtime.db")
    runtime = Runtime(
        data_dir=data_dir,
        url=url,
        region=REGION,
        account_id=ACCOUNT_ID,
        store=store,
        logs=Logs(store, REGION, ACCOUNT_ID),
        processes=Processes(),
        jobs=JobPool(workers=max(2, os.cpu_count() or 1)),
        cloudwatch=CloudWatch(store, url, REGION),
        faults=faults,
        speed=SPEEDS[options.speed],
        s3_endpoint=options.s3_endpoint,
    )
    runtime.hosting = Hosting(runtime)
    runtime.tuning = Tuning(runtime)
    return runtime


def _recover(runtime: Runtime) -> None:
    """Settle what an earlier runtime on this data directory left."""
    training.recover(runtime)
    transform.recover(runtime)
    compilation.recover(runtime)
    runtime.tuning.recover()
    runtime.hosting.recover()


def _announce(runtime: Runtime) -> None:
    """Tell the caller and whoever looks into the data directory where the runtime is."""
    data_dir, url = runtime.data_dir, runtime.url
    state = data_dir / "runtime.json.part"
    state.write_text(json.dumps({"url": url, "pid": os.getpid()}), encoding="utf-8")
    state.replace(data_dir / "runtime.json")
    connection = airflow_connection(url, s3_endpoint=runtime.s3_endpoint)
    sys.stdout.write(f"READY {url}\nexport AIRFLOW_CONN_AWS_DEFAULT='{connection}'\n")
    sys.stdout.flush()
