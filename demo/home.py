"""An Airflow of the demo's own: its home, its settings, its metadata database."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from demo.errors import DemoError

__all__ = ["configure", "database", "migrate"]

DAGS = Path(__file__).parents[1] / "dags"
OURS = ("AIRFLOW", "AWS_")


def configure(data_dir: Path) -> None:
    """Set this process's environment, which its children inherit; Airflow reads it when it is imported."""
    for name in [name for name in os.environ if name.startswith(OURS)]:
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # without byte code each Airflow process starts 4 seconds later
    sys.dont_write_bytecode = False
    # The connection leads to this machine, never through a proxy.
    local = ["127.0.0.1", "localhost", *filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy")])]
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(local)
    os.environ |= {
        "AIRFLOW_HOME": str(data_dir / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def database(data_dir: Path) -> Path:
    """Return the SQLite file of the metadata database."""
    return data_dir / "airflow" / "airflow.db"


def migrate(data_dir: Path) -> None:
    """Create the metadata database, or bring it to this Airflow's version; once for each version.

    :raises DemoError: Airflow could not.
    """
    home = data_dir / "airflow"
    home.mkdir(parents=True, exist_ok=True)
    stamp, current = home / "migrated", version("apache-airflow-core")
    if stamp.exists() and stamp.read_text() == current and database(data_dir).exists():
        return
    log = home / "migrate.log"
    with log.open("wb") as output:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise DemoError(f"Airflow could not create its metadata database: see {log}.")
    stamp.write_text(current)
