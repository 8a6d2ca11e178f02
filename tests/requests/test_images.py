"""Image URIs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from airflow_ll.exceptions import RequestError
from airflow_ll.requests import image_uri
from airflow_ll.requests.images import ACCOUNTS, image_region

if TYPE_CHECKING:
    from pathlib import Path


def test_every_region_has_the_recorded_image(shared: Path) -> None:
    recorded = json.loads((shared / "golden" / "image_uris.json").read_text())
    assert {region: image_uri(region) for region in ACCOUNTS} == recorded["uris"]
    assert dict(ACCOUNTS) == recorded["registries"]


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-east-1", "382416733822.dkr.ecr.us-east-1.amazonaws.com"),
        ("us-gov-west-1", "226302683700.dkr.ecr.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "390948362332.dkr.ecr.cn-north-1.amazonaws.com.cn"),
        ("us-iso-east-1", "490574956308.dkr.ecr.us-iso-east-1.c2s.ic.gov"),
        ("us-isob-east-1", "765400339828.dkr.ecr.us-isob-east-1.sc2s.sgov.gov"),
        ("us-isof-south-1", "124985052026.dkr.ecr.us-isof-south-1.csp.hci.ic.gov"),
    ],
)
def test_each_partition_has_its_own_registry_host(region: str, host: str) -> None:
    assert image_uri(region) == f"{host}/linear-learner:1"
    assert image_region(image_uri(region)) == region


@pytest.mark.parametrize(("region", "near"), [("us-eastt-1", "us-east-1"), ("eu-west-4", "eu-west-"), ("", "")])
def test_an_unknown_region_is_refused_with_the_nearest_one(region: str, near: str) -> None:
    with pytest.raises(RequestError, match=f"37 regions, and '{region}' is not among them: did you mean '{near}"):
        image_uri(region)


def test_an_image_of_ones_own_has_no_region() -> None:
    assert image_region("registry.example.com/linear-learner:2") is None
