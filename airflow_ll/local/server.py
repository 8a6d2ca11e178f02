"""Start and end of the embedded runtime."""

from __future__ import annotations

import asyncio
import fcntl
import functools
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
from airflow_ll.local.auth.guard import Guard
from airflow_ll.local.auth.keys import SECRET_VARIABLE, AccessKeys, read_keys
from airflow_ll.local.clients import airflow_connection, boto_session
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
_KEEP_ALIVE_SECONDS = 75  # with uvicorn's 5, clients often use a connection just as it is closed


@dataclass(frozen=True)
class Options:
    """How a runtime is started.

    ``s3_endpoint`` is the URL of the S3 that jobs read and write, with the credentials of the environment; by default
    the runtime's own. ``speed`` is a name in :data:`~airflow_ll.local.speed.SPEEDS`, ``fail`` the fault rules
    (:mod:`airflow_ll.local.faults`). ``access_key`` and ``access_key_file`` name the keys that sign requests
    (:func:`~airflow_ll.local.auth.keys.read_keys`). ``until_eof``: end when standard input closes, as it does when the
    process that holds its other end is gone.
    """

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 9100
    s3_endpoint: str | None = None
    speed: str = "fast"
    fail: Sequence[str] = ()
    require_signature: bool = False
    access_key: str | None = None
    access_key_file: Path | None = None
    until_eof: bool = False


def run(options: Options) -> int:
    """Serve until SIGTERM or SIGINT, and return the exit code.

    The first line on standard output is ``READY http://HOST:PORT``, the second a ready-made
    ``AIRFLOW_CONN_AWS_DEFAULT`` (but for the secret, if signatures are asked for).

    :raises LinearLearnerError: the address needs signatures, a key or a fault rule cannot be used, or the data
        directory is in use.
    """
    host = options.host
    keys = _keys(options)
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
        url = _url(host, listener.getsockname()[1])
        faults = Faults(data_dir, rules)
        runtime = _runtime(data_dir, url, options, faults, keys)
        asyncio.run(_serve(runtime, listener, keys, until_eof=options.until_eof))
    return 0


def _keys(options: Options) -> AccessKeys | None:
    """Return the keys that sign requests; ``None`` when anyone on this machine may call."""
    keys = read_keys(options.access_key, options.access_key_file)
    if options.require_signature:
        if keys is None:
            raise LinearLearnerError(
                "--require-signature needs access keys: give --access-key ID with its secret in the environment "
                f"variable {SECRET_VARIABLE}, or --access-key-file FILE with lines ID:SECRET."
            )
        return keys
    if keys is not None:
        raise LinearLearnerError("Access keys have no use without --require-signature: add it, or leave the keys out.")
    if not _is_loopback(options.host):
        raise LinearLearnerError(
            f"Without signatures the embedded runtime does not know who calls it, so it listens on loopback addresses "
            f"only: --host {options.host} is refused, use 127.0.0.1 or add --require-signature."
        )
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host).is_loopback
    except ValueError:
        return False


def _url(host: str, port: int) -> str:
    """Return where this machine reaches a listener, also one on all addresses."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


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


async def _serve(
    runtime: Runtime, listener: socket.socket, keys: AccessKeys | None, *, until_eof: bool = False
) -> None:
    data_dir = runtime.data_dir
    access_log = AccessLog(data_dir / "access.log")
    app = RuntimeApp(runtime, create_s3_app(data_dir, region=REGION, account_id=ACCOUNT_ID), access_log, Guard(keys))
    config = uvicorn.Config(
        app,
        http=Connection,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if until_eof:
        loop.add_reader(0, _stop_at_eof, loop, stop)
    _recover(runtime)  # before the first request: the connections that its jobs open wait in the listener's queue
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        _announce(runtime, keys)
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


def _stop_at_eof(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if not os.read(0, 1024):
        loop.remove_reader(0)
        stop.set()


def _exit_after(seconds: float) -> None:
    """End this process whatever its threads still wait for; what it acknowledged is on the disk."""
    timer = threading.Timer(seconds, os._exit, [0])
    timer.daemon = True
    timer.start()


def _runtime(data_dir: Path, url: str, options: Options, faults: Faults, keys: AccessKeys | None) -> Runtime:
    kill_leftovers(data_dir)
    store = Store(data_dir / "runtime.db")
    signed = {} if keys is None else {"access_key": keys.own.key_id, "secret_key": keys.own.secret}
    session = functools.partial(boto_session, url, region=REGION, **signed)
    runtime = Runtime(
        data_dir=data_dir,
        url=url,
        region=REGION,
        account_id=ACCOUNT_ID,
        store=store,
        logs=Logs(store, REGION, ACCOUNT_ID),
        processes=Processes(),
        jobs=JobPool(workers=max(2, os.cpu_count() or 1)),
        cloudwatch=CloudWatch(store, session),
        session=session,
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


def _announce(runtime: Runtime, keys: AccessKeys | None) -> None:
    """Tell the caller and whoever looks into the data directory where the runtime is."""
    data_dir, url = runtime.data_dir, runtime.url
    state = data_dir / "runtime.json.part"
    state.write_text(json.dumps({"url": url, "pid": os.getpid()}), encoding="utf-8")
    state.replace(data_dir / "runtime.json")
    key = {} if keys is None else {"access_key": keys.first.key_id, "secret_key": "SECRET"}
    connection = airflow_connection(url, s3_endpoint=runtime.s3_endpoint, **key)
    sys.stdout.write(f"READY {url}\nexport AIRFLOW_CONN_AWS_DEFAULT='{connection}'\n")
    sys.stdout.flush()
