"""Every Python example of the documentation runs, the DAGs among them on the embedded runtime."""

from __future__ import annotations

import io
import re
import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from airflow_ll.records import write_records
from tests.operators.conftest import BUNDLE, RUNS_A_DAG, run_dag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Runtime

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
RUN_ELSEWHERE = {"docs/testing.md"}  # a project of its own, in tests/testing
PAGES_URL = "http://127.0.0.1:9100"
BUCKET = "my-bucket"


@dataclass(frozen=True)
class Example:
    """One block of code.

    :param where: the page, and the heading above.
    :param code: as it is on the page.
    """

    where: str
    code: str


def examples() -> Iterator[Example]:
    """Yield the blocks of all pages; of several below one heading, the later ones have a number."""
    seen: dict[str, int] = {}
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for block in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            heading = re.findall(r"^#+ (.*)$", text[: block.start()], re.MULTILINE)[-1]
            where = f"{page}: {heading}"
            seen[where] = seen.get(where, 0) + 1
            if page not in RUN_ELSEWHERE:
                yield Example(where + (f" {seen[where]}" if seen[where] > 1 else ""), block[1])


# What the examples take for granted: names that the text around them has given, files, objects in S3.

_ROWS = "from sklearn.datasets import load_breast_cancer\nfeatures, labels = load_breast_cancer(return_X_y=True)\n"
_DENSE = """import io
import numpy as np
stream = io.BytesIO()
batches = [(np.ones((3, 784), np.float32), np.zeros(3, np.float32))]
"""
_SHARDS = """import numpy as np
from airflow_ll.records import read_records
shards, total_rows, feature_dim = ["matrix_0.pbr", "matrix_1.pbr"], 8, 3
"""
_MAPPED = """from airflow.sdk import DAG
from airflow_ll.operators import LinearLearnerRecordSetManifestOperator, LinearLearnerRecordSetShardOperator
dag = DAG("mapped_example")
dag.__enter__()
"""
_HOOK = _ROWS + "from airflow.sdk import DAG, task\nfrom airflow_ll.hooks import LinearLearnerHook\n"
BEFORE = {
    "docs/operators.md: Operators, sensors, triggers, hook": _ROWS,
    "docs/operators.md: Hook": _HOOK,
    "docs/operators.md: On many machines": _MAPPED,
    "docs/records.md: Records: from matrices to what LinearLearner reads": _ROWS,
    "docs/records.md: What can be written": _DENSE,
    "docs/records.md: What can be read": _SHARDS,
    "docs/runtime.md: Faults on purpose": "from pathlib import Path\ndata_dir = Path()\n",
}


AFTER = {
    "docs/operators.md: Hook": "with DAG('hook_example'):\n    retrain()\n",
    "docs/operators.md: On many machines": "dag.__exit__(None, None, None)\n",
}


def _role(runtime: Runtime) -> None:
    runtime.client("iam").create_role(RoleName="learner", AssumeRolePolicyDocument="{}")


def _new_patients(runtime: Runtime) -> None:
    lines = "\n".join(",".join(["14.0"] * 30) for _ in range(3))
    runtime.client("s3").put_object(Bucket=BUCKET, Key="churn/new.csv", Body=lines.encode())


def _months(runtime: Runtime) -> None:
    for month in ("2013-01", "2013-02"):
        body = io.BytesIO()
        pd.DataFrame({"distance": [1.0, 2.0], "late": [0.0, 1.0]}).to_parquet(body)
        runtime.client("s3").put_object(Bucket=BUCKET, Key=f"{month}.parquet", Body=body.getvalue())


def _flights(_: Runtime) -> None:
    Path("flights").mkdir()
    frame = pd.DataFrame({"carrier": ["AA", "UA"] * 4, "month": ["1", "2"] * 4, "flight": range(8), "late": [0, 1] * 4})
    frame.to_parquet("flights/part.parquet")


def _two_shards(_: Runtime) -> None:
    for number in range(2):
        with Path(f"matrix_{number}.pbr").open("wb") as stream:
            write_records(stream, np.ones((4, 3), np.float32), np.zeros(4, np.float32))


THINGS: dict[str, Callable[[Runtime], None]] = {
    "docs/operators.md: Operators, sensors, triggers, hook": _new_patients,
    "docs/operators.md: Hook": _role,
    "docs/operators.md: On many machines": _months,
    "docs/records.md: Sources": _flights,
    "docs/records.md: What can be read": _two_shards,
}


def _around(where: str) -> str:
    return BEFORE.get(where, "") + AFTER.get(where, "")


ALL = list(examples())
DAG_EXAMPLES = [one for one in ALL if re.search(r"^@dag|\bDAG\(", one.code + _around(one.where), re.MULTILINE)]
SCRIPTS = [one for one in ALL if one not in DAG_EXAMPLES]


@pytest.fixture
def page(aws: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Example], Path]:
    """A function that makes an example a file among the things that its page takes for granted."""
    monkeypatch.chdir(tmp_path)
    aws.client("s3").create_bucket(Bucket=BUCKET)

    def write(example: Example) -> Path:
        if example.where in THINGS:
            THINGS[example.where](aws)
        path = tmp_path / "example.py"
        code = example.code.replace(PAGES_URL, aws.url)
        path.write_text(BEFORE.get(example.where, "") + code + AFTER.get(example.where, ""), encoding="utf-8")
        return path

    return write


def test_the_examples_are_found_and_nothing_is_prepared_for_none() -> None:
    found = {one.where for one in ALL}
    assert len(found) == len(ALL) >= 11
    assert set(BEFORE) | set(AFTER) | set(THINGS) <= found
    assert len(DAG_EXAMPLES) >= 4


@pytest.mark.parametrize("example", SCRIPTS, ids=lambda one: one.where)
@pytest.mark.xdist_group("airflow")
def test_a_script_runs(page: Callable[[Example], Path], example: Example) -> None:
    runpy.run_path(str(page(example)))


class TestDags:
    pytestmark: ClassVar = [*RUNS_A_DAG, pytest.mark.filterwarnings("ignore:GitWildMatchPattern")]

    @pytest.mark.parametrize("example", DAG_EXAMPLES, ids=lambda one: one.where)
    def test_a_dag_succeeds_and_its_teardown_leaves_nothing_in_service(
        self, aws: Runtime, page: Callable[[Example], Path], example: Example
    ) -> None:
        from airflow.dag_processing.dagbag import BundleDagBag

        path = page(example)
        bag: Any = BundleDagBag(path, bundle_path=path.parent, bundle_name=BUNDLE)
        assert not bag.import_errors
        (dag,) = bag.dags.values()
        for task in dag.tasks:
            task.retries = 0  # a failure is one at once

        ran = run_dag(dag)

        assert set(ran.states.values()) == {"success"}, ran.states
        if not any(task.is_teardown for task in dag.tasks):
            return
        sagemaker = aws.client("sagemaker")
        assert sagemaker.list_endpoints(NameContains=dag.dag_id.replace("_", "-"))["Endpoints"] == []
        assert sagemaker.list_models(NameContains=dag.dag_id.replace("_", "-"))["Models"] == []
