"""The command ``airflow-ll``: the embedded runtime and the learner's container entry points."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from airflow_ll import __version__
from airflow_ll.exceptions import LinearLearnerError

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code; errors of ours are one sentence on stderr."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except LinearLearnerError as error:
        sys.stderr.write(f"airflow-ll: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"airflow-ll {arguments.command}: {error}\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="airflow-ll", description="Amazon SageMaker LinearLearner for Airflow.")
    parser.add_argument("--version", action="version", version=f"airflow-ll {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    local = commands.add_parser("local", help="run the embedded SageMaker-compatible runtime")
    local.add_argument("--data-dir", type=Path, required=True, help="where jobs, objects, logs and models are kept")
    local.add_argument("--host", default="127.0.0.1", help="address to bind, loopback only (default: %(default)s)")
    local.add_argument("--port", type=int, default=9100, help="port to bind, 0 for a free one (default: %(default)s)")
    local.add_argument("--s3-endpoint", metavar="URL", help="the S3 of the jobs' data (default: the runtime's own)")
    local.set_defaults(run=_local)

    train = commands.add_parser("train", help="train as a SageMaker container does")
    train.add_argument("--root", type=Path, default=Path("/opt/ml"), help="the container's tree (default: %(default)s)")
    train.add_argument("--seed", type=int, default=None, help="seed of the random initialisation")
    train.set_defaults(run=_train)

    serve = commands.add_parser("serve", help="answer /ping and /invocations as a SageMaker container does")
    serve.add_argument("--root", type=Path, default=Path("/opt/ml"), help="the container's tree (default: %(default)s)")
    serve.add_argument("--host", default="127.0.0.1", help="address to bind (default: %(default)s)")
    serve.add_argument("--port", type=int, default=8080, help="port to bind (default: %(default)s)")
    serve.set_defaults(run=_serve)
    return parser


def _local(arguments: argparse.Namespace) -> int:
    from airflow_ll.local.server import run

    return run(data_dir=arguments.data_dir, host=arguments.host, port=arguments.port, s3_endpoint=arguments.s3_endpoint)


def _train(arguments: argparse.Namespace) -> int:
    from airflow_ll.learner.container import train

    return train(arguments.root, seed=arguments.seed)


def _serve(arguments: argparse.Namespace) -> int:
    from airflow_ll.learner.serving import serve

    return serve(arguments.root, host=arguments.host, port=arguments.port)
