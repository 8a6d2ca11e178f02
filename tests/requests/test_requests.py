"""What every builder promises: AWS accepts the request, the spec is untouched, nothing empty is sent."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ll.requests import fingerprint
from tests.requests.service_model import refusals, sagemaker
from tests.requests.specs import SPECS

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_FOR_THIS_ALGORITHM = {
    "DebugRuleConfigurations", "ProfilerRuleConfigurations", "TensorBoardOutputConfig", "InfraCheckConfig",
    "RemoteDebugConfig", "SessionChainingConfig", "ServerlessJobConfig", "MlflowConfig", "ModelPackageConfig",
}  # fmt: skip


@pytest.fixture(params=SPECS)
def case(request: pytest.FixtureRequest) -> tuple[str, Any, Any]:
    return SPECS[request.param]


def test_aws_accepts_the_request(case: tuple[str, Any, Any]) -> None:
    operation, build, spec = case
    assert refusals(operation, build(spec)) == []


def test_building_leaves_the_spec_alone_and_shares_nothing_with_it(case: tuple[str, Any, Any]) -> None:
    _, build, spec = case
    before, request = copy.deepcopy(spec), build(spec)
    for part in _containers(request):
        part.clear()
    assert spec == before
    assert build(spec) == build(before)


def test_nothing_empty_is_sent(case: tuple[str, Any, Any]) -> None:
    _, build, spec = case
    assert all(part for part in _containers(build(spec)))
    assert "null" not in json.dumps(build(spec))


def test_the_fingerprint_is_of_plain_json_and_ignores_the_order(case: tuple[str, Any, Any]) -> None:
    _, build, spec = case
    request = build(spec)
    assert fingerprint(dict(reversed(request.items()))) == fingerprint(json.loads(json.dumps(request)))


def test_the_check_of_these_tests_finds_what_aws_refuses() -> None:
    bad = {"EndpointName": "-", "EndpointConfigName": "x" * 64, "Tags": [{"Key": ""}], "Extra": 1}
    assert len(refusals("CreateEndpoint", bad)) >= 4


def test_the_fullest_training_job_has_every_member_that_this_algorithm_can_use() -> None:
    operation, build, spec = SPECS["training-full"]
    shape = sagemaker().operation_model(operation).input_shape
    assert shape is not None
    missing = set(shape.members) - set(build(spec))
    assert missing <= NOT_FOR_THIS_ALGORITHM


def test_importing_the_room_loads_nothing_heavy() -> None:
    code = (
        "import sys, airflow_ll.requests as r; [getattr(r, name) for name in r.__all__];"
        "print([m for m in ('numpy', 'boto3', 'botocore', 'scipy', 'google.protobuf', 'airflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_example_of_the_documentation_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "requests.md").read_text()
    scope: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], scope)
    assert refusals("CreateTrainingJob", scope["request"]) == []
    assert scope["request"]["HyperParameters"]["mini_batch_size"] == "1000"


def test_every_export_exists() -> None:
    import airflow_ll.requests as room

    assert sorted(room.__all__) == sorted(room._EXPORTS)
    assert all(getattr(room, name) is not None for name in room.__all__)
    assert set(room.__all__) <= set(dir(room))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = room.nothing


def _containers(value: Any) -> Iterator[Any]:
    """Yield the dicts and lists in ``value``, the innermost first."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _containers(item)
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _containers(item)
        yield value
