"""The reference table of the documentation, written from the declarations.

``python -m airflow_ll.hyperparameters.reference docs/hyperparameters.md`` renews it between the page's markers.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_ll.hyperparameters.declaration import PREDICTOR_TYPES, Kind
from airflow_ll.hyperparameters.table import HYPERPARAMETERS

if TYPE_CHECKING:
    from airflow_ll.hyperparameters.declaration import Hyperparameter

__all__ = ["BEGIN", "END", "reference_table", "renewed"]

BEGIN = "<!-- written from the table by airflow_ll.hyperparameters.reference: begin -->\n"
END = "<!-- written from the table by airflow_ll.hyperparameters.reference: end -->\n"

HEADINGS = ("name", "allowed", "default", "for", "only with", "tuning range", "what it is")


def reference_table() -> str:
    """Return the table of all hyperparameters in Markdown."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *map(_row, HYPERPARAMETERS.values())]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def renewed(page: str) -> str:
    """Return ``page`` with today's table between its markers."""
    before, marked, after = page.partition(BEGIN)
    _, closing, after = after.partition(END)
    if not (marked and closing):
        raise ValueError(f"The page must hold the lines {BEGIN.strip()!r} and {END.strip()!r}: add them.")
    return f"{before}{BEGIN}\n{reference_table()}\n{END}{after}"


def _row(parameter: Hyperparameter) -> tuple[str, ...]:
    everyone = parameter.applies_to == PREDICTOR_TYPES
    return (
        f"`{parameter.name}`",
        parameter.allowed.replace("'", "`"),
        "required" if parameter.default is None else f"`{parameter.default}`",
        "all" if everyone else ", ".join(f"`{one}`" for one in parameter.applies_to),
        _condition(parameter),
        _tuning_range(parameter),
        parameter.description,
    )


def _condition(parameter: Hyperparameter) -> str:
    if parameter.only_with is None:
        return ""
    choices = [f"`{value}`" for value in parameter.only_with.values] + ["unset"] * parameter.only_with.unset
    return f"`{parameter.only_with.name}` {' or '.join(choices)}"


def _tuning_range(parameter: Hyperparameter) -> str:
    if parameter.tunable is None:
        return ""
    return (", " if parameter.kind is Kind.BOOLEAN else " to ").join(f"`{end}`" for end in parameter.tunable)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        Path(name).write_text(renewed(Path(name).read_text()))
