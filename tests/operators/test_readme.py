"""The README's example is a DAG that runs."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.sdk import DAG

from tests.operators.conftest import RUNS_A_DAG, run_dag

if TYPE_CHECKING:
    import pytest

    from tests.conftest import Runtime

pytestmark = RUNS_A_DAG
ROOT = Path(__file__).parents[2]


def test_the_example_of_the_readme_runs(aws: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    path = tmp_path / "breast_cancer.py"
    path.write_text(example.replace("\nbreast_cancer()\n", "\nexample = breast_cancer()\n"))
    dag = runpy.run_path(str(path))["example"]
    assert isinstance(dag, DAG)

    ran = run_dag(dag)

    assert ran.state == "success"
    assert ran.result("predict")["predictions"][0]["predicted_label"] in (0, 1)
    assert aws.client("sagemaker").list_endpoints(NameContains="breast-cancer")["Endpoints"] == []
