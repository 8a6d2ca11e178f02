"""The command ``airflow-ll``: the embedded runtime, the learner's container entry points, a look at a model."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from airflow_ll import __version__
from airflow_ll.exceptions import ArtifactError, LinearLearnerError
from airflow_ll.extras import require
from airflow_ll.records_cli.commands import add_records
from airflow_ll.rendering.command import add_render

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code; errors of ours are one sentence on stderr.

    As of a shell's own commands, the code is 128 and the signal's number when Ctrl-C or a closed pipe ends it.
    """
    arguments = _parser().parse_args(argv)
    try:
        code = int(arguments.run(arguments))
        sys.stdout.flush()  # here and not at the end of Python, where a closed pipe is a traceback
        return code
    except KeyboardInterrupt:
        sys.stderr.write(f"airflow-ll {arguments.command}: interrupted\n")
        return 128 + signal.SIGINT
    except BrokenPipeError:  # the reader has seen enough, as `head` has
        _forget_output()
        return 128 + signal.SIGPIPE
    except LinearLearnerError as error:
        sys.stderr.write(f"airflow-ll: {error}\n")
        return 2
    except OSError as error:
        told = f"{error.filename}: {error.strerror}" if error.filename else error
        sys.stderr.write(f"airflow-ll {arguments.command}: {told}\n")
        return 2


def _forget_output() -> None:
    """Give standard output a place that takes what is still buffered, for Python flushes it when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="airflow-ll", description="Amazon SageMaker LinearLearner for Airflow.")
    parser.add_argument("--version", action="version", version=f"airflow-ll {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    _add_local(commands.add_parser("local", help="run the embedded SageMaker-compatible runtime"))

    train = commands.add_parser("train", help="train as a SageMaker container does")
    train.add_argument("--root", type=Path, default=Path("/opt/ml"), help="the container's tree (default: %(default)s)")
    train.add_argument("--seed", type=int, default=0, help="of the first weights (default: the service's, %(default)s)")
    train.set_defaults(run=_train)

    compile_ = commands.add_parser("compile", help="compile a model as a SageMaker compilation job does")
    compile_.add_argument("--root", type=Path, required=True, help="the job's tree")
    compile_.set_defaults(run=_compile)

    serve = commands.add_parser("serve", help="answer /ping and /invocations as a SageMaker container does")
    serve.add_argument("--root", type=Path, default=Path("/opt/ml"), help="the container's tree (default: %(default)s)")
    serve.add_argument("--host", default="127.0.0.1", help="address to bind (default: %(default)s)")
    serve.add_argument("--port", type=int, default=8080, help="port to bind (default: %(default)s)")
    serve.set_defaults(run=_serve)

    add_records(commands.add_parser("records", help="look at records, check and convert them"))
    _add_model(commands.add_parser("model", help="look at a trained model"))
    add_render(commands.add_parser("render", help="print the requests that a task would make, without AWS"))
    return parser


def _add_local(local: argparse.ArgumentParser) -> None:
    local.add_argument("--data-dir", type=Path, required=True, help="where jobs, objects, logs and models are kept")
    local.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to bind; other than loopback only with --require-signature (default: %(default)s)",
    )
    local.add_argument("--port", type=int, default=9100, help="port to bind, 0 for a free one (default: %(default)s)")
    local.add_argument("--s3-endpoint", metavar="URL", help="the S3 of the jobs' data (default: the runtime's own)")
    local.add_argument(
        "--speed",
        choices=("real", "fast"),
        default="fast",
        help="how long simulated phases take: as on SageMaker, or no time (default: %(default)s)",
    )
    local.add_argument(
        "--fail",
        action="append",
        default=[],
        metavar="RULE",
        help="a fault to inject, as 'throttling rate=0.3' (repeatable; docs/runtime.md has the grammar)",
    )
    local.add_argument(
        "--require-signature", action="store_true", help="answer only requests that one of the access keys has signed"
    )
    local.add_argument(
        "--access-key", metavar="ID", help="an access key; its secret is in AIRFLOW_LL_SECRET_ACCESS_KEY"
    )
    local.add_argument(
        "--access-key-file", type=Path, metavar="FILE", help="access keys, one ID:SECRET a line, readable by you alone"
    )
    local.add_argument("--until-eof", action="store_true", help="end when standard input closes")
    local.set_defaults(run=_local)


def _add_model(model: argparse.ArgumentParser) -> None:
    commands = model.add_subparsers(dest="model_command", required=True, metavar="COMMAND")
    show = commands.add_parser("show", help="print coefficients, threshold and scores; every file may be on S3")
    show.add_argument("model", metavar="MODEL", help="a model.tar.gz or model_algo-1")
    show.add_argument("--schema", metavar="FILE", help="JSON with the names of the features")
    show.add_argument(
        "--metrics", metavar="FILE", help="the job's output.tar.gz or metrics.jsonl, for its final scores"
    )
    show.add_argument("--top", type=int, default=20, help="how many coefficients, 0 for all (default: %(default)s)")
    show.add_argument("--json", action="store_true", help="print everything as JSON")
    show.add_argument("--aws-conn-id", default="aws_default", help="Airflow connection for S3 (default: %(default)s)")
    show.set_defaults(run=_show_model)


def _local(arguments: argparse.Namespace) -> int:
    for module in ("a2wsgi", "moto", "regex", "starlette", "uvicorn"):
        require(module, extra="local", purpose="The embedded runtime")
    from airflow_ll.local.server import Options, run

    names = [field.name for field in dataclasses.fields(Options)]
    return run(Options(**{name: getattr(arguments, name) for name in names}))


def _train(arguments: argparse.Namespace) -> int:
    from airflow_ll.exceptions import DataError
    from airflow_ll.learner.container import train

    if not (arguments.root / "input").is_dir():
        raise DataError(f"There is no folder {arguments.root / 'input'}: --root is a container's tree, as /opt/ml.")
    return train(arguments.root, seed=arguments.seed)


def _compile(arguments: argparse.Namespace) -> int:
    from airflow_ll.learner.compilation import compile_model

    return compile_model(arguments.root)


def _serve(arguments: argparse.Namespace) -> int:
    from airflow_ll.learner.serving import serve

    return serve(arguments.root, host=arguments.host, port=arguments.port)


def _show_model(arguments: argparse.Namespace) -> int:
    from airflow_ll.artifacts.model import LinearModel
    from airflow_ll.artifacts.summary import feature_names, read_scores, render, summarise

    if arguments.top < 0:
        raise ArtifactError(f"--top must be 0, for all coefficients, or more, but is {arguments.top}.")
    names = scores = None
    with _local_copy(arguments.model, arguments.aws_conn_id) as path:
        model = LinearModel.load(path)
    if arguments.schema:
        with _local_copy(arguments.schema, arguments.aws_conn_id) as path:
            names = feature_names(_read_json(path), model.feature_dim)
    if arguments.metrics:
        with _local_copy(arguments.metrics, arguments.aws_conn_id) as path:
            scores = read_scores(path)
    summary = summarise(model, names, scores)
    sys.stdout.write(json.dumps(summary, indent=1) + "\n" if arguments.json else render(summary, arguments.top))
    return 0


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ArtifactError(f"{path.name} is not JSON: {error}.") from error


@contextmanager
def _local_copy(source: str, aws_conn_id: str) -> Iterator[Path]:
    """Yield the path of a file, or of a copy of an S3 object that is gone afterwards."""
    if not source.startswith("s3://"):
        yield Path(source)
        return
    with TemporaryDirectory(prefix="airflow-ll-") as folder:
        path = Path(folder) / Path(source).name
        with redirect_stdout(sys.stderr):  # Airflow logs there
            _download(source, path, aws_conn_id)
        yield path


def _download(source: str, path: Path, aws_conn_id: str) -> None:
    try:
        from botocore.exceptions import BotoCoreError, ClientError

        from airflow_ll.hooks import LinearLearnerHook
        from airflow_ll.hooks.linear_learner import split_s3_uri
    except ModuleNotFoundError as error:
        raise ArtifactError(f"Reading {source} needs {error.name}: install it, or give a local copy.") from error
    bucket, key = split_s3_uri(source)
    try:
        LinearLearnerHook(aws_conn_id).client("s3").download_file(bucket, key, str(path))
    except (BotoCoreError, ClientError) as error:
        raise ArtifactError(f"{source} cannot be read: {error}.") from error
