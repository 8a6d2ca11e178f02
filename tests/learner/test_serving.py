from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import numpy as np
import pytest

from airflow_ll.artifacts import LinearModel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    root = tmp_path_factory.mktemp("ml")
    (root / "model").mkdir()
    weights = np.array([[1.0], [-1.0]], np.float32)
    LinearModel(weights, np.zeros(1, np.float32), "binary_classifier", "logistic").save(root / "model" / "model_algo-1")
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow_ll", "serve", "--root", str(root), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    word, url = process.stdout.readline().split()
    assert word == "READY"
    yield url, process
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    process.stdout.close()


def _post(url: str, body: bytes, **headers: str) -> tuple[int, str, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"{url}/invocations", body, named)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.headers["content-type"], response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["content-type"], error.read().decode()


def test_ping_and_execution_parameters_answer(server: tuple[str, subprocess.Popen[str]]) -> None:
    with urllib.request.urlopen(f"{server[0]}/ping", timeout=60) as response:
        assert response.status == 200
    with urllib.request.urlopen(f"{server[0]}/execution-parameters", timeout=60) as response:
        parameters = json.load(response)
    assert parameters["BatchStrategy"] == "MULTI_RECORD"
    assert parameters["MaxPayloadInMB"] == 6


def test_csv_rows_are_answered_in_json_by_default(server: tuple[str, subprocess.Popen[str]]) -> None:
    status, kind, body = _post(server[0], b"1,1\n3,0\n", Content_Type="text/csv")
    assert (status, kind) == (200, "application/json")
    assert [answer["predicted_label"] for answer in json.loads(body)["predictions"]] == [1, 1]
    assert json.loads(body)["predictions"][0]["score"] == 0.5


def test_the_accept_header_chooses_the_answer(server: tuple[str, subprocess.Popen[str]]) -> None:
    status, kind, body = _post(server[0], b"0,0\n", Content_Type="text/csv", Accept="application/jsonlines")
    assert (status, kind, body) == (200, "application/jsonlines", '{"score": 0.5, "predicted_label": 1}\n')


def test_a_wrong_dimension_gets_the_service_s_words(server: tuple[str, subprocess.Popen[str]]) -> None:
    status, _, body = _post(server[0], b"1,1,1\n", Content_Type="text/csv")
    assert status == 400
    assert body == (
        "Customer Error: The feature dimension of the input: 3 does not match the feature dimension of the model: 2. "
        "Please fix the input and try again."
    )


def test_an_unknown_content_type_is_refused(server: tuple[str, subprocess.Popen[str]]) -> None:
    assert _post(server[0], b"<x/>", Content_Type="application/xml")[0] == 415


def test_a_root_without_a_model_is_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "airflow_ll", "serve", "--root", str(tmp_path), "--port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "There is no model at" in done.stderr
