"""``airflow-ll records verify``: manifests and facts that are not what an upload writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ll.records import manifest_body
from airflow_ll.records.record_sets import MANIFEST_NAME
from tests.test_records_cli import folder, records

if TYPE_CHECKING:
    from pathlib import Path

    from tests.test_records_cli import Command

__all__ = ["folder", "records"]

AGAIN = "upload the record set again."
SHARD = "must have a name, its bytes, and its sha256 as text if any, but is"
ODD_FACTS = [
    ({"shards": [{"name": "matrix_0.pbr"}]}, f'shard 0 {SHARD} {{"name": "matrix_0.pbr"}}'),
    ({"shards": [{"name": "matrix_0.pbr", "bytes": 1, "sha256": 5}]}, f"shard 0 {SHARD} {{"),
    ({"shards": ["x"]}, f'shard 0 {SHARD} "x"'),
    ({"shards": 3}, "shards must be a list, but is 3"),
    ({"shards": None}, "shards must be a list, but is null"),
    ({"num_records": "30"}, 'num_records must be an integer, but is "30"'),
    (["x" * 100], f'must be a JSON object, but is ["{"x" * 78}...'),
]


def _write_facts(folder: Path, text: str) -> Path:
    path = folder.with_name(f"{folder.name}.meta") / "record_set.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(("facts", "fault"), ODD_FACTS)
def test_facts_that_no_upload_writes_are_a_fault(records: Command, folder: Path, facts: Any, fault: str) -> None:
    path = _write_facts(folder, json.dumps(facts))
    code, output, errors = records("verify", folder)
    assert (code, errors) == (1, "")
    first, last = output.splitlines()
    assert first.startswith(f"{path}: {fault}")
    assert first.endswith(AGAIN)
    assert last.startswith("1 fault(s): 30 rows in 3 shard(s)")


def test_facts_that_are_no_json_are_a_fault_of_verify_alone(records: Command, folder: Path) -> None:
    path = _write_facts(folder, "{")
    assert records("verify", folder)[1].startswith(f"{path}: is not JSON (")
    assert records("inspect", folder)[0] == 0


def test_facts_about_local_shards_are_compared(records: Command, folder: Path) -> None:
    _write_facts(folder, json.dumps({"num_records": 30, "shards": [{"name": "matrix_1.pbr", "bytes": 7}]}))
    assert f"{folder}/matrix_1.pbr: has 600 bytes, but was uploaded with 7." in records("verify", folder)[1]


def test_an_empty_shard_is_a_fault(records: Command, folder: Path) -> None:
    shard = folder / "matrix_1.pbr"
    shard.write_bytes(b"")
    for source in (shard, folder):
        code, output, _ = records("verify", source)
        assert code == 1
        assert output.splitlines()[0] == f"{shard}: is empty: every shard needs a record."


def test_a_shard_that_the_manifest_lists_twice_is_a_fault(records: Command, folder: Path) -> None:
    names = ["matrix_0.pbr", "matrix_1.pbr", "matrix_2.pbr", "matrix_1.pbr"]
    (folder / MANIFEST_NAME).write_bytes(manifest_body("s3://bucket/set/", names))
    code, output, _ = records("verify", folder)
    assert code == 1
    assert output.splitlines()[0] == (
        f"{folder}/matrix_1.pbr: the manifest names it 2 times, so that its rows would be read as often."
    )
    assert output.splitlines()[1].startswith("1 fault(s): 30 rows in 3 shard(s)")


def test_a_manifest_without_shards_is_a_fault(records: Command, folder: Path) -> None:
    for shard in folder.glob("*.pbr"):
        shard.unlink()
    manifest = folder / MANIFEST_NAME
    manifest.write_bytes(manifest_body("s3://bucket/set/", []))
    code, output, _ = records("verify", folder)
    assert (code, output.splitlines()[0]) == (1, f"{manifest}: names no shard.")


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_a_folder_of_several_record_sets_is_none(records: Command, folder: Path, command: str) -> None:
    code, _, error = records(command, folder.parent)
    assert code == 2
    assert f"{folder.parent} is no record set, but has some below it: give the manifest of one, such as" in error
    assert str(folder / MANIFEST_NAME) in error
