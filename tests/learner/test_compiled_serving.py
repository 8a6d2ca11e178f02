"""What a compiled model answers is what its source answers, byte for byte, in every content type."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ll.artifacts import CompiledModel, LinearModel
from airflow_ll.learner.compilation import compile_model
from airflow_ll.learner.compiled_serving import CompiledScorer, create_compiled_app
from airflow_ll.learner.invocations import create_app, invoke
from airflow_ll.learner.payloads import CSV, JSON, JSON_LINES, RECORDIO, encode_request
from tests.artifacts.test_compiled import LOSSES, a_model

if TYPE_CHECKING:
    from pathlib import Path

KINDS = (CSV, JSON, JSON_LINES, RECORDIO)
MODELS = {kind: a_model(kind) for kind in LOSSES}
SCORERS = {kind: CompiledScorer(CompiledModel(model, (1, 7), "ml_c5")) for kind, model in MODELS.items()}

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
rows = st.lists(st.lists(finite, min_size=7, max_size=7), min_size=1, max_size=4)


@given(rows, st.sampled_from(KINDS), st.sampled_from([*KINDS, None, "*/*"]), st.sampled_from(sorted(LOSSES)))
def test_every_answer_is_the_general_one(
    features: list[list[float]], kind: str, accept: str | None, predictor_type: str
) -> None:
    body = encode_request(np.array(features, np.float32), kind)

    assert SCORERS[predictor_type].invoke(body, kind, accept) == invoke(MODELS[predictor_type], body, kind, accept)


@pytest.mark.parametrize("kind", sorted(LOSSES))
@pytest.mark.parametrize("accept", KINDS)
def test_a_score_that_no_answer_can_hold_is_the_client_s_fault(kind: str, accept: str) -> None:
    signs = np.sign(MODELS[kind].weights[:, 0])  # so that the sum is beyond float32; then one without a sign
    features = np.array([np.zeros(7), 3e38 * signs, 3e38 * np.resize([1, -1], 7)], np.float32)
    status, body, _ = invoke(MODELS[kind], encode_request(features, CSV), CSV, accept)
    assert b"NaN" not in body
    assert b"Infinity" not in body
    assert SCORERS[kind].invoke(encode_request(features, CSV), CSV, accept)[:2] == (status, body)
    if kind == "regressor":
        assert status == 400
        assert body.startswith(b"Customer Error: The score of record 1 of the request is beyond float32")


@given(st.binary(max_size=200), st.sampled_from(KINDS))
def test_every_refusal_is_the_general_one(body: bytes, kind: str) -> None:
    assert SCORERS["regressor"].invoke(body, kind, kind) == invoke(MODELS["regressor"], body, kind, kind)


@pytest.mark.parametrize(
    "body",
    [
        encode_request(np.ones((1, 6), np.float32), RECORDIO),
        encode_request(np.ones((1, 7), np.float64), RECORDIO),
        encode_request(np.ones((2, 7), np.float32), RECORDIO)[:-1],
        encode_request(np.ones((1, 7), np.float32), RECORDIO).replace(b"values", b"walues"),
        b'{"instances": [{"data": {"features": {"keys": [1], "shape": [7], "values": [2.0]}}}]}',
        b"1,2,3",
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_other_layouts_go_the_general_way(body: bytes, kind: str) -> None:
    assert SCORERS["binary_classifier"].invoke(body, kind, JSON) == invoke(
        MODELS["binary_classifier"], body, kind, JSON
    )


def test_an_unknown_content_type_is_415() -> None:
    assert SCORERS["regressor"].invoke(b"1", "image/png", None)[0] == 415


def call(app: Any, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes, str | None]:
    """Send one request to an ASGI application, its body in two parts; return status, body and content type."""
    parts = [{"type": "http.request", "body": part, "more_body": part is not None} for part in (body[:9], body[9:])]
    parts[-1]["more_body"] = False
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }

    async def receive() -> dict[str, Any]:
        return parts.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    kinds = [value.decode() for name, value in sent[0]["headers"] if name == b"content-type"]
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], content, kinds[0] if kinds else None


@pytest.mark.parametrize("kind", KINDS)
def test_the_application_answers_as_the_general_one(kind: str) -> None:
    model = MODELS["multiclass_classifier"]
    compiled, general = create_compiled_app(CompiledModel(model, (1, 7), "ml_c5")), create_app(model)
    large = encode_request(np.ones((2000, 7), np.float32), kind)

    def same(method: str, path: str, body: bytes = b"", **headers: str) -> int:
        expected = call(general, method, path, body, **headers)
        assert call(compiled, method, path, body, **headers) == expected
        return expected[0]

    assert same("POST", "/invocations", large, content_type=kind, accept=kind) == 200
    assert same("POST", "/invocations", b"?", content_type=kind) == 400
    assert same("POST", "/invocations", b"?", content_type="image/png") == 415
    assert same("GET", "/ping") == 200
    assert same("GET", "/execution-parameters") == 200
    assert same("GET", "/invocations") == 405
    assert same("GET", "/nothing") == 404


@pytest.mark.parametrize("compiled", [False, True])
def test_a_client_that_goes_away_in_the_middle_is_no_error(compiled: bool) -> None:
    model = MODELS["regressor"]
    app = create_compiled_app(CompiledModel(model, (1, 7), "ml_c5")) if compiled else create_app(model)
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": b"1,2", "more_body": True}]
    messages.append({"type": "http.disconnect"})

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        assert message.get("body", b"") == b"", "nobody is there to read it"

    scope = {"type": "http", "method": "POST", "path": "/invocations", "query_string": b"", "headers": []}
    asyncio.run(app(scope, receive, send))
    assert not messages


def lay_out(root: Path, archive: bytes, **config: str) -> Path:
    """Write a compilation job's tree."""
    for folder in ("input/config", "input/model", "output"):
        (root / folder).mkdir(parents=True)
    job = {"Framework": "MXNET", "DataInputConfig": '{"data": [1, 7]}', "Target": "ml_c5"} | config
    (root / "input/config/compilation.json").write_text(json.dumps(job))
    (root / "input/model/model.tar.gz").write_bytes(archive)
    return root


def archive_of(model: LinearModel, tmp_path: Path) -> bytes:
    model.save(tmp_path / "source.tar.gz")
    return (tmp_path / "source.tar.gz").read_bytes()


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def network_of(model: LinearModel) -> dict[str, bytes]:
    """Return MXNet's own two files of a model."""
    from airflow_ll.artifacts.archive import read_members

    members = read_members(model.to_bytes())
    return {name: members[name] for name in ("mx-mod-symbol.json", "mx-mod-0000.params")}


@pytest.mark.parametrize("config", ['{"data": [1, 7]}', "{'data': [3,7]}"])
def test_a_compiled_archive_is_named_after_its_source_and_target(tmp_path: Path, config: str) -> None:
    model = a_model("binary_classifier")
    root = lay_out(tmp_path / "job", archive_of(model, tmp_path), DataInputConfig=config)

    assert compile_model(root) == 0

    (archive,) = (root / "output").iterdir()
    assert archive.name == "model-ml_c5.tar.gz"
    with tarfile.open(archive) as tar:
        assert sorted(tar.getnames()) == [
            "additional-params.json",
            "compiled.meta",
            "compiled.params",
            "compiled_model.json",
        ]
        tar.extractall(tmp_path / "unpacked", filter="data")
    compiled = CompiledModel.load(tmp_path / "unpacked")
    features = np.random.default_rng(1).normal(size=(5, 7)).astype(np.float32)
    assert compiled.model.predict(features).scores.tobytes() == model.predict(features).scores.tobytes()


@pytest.mark.parametrize("predictor_type", LOSSES)
def test_a_bare_network_compiles_too(tmp_path: Path, predictor_type: str) -> None:
    model = a_model(predictor_type)
    root = lay_out(tmp_path / "job", tar_of(network_of(model)))

    assert compile_model(root) == 0
    with tarfile.open(root / "output/model-ml_c5.tar.gz") as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    compiled = CompiledModel.load(tmp_path / "unpacked").model
    assert (compiled.predictor_type, compiled.loss) == (model.predictor_type, model.loss)


MISMATCH = (
    "ClientError: InputConfiguration: TVM cannot convert the MXNet model. Invalid model or input-shape mismatch. "
    'Make sure that inputs are lexically ordered and of the correct dimensionality. The model takes {"data": [rows, 7]}'
)


@pytest.mark.parametrize(
    "config",
    [
        '{"data": [1, 8]}',
        '{"data": [0, 7]}',
        '{"data": [7]}',
        '{"input": [1, 7]}',
        '{"data": [1, 7], "more": [1]}',
        "[1, 7]",
        "nonsense",
        "(" * 500,
    ],
)
def test_a_wrong_input_shape_is_refused(tmp_path: Path, config: str) -> None:
    model = a_model("regressor")
    root = lay_out(tmp_path / "job", archive_of(model, tmp_path), DataInputConfig=config)

    assert compile_model(root) == 2
    assert (root / "output/failure").read_text() == f"{MISMATCH}, got {config}."


@pytest.mark.parametrize(
    ("archive", "framework", "reason"),
    [
        (b"no archive", "MXNET", "Unable to untar input model. Please confirm the model is a tar.gz file"),
        (
            tar_of({"a": b"b"}),
            "MXNET",
            "No valid Mxnet model file -symbol.json found. Please make sure the framework you select is correct.",
        ),
        (
            tar_of(network_of(a_model("regressor")) | {"second-0000.params": b""}),
            "MXNET",
            (
                "Only one parameter file is allowed for MXNet model. "
                "Please make sure the framework you select is correct."
            ),
        ),
        (
            tar_of({"a": b"b"}),
            "PYTORCH",
            "No valid PyTorch model found in input files. Please make sure the framework you select is correct.",
        ),
    ],
)
def test_an_input_that_is_no_model_is_refused_in_neos_words(
    tmp_path: Path, archive: bytes, framework: str, reason: str
) -> None:
    root = lay_out(tmp_path / "job", archive, Framework=framework)

    assert compile_model(root) == 2
    assert (root / "output/failure").read_text() == f"ClientError: InputConfiguration: {reason}"
    assert [path.name for path in (root / "output").iterdir()] == ["failure"]


def test_a_damaged_model_is_the_customers(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "job", tar_of({"model_algo-1": b"PK damaged"}))

    assert compile_model(root) == 2
    assert (
        (root / "output/failure")
        .read_text()
        .startswith("ClientError: InputConfiguration: Framework cannot load MXNet model: ")
    )
