"""The arguments of ``airflow-ll records`` and what each command prints."""

from __future__ import annotations

import argparse
import io
import json
import signal
import sys
import threading
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_ll.records_cli.sources import Shards

__all__ = ["add_records"]


def add_records(parser: argparse.ArgumentParser) -> None:
    """Declare the commands of ``airflow-ll records``; nothing heavy is imported before one runs."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("source", metavar="SOURCE", help="a shard, a manifest or a folder: a path or s3://bucket/key")
    common.add_argument(
        "--aws-conn-id", default="aws_default", metavar="ID", help="the Airflow connection (default: %(default)s)"
    )
    commands = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")

    inspect = commands.add_parser("inspect", parents=[common], help="show rows, columns, dtype, labels, first rows")
    inspect.add_argument("--rows", type=int, default=5, help="how many first rows to show (default: %(default)s)")
    inspect.add_argument("--json", action="store_true", help="print one JSON document")
    inspect.set_defaults(run=_inspect)

    verify = commands.add_parser("verify", parents=[common], help="check records, manifest and digests; 1 when faulty")
    verify.set_defaults(run=_verify)

    convert = commands.add_parser("convert", parents=[common], help="write the rows as .csv, .parquet or .npz")
    convert.add_argument("target", type=Path, metavar="TARGET", help="the file to write; its suffix is the format")
    convert.add_argument("--header", action="store_true", help="begin a .csv with the names of the columns")
    convert.add_argument("--force", action="store_true", help="replace TARGET when it exists")
    convert.set_defaults(run=_convert)


def _inspect(arguments: argparse.Namespace) -> int:
    from airflow_ll.records_cli.inspecting import inspect, show

    with _opened(arguments) as shards:
        facts = inspect(shards, arguments.rows)
    if arguments.json:
        sys.stdout.write(json.dumps(facts) + "\n")
    else:
        show(facts)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from airflow_ll.records_cli.verifying import verify

    with _opened(arguments) as shards:
        verdict = verify(shards)
    for fault in verdict.faults:
        sys.stdout.write(f"{fault}\n")
    found = f"{verdict.rows:,} rows in {verdict.shards} shard(s), {verdict.size:,} bytes, {verdict.digests} digest(s)"
    sys.stdout.write(f"{len(verdict.faults)} fault(s): {found}\n" if verdict.faults else f"ok: {found}\n")
    return 1 if verdict.faults else 0


def _convert(arguments: argparse.Namespace) -> int:
    from airflow_ll.records_cli.converting import convert

    with _ended_by_sigterm(), _opened(arguments) as shards:
        rows = convert(shards.batches(), arguments.target, header=arguments.header, force=arguments.force)
    sys.stdout.write(f"{arguments.target}: {rows:,} rows, {arguments.target.stat().st_size:,} bytes\n")
    return 0


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Have SIGTERM end the command as an exception does, so that what it has begun to write is removed."""
    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _opened(arguments: argparse.Namespace) -> Iterator[Shards]:
    """Find the shards; failures of S3 meanwhile become one sentence, and Airflow's own log stays off the terminal."""
    from airflow_ll.records_cli.sources import find_shards
    from airflow_ll.records_cli.stores import store_of

    with redirect_stdout(io.StringIO()):
        store = store_of(arguments.source, arguments.aws_conn_id)
        with store.failures():
            yield find_shards(store, arguments.source)
