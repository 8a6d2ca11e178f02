"""``airflow-ll model show`` on files and on S3 through the Airflow connection."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from airflow_ll.artifacts import LinearModel
from airflow_ll.cli import main
from tests.operators.conftest import connection

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Runtime

MODEL = LinearModel(np.array([[2.0], [-1.0]], np.float32), np.ones(1, np.float32), "regressor", "squared_loss")


@pytest.mark.parametrize("name", ["model_algo-1", "model.tar.gz"])
def test_a_model_is_shown_by_the_names_of_its_features(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    MODEL.save(tmp_path / name)
    (tmp_path / "schema.json").write_text('["distance", "delay"]')
    assert main(["model", "show", str(tmp_path / name), "--schema", str(tmp_path / "schema.json")]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["predictor_type", "regressor"] in lines
    assert lines[-2:] == [["distance", "2"], ["delay", "-1"]]


def test_a_model_on_s3_is_read_through_the_connection(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(runtime.url))
    MODEL.save(tmp_path / "model.tar.gz")
    runtime.client("s3").create_bucket(Bucket="shown")
    runtime.client("s3").upload_file(str(tmp_path / "model.tar.gz"), "shown", "job/output/model.tar.gz")
    assert main(["model", "show", "s3://shown/job/output/model.tar.gz", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["coefficients"] == {"feature_0": 2.0, "feature_1": -1.0}
    assert main(["model", "show", "s3://shown/gone.tar.gz"]) == 2
    assert "s3://shown/gone.tar.gz cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("files", "arguments", "words"),
    [
        ({}, [], "model.tar.gz: No such file or directory\n"),
        ({"model.tar.gz": b"nothing"}, [], "not a readable tar.gz"),
        ({"model.tar.gz": None, "s": b"{"}, ["--schema", "s"], "s is not JSON"),
        ({"model.tar.gz": None, "s": b'["a"]'}, ["--schema", "s"], "names 1 features, but the model has 2"),
    ],
)
def test_a_wrong_file_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    files: dict[str, bytes | None],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in files.items():
        if content is None:
            MODEL.save(name)
        else:
            (tmp_path / name).write_bytes(content)
    assert main(["model", "show", "model.tar.gz", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
