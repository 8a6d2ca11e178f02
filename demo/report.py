"""What a run has done: ``demo.json`` for programs and a page for the user."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.home import database
from demo.observer import Observer
from demo.resources import RunResources
from demo.training_log import best_model

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["collect", "show", "write"]

RECORD_SETS = ("training_rows", "validation_rows", "held_out_rows")


def collect(data_dir: Path, url: str, run_id: str, seconds: dict[str, float]) -> dict[str, Any]:
    """Gather the figures of a finished run; ``seconds`` has the steps outside of the DAG."""
    observer, resources = Observer(database(data_dir), run_id), RunResources(url, run_id)
    quality = observer.result("check_quality")
    steps = seconds | {task.task_id: task.seconds or 0.0 for task in observer.tasks().values()}
    return {
        "rows_uploaded": sum(observer.result(task_id)["num_records"] for task_id in RECORD_SETS),
        "best_model": best_model(resources.training_log(), observer.result("train")["hyperparameters"]),
        "training_jobs": len(resources.training_jobs()),
        "auc": quality["auc"],
        "accuracy": quality["accuracy"],
        "majority_accuracy": quality["majority_accuracy"],
        "predictions": quality["rows"],
        "endpoints_left": len(resources.endpoints()),
        "seconds": {step: round(value, 1) for step, value in steps.items()},
    }


def write(path: Path, figures: dict[str, Any]) -> None:
    """Write the figures as JSON, as a whole or not at all."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(json.dumps(figures, indent=2) + "\n")
    fresh.replace(path)


def show(console: Console, data_dir: Path, run_id: str, figures: dict[str, Any]) -> None:
    """Print what was uploaded, trained, chosen and scored, where it is, and what to type next."""
    observer = Observer(database(data_dir), run_id)
    training = observer.result("train")
    best, steps = figures["best_model"], figures["seconds"]
    chosen = ", ".join(f"{name} {value}" for name, value in best["hyperparameters"].items())
    lines = {
        "uploaded": f"{figures['rows_uploaded']:,} flights as record sets",
        "trained": f"{_count(figures['training_jobs'], 'training job')} in {training['training_time_in_seconds']} s",
        "chosen": f"model {best['index']}, objective {best['objective']:.4f} ({chosen})",
        "scored": f"{figures['predictions']:,} flights of the held-out month by batch transform",
        "AUC": f"{figures['auc']:.4f}",
        "accuracy": f"{figures['accuracy']:.4f}; always giving the majority class: {figures['majority_accuracy']:.4f}",
        "endpoints left": str(figures["endpoints_left"]),
        "model": training["model_data"],
        "predictions": " ".join(observer.result("transform")["outputs"]),
        "time": f"{figures['total_seconds']:.0f} s: "
        + ", ".join(f"{step} {value:.1f}" for step, value in steps.items()),
    }
    console.print()
    for name, value in lines.items():
        console.print(f"[bold]{name:<16}[/]{value}", highlight=False)
    console.print(_next(data_dir), highlight=False)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _next(data_dir: Path) -> str:
    command = os.path.relpath(Path(sys.executable).with_name("airflow-ll"))  # no shell knows it by its name alone
    return f"""
The figures are in {data_dir / "demo.json"}, Airflow's own words in {data_dir / "demo.log"}.
Next:
  make demo     train anew: a new run of the DAG
  make up       the same with Airflow's UI; run [bold]flights_batch_scoring[/] there to score a day of December
  {command} local --data-dir {data_dir / "runtime"}     browse these jobs and objects with boto3"""
