"""Transform jobs over every product of format, strategy, compression and data processing."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from airflow_ll.records import encode_records
from tests.local.support import rows
from tests.local.test_transform_jobs import completed, put, read, transform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from airflow_ll.artifacts import LinearModel
    from tests.conftest import Runtime

ROWS = 12
CSV, JSON_LINES, RECORD_IO = "text/csv", "application/jsonlines", "application/x-recordio-protobuf"
Row = list[float]


@dataclass(frozen=True)
class Case:
    """One combination: rows have an id before their features where a filter takes it off."""

    content_type: str
    accept: str
    strategy: str
    compression: str
    processing: str

    @property
    def name(self) -> str:
        kinds = (
            kind.split("/")[1].replace("x-recordio-protobuf", "records") for kind in (self.content_type, self.accept)
        )
        return "-".join((*kinds, self.strategy, self.compression, self.processing))

    @property
    def data_processing(self) -> dict[str, str]:
        is_csv = self.content_type == CSV
        given = {
            "plain": {},
            "filtered": {"InputFilter": "$[1:]" if is_csv else "$.body"},
            "joined": {"InputFilter": "$[1:]" if is_csv else "$.body", "JoinSource": "Input"},
        }
        given["chosen"] = {
            **given["joined"],
            "OutputFilter": "$[0,-2]" if is_csv else "$['id','SageMakerOutput']",
        }
        return given[self.processing]

    def body(self, features: NDArray[np.float32]) -> bytes:
        if self.content_type == RECORD_IO:
            return encode_records(features)
        numbered = self.processing != "plain"
        if self.content_type == CSV:
            lines = [",".join(map(str, [*[number] * numbered, *row])) for number, row in enumerate(features.tolist())]
        else:
            found: list[Any] = [{"features": row} for row in features.tolist()]
            lines = [json.dumps({"id": n, "body": row} if numbered else row) for n, row in enumerate(found)]
        return "\n".join(lines).encode()

    def expected(self, features: NDArray[np.float32], scores: Row, labels: list[int]) -> list[Row]:
        """Return the numbers of each line of the output, in their order."""
        ids = list(range(len(scores)))
        kinds: dict[str, tuple[list[Any], ...]] = {"chosen": (ids, scores)}
        if self.content_type == JSON_LINES:
            kinds["chosen"] = (ids, scores, labels)
        if self.processing == "joined":
            return [[n, *row, s, y] for n, row, s, y in zip(ids, features.tolist(), scores, labels, strict=True)]
        return [list(one) for one in zip(*kinds.get(self.processing, (scores, labels)), strict=True)]

    def stored(self, body: bytes) -> list[Row]:
        if self.accept == CSV:
            return [[float(cell) for cell in row] for row in csv.reader(io.StringIO(body.decode()))]
        return [list(_numbers(json.loads(line))) for line in body.splitlines()]


def _numbers(value: Any) -> Any:
    """Yield the numbers in a JSON value: id, features, score and label in this order."""
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _numbers(one)
    else:
        for key in ("id", "body", "features", "SageMakerOutput", "score", "predicted_label"):
            if key in value:
                yield from _numbers(value[key])


STRATEGIES, COMPRESSIONS = ("MultiRecord", "SingleRecord"), ("None", "Gzip")
CASES = [
    *(
        Case(kind, kind, *choice)
        for kind in (CSV, JSON_LINES)
        for choice in itertools.product(STRATEGIES, COMPRESSIONS, ("plain", "filtered", "joined", "chosen"))
    ),
    *(
        Case(kind, accept, *choice, "plain")
        for kind, accept in ((RECORD_IO, JSON_LINES), (RECORD_IO, CSV), (CSV, JSON_LINES), (JSON_LINES, CSV))
        for choice in itertools.product(STRATEGIES, COMPRESSIONS)
    ),
]


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_combination_stores_every_row_in_order(
    data_runtime: Runtime, local_model: LinearModel, case: Case
) -> None:
    features = rows(ROWS, seed=41)[0].astype(np.float32)
    body = case.body(features)
    put(data_runtime, f"in-{case.name}/a", gzip.compress(body) if case.compression == "Gzip" else body)
    split = "RecordIO" if case.content_type == RECORD_IO else "Line"

    completed(
        transform(
            data_runtime,
            case.name,
            f"in-{case.name}/",
            {"ContentType": case.content_type, "SplitType": split, "CompressionType": case.compression},
            BatchStrategy=case.strategy,
            TransformOutput={
                "S3OutputPath": f"s3://data/out-{case.name}",
                "Accept": case.accept,
                "AssembleWith": "Line",
            },
            **({"DataProcessing": case.data_processing} if case.data_processing else {}),
        )
    )

    predictions = local_model.predict(features)
    assert predictions.labels is not None
    stored = case.stored(read(data_runtime, f"out-{case.name}/a.out"))
    expected = case.expected(features, predictions.scores.tolist(), predictions.labels.tolist())
    np.testing.assert_allclose(stored, expected, rtol=1e-6)
