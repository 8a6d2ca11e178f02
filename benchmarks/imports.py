"""What the operators add to the import of ``airflow.sdk``, beside the Amazon provider's SageMaker module.

Each program runs in fresh interpreters; the least processor time counts, which other work on the machine inflates
least.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["main"]

RESULTS = Path(__file__).parent / "results" / "imports.md"
RUNS = 3

BASE = "import airflow.sdk, airflow.providers.common.compat.sdk"
PROGRAMS = {
    "`import airflow.sdk`": BASE,
    "and all operators of airflow-ll": (
        f"{BASE}\nfrom airflow_ll import operators\nfor name in operators.__all__: getattr(operators, name)"
    ),
    "or `airflow.providers.amazon.aws.operators.sagemaker`": (
        f"{BASE}\nimport airflow.providers.amazon.aws.operators.sagemaker"
    ),
}


def processor_seconds(program: str) -> float:
    """Return the processor time of a fresh interpreter that runs a program."""
    before = os.times()
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, capture_output=True)
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


def measure(runs: int = RUNS) -> dict[str, float]:
    """Return the least processor time of each program, in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for program in PROGRAMS.values():
        processor_seconds(program)  # writes byte code
    for _ in range(runs):
        for name, program in PROGRAMS.items():
            seconds[name].append(processor_seconds(program))
    return {name: min(times) for name, times in seconds.items()}


def page(seconds: dict[str, float]) -> str:
    """Return the results as Markdown."""
    base, ours, theirs = seconds.values()
    rows = [f"| {name} | {1000 * value:.0f} | {1000 * (value - base):.0f} |" for name, value in seconds.items()]
    return "\n".join(
        [
            "# What importing the operators costs",
            "",
            f"Written by `python -m benchmarks.imports`: the least processor time of {RUNS} fresh interpreters.",
            f"Load of the machine meanwhile: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.",
            "",
            "| program | ms | ms added |",
            "| --- | ---: | ---: |",
            *rows,
            "",
            f"All operators add {1000 * (ours - base):.0f} ms,",
            f"{(ours - base) / (theirs - base):.2f} of what the Amazon provider's module adds.",
            "",
        ]
    )


def main() -> None:
    """Measure and write the page."""
    text = page(measure())
    RESULTS.write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
