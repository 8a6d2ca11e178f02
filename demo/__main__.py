"""``python -m demo --data-dir DIR`` and ``python -m demo up --data-dir DIR``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Any

from demo.errors import DemoError


def main() -> int:
    """Run the demo; what went wrong is one sentence on stderr."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that what was started is stopped
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it starts in the background
    try:
        if arguments.mode == "up":
            from demo.up import up

            return up(arguments.data_dir.resolve(), arguments.conf, port=arguments.port)
        from demo.run import run

        return run(arguments.data_dir.resolve(), arguments.conf)
    except DemoError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; the same command continues the run.\n")
        return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("mode", nargs="?", choices=["run", "up"], default="run", help="up: with Airflow's UI")
    parser.add_argument("--data-dir", type=Path, required=True, help="where everything of the demo is kept")
    parser.add_argument("--port", type=int, default=None, help="the UI's port (default: 8080, or a free one)")
    parser.add_argument("--conf", type=_params, default=None, help="params of the DAG as JSON, as of airflow dags test")
    return parser.parse_args()


def _params(text: str) -> dict[str, Any]:
    try:
        params = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be JSON: {error}") from None
    if not isinstance(params, dict):
        raise argparse.ArgumentTypeError('must be a JSON object, for instance {"epochs": 5}')
    return params


if __name__ == "__main__":
    sys.exit(main())
