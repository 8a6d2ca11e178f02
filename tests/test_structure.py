"""The shape of the code: modules and functions stay small enough to be one idea each."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = [
    path
    for folder in ("airflow_ll", "dags", "demo", "benchmarks", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.name != "record_pb2.py"
]
LONGEST_MODULE = 400
LONGEST_FUNCTION = 50


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_stay_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST_MODULE
    nodes = ast.walk(ast.parse(text))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [node.name for node in functions if not _is_dag(node) and _code_lines(node) > LONGEST_FUNCTION] == []


def _is_dag(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether the function declares a DAG: one statement a task, however many there are."""
    return any(
        "dag" in (getattr(one, "id", ""), getattr(getattr(one, "func", None), "id", "")) for one in node.decorator_list
    )


def _code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines after the docstring, which may say shapes and errors at length."""
    body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1
