"""The table of the estimator's members is complete, and what it names is there."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import airflow_ll.operators
import airflow_ll.requests
from airflow_ll.hyperparameters import HYPERPARAMETERS
from airflow_ll.requests import estimator
from tests.estimator_reference import documented_members

ROOT = Path(__file__).parents[1]
ROWS = re.findall(
    r"^\| `(.+?)` \| (.+?) \| `(.+?)` \|$", (ROOT / "docs" / "estimator-coverage.md").read_text(), re.MULTILINE
)
PLAIN = {**vars(estimator), "image_uri": airflow_ll.requests.image_uri, "model_data": None}


def test_every_member_and_parameter_of_the_reference_has_a_row(shared: Path) -> None:
    assert [member for member, _, _ in ROWS] == documented_members(shared / "spec" / "estimator-reference.txt")


def owner(name: str) -> Any:
    """Return an operator, the hook, the hyperparameters or a plain name of the table."""
    if name == "LinearLearnerHook":
        from airflow_ll.hooks import LinearLearnerHook

        return LinearLearnerHook
    if name == "LinearLearnerHyperparameters":
        return HYPERPARAMETERS
    if name == "default_mini_batch_size":
        from airflow_ll.records import default_mini_batch_size

        return default_mini_batch_size
    return PLAIN[name] if name in PLAIN else getattr(airflow_ll.operators, name)


def has(part: Any, member: str) -> bool:
    """Whether a part takes a parameter, or has a method or hyperparameter of this name."""
    if isinstance(part, dict) or not inspect.isclass(part):
        return member in part
    return member in _arguments(part) or hasattr(part, member)


def _arguments(part: type) -> set[str]:
    """Return the names of the arguments of a class and its bases."""
    makers = [vars(base)["__init__"] for base in part.__mro__ if "__init__" in vars(base)]
    return {name for maker in makers for name in inspect.signature(maker).parameters}


@pytest.mark.parametrize(("member", "here"), [row[:2] for row in ROWS], ids=[row[0] for row in ROWS])
def test_the_part_of_a_row_exists(member: str, here: str) -> None:
    parts = re.findall(r"`(\w+)(?:\.(\w+))?`", here)
    assert parts, here
    known: set[str] = set()
    for name, attribute in parts:
        if attribute or name[0].isupper() or not known:
            part = owner(name) if name != "TrainingJobSpec" else airflow_ll.requests.TrainingJobSpec
            assert not attribute or has(part, attribute), f"{name}.{attribute}"
            known |= _names(part)
        else:  # a further name of the part before it
            assert name in known | set(PLAIN), name


def _names(part: Any) -> set[str]:
    if not inspect.isclass(part):
        return {""}
    specs = (airflow_ll.requests.TrainingJobSpec, airflow_ll.requests.TransformJobSpec)
    names = {field.name for spec in specs for field in fields(spec)}
    return names | _arguments(part)


@pytest.mark.parametrize("test", sorted({row[2] for row in ROWS}))
def test_the_test_of_a_row_exists(test: str) -> None:
    path, _, name = test.partition("::")
    assert f"\ndef {name}(" in (ROOT / path).read_text()
