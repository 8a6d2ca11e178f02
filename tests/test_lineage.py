"""How OpenLineage names what our tasks read and write."""

from __future__ import annotations

import pytest

from airflow_ll.lineage import dataset_name


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("s3://bucket/rows/.amazon.manifest", ("s3://bucket", "rows/.amazon.manifest")),
        ("s3://bucket/rows/", ("s3://bucket", "rows")),
        ("s3://bucket", ("s3://bucket", "/")),
        (
            "arn:aws:sagemaker:us-east-1:123456789012:model/churn",
            ("arn:aws:sagemaker:us-east-1:123456789012", "model/churn"),
        ),
    ],
)
def test_a_location_has_a_namespace_and_a_name(uri: str, name: tuple[str, str]) -> None:
    assert dataset_name(uri) == name
