"""Names, tags and fingerprints."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ll.exceptions import RequestError
from airflow_ll.requests import TaskIdentity, fingerprint, fingerprint_from_tags, resource_name, user_tags
from airflow_ll.requests.names import KINDS
from tests.requests.service_model import refusals

NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")
ANY_TEXT = st.one_of(
    st.text(), st.text(st.characters(), min_size=200, max_size=400), st.sampled_from(["", "...", "-", "ü", "航班"])
)
IDENTITIES = st.builds(TaskIdentity, ANY_TEXT, ANY_TEXT, ANY_TEXT, st.integers(-1, 5000))
FLIGHTS = TaskIdentity("flights_retraining", "scheduled__2026-11-24T00:00:00+00:00", "train.fit")


@given(IDENTITIES, st.sampled_from(sorted(KINDS)), st.integers(0, 99999))
def test_every_identity_has_a_valid_name(identity: TaskIdentity, kind: str, generation: int) -> None:
    name = resource_name(identity, kind, generation)
    assert len(name) <= KINDS[kind]
    assert NAME.fullmatch(name)
    assert identity.run_hash in name
    assert name == resource_name(replace(identity), kind, generation)


def test_a_name_begins_with_what_people_recognise() -> None:
    assert resource_name(FLIGHTS, "training").startswith("flights-retraining-train-fit-")
    assert resource_name(FLIGHTS, "training", 3).endswith("-g3")


def test_long_ids_share_the_room_and_a_short_one_leaves_it_to_the_other() -> None:
    long = "a" * 200
    both = resource_name(TaskIdentity(long, "r", "b" * 200), "training")
    assert "a" * 15 in both
    assert "b" * 15 in both
    assert "-fit-" in resource_name(TaskIdentity(long, "r", "fit"), "training")
    assert "etl-bbbbbbbbbbbbbbbbbbbbbbbbbb" in resource_name(TaskIdentity("etl", "r", "b" * 200), "training")


def test_accents_are_dropped_and_ids_of_only_punctuation_give_way_to_the_kind() -> None:
    assert resource_name(TaskIdentity("Flüge", "r", "prüfen"), "endpoint").startswith("Fluge-prufen-")
    assert resource_name(TaskIdentity("...", "r", "---"), "endpoint").startswith("endpoint-")


def test_everything_that_differs_has_its_own_name() -> None:
    variants = [
        FLIGHTS,
        replace(FLIGHTS, dag_id="flights-retraining"),  # the same readable part
        replace(FLIGHTS, run_id="scheduled__2026-11-25T00:00:00+00:00"),
        replace(FLIGHTS, task_id="train_fit"),
        replace(FLIGHTS, map_index=0),
        TaskIdentity("a", "bc", "d"),
        TaskIdentity("ab", "c", "d"),
    ]
    names = {resource_name(one, kind, g) for one in variants for kind in KINDS for g in (0, 1)}
    assert len(names) == len(variants) * len(KINDS) * 2


@given(IDENTITIES, ANY_TEXT, st.integers(-1, 5000))
def test_tasks_of_a_run_share_the_run_hash(identity: TaskIdentity, task_id: str, map_index: int) -> None:
    other = replace(identity, task_id=task_id, map_index=map_index)
    assert other.run_hash == identity.run_hash
    assert re.fullmatch("[0-9a-f]{8}", identity.run_hash)


def test_another_run_has_another_hash() -> None:
    assert replace(FLIGHTS, run_id="manual").run_hash != FLIGHTS.run_hash
    assert replace(FLIGHTS, dag_id="other").run_hash != FLIGHTS.run_hash


@pytest.mark.parametrize(("kind", "generation", "limit"), [("job", 0, 63), ("training", -1, 63), ("training", 0, 20)])
def test_an_impossible_name_is_refused(kind: str, generation: int, limit: int) -> None:
    with pytest.raises(RequestError, match="must be"):
        resource_name(FLIGHTS, kind, generation, limit)


@given(IDENTITIES)
def test_every_identity_can_be_a_tag_and_be_recognised(identity: TaskIdentity) -> None:
    tags = identity.tags("f" * 64)
    assert not refusals("AddTags", {"ResourceArn": "arn:aws:sagemaker:us-east-1:123456789012:model/m", "Tags": tags})
    owner = TaskIdentity.from_tags(tags)
    assert owner is not None
    assert identity.is_owner(owner)
    assert owner.as_tagged() == owner
    assert TaskIdentity.from_tags(owner.tags("")) == owner
    assert fingerprint_from_tags(tags) == "f" * 64
    assert owner.run_hash == identity.run_hash
    assert resource_name(owner, "tuning") == resource_name(identity, "tuning")


@given(IDENTITIES, IDENTITIES)
def test_only_the_same_identity_is_the_owner(one: TaskIdentity, other: TaskIdentity) -> None:
    assert one.is_owner(TaskIdentity.from_tags(other.tags("f"))) == (one == other)


@pytest.mark.parametrize("run_id", ["a~b", "aws:x", " padded", "x" * 300, "a\nb", "🙂", "é" * 200])
def test_ids_that_aws_refuses_stay_distinct(run_id: str) -> None:
    tagged = replace(FLIGHTS, run_id=run_id).as_tagged().run_id
    assert tagged != run_id
    assert tagged != replace(FLIGHTS, run_id=run_id + "!").as_tagged().run_id


def test_an_ordinary_run_id_is_its_own_tag() -> None:
    assert {"Key": "airflow-ll:run-id", "Value": FLIGHTS.run_id} in FLIGHTS.tags("")
    assert TaskIdentity.from_tags([{"Key": "team", "Value": "ml"}, *FLIGHTS.tags("")]) == FLIGHTS


def test_foreign_or_broken_tags_name_no_owner() -> None:
    assert TaskIdentity.from_tags([]) is None
    assert TaskIdentity.from_tags([{"Key": "dag-id", "Value": "x"}]) is None
    broken = [tag | ({"Value": "?"} if tag["Key"].endswith("map-index") else {}) for tag in FLIGHTS.tags("")]
    assert TaskIdentity.from_tags(broken) is None
    assert fingerprint_from_tags([]) is None


def test_the_fingerprint_ignores_the_own_name_and_the_tags() -> None:
    request = {
        "TrainingJobName": "a",
        "Tags": [{"Key": "k", "Value": "v"}],
        "RoleArn": "r",
        "HyperParameters": {"x": "1"},
    }
    same = {"HyperParameters": {"x": "1"}, "RoleArn": "r", "TrainingJobName": "b"}
    assert fingerprint(request) == fingerprint(same)
    assert re.fullmatch("[0-9a-f]{64}", fingerprint(request))
    assert fingerprint(request) != fingerprint(request | {"HyperParameters": {"x": "2"}})


@pytest.mark.parametrize(
    ("own", "reference"), [("EndpointName", "EndpointConfigName"), ("TransformJobName", "ModelName")]
)
def test_the_fingerprint_keeps_the_names_of_what_is_used(own: str, reference: str) -> None:
    request = {own: "a", reference: "b"}
    assert fingerprint(request) == fingerprint(request | {own: "z"})
    assert fingerprint(request) != fingerprint(request | {reference: "z"})


def test_a_base_name_is_what_people_read_and_keeps_the_hashes() -> None:
    identity = TaskIdentity("dag", "run", "task")
    ours, based = resource_name(identity, "training"), resource_name(identity, "training", base_name="Churn model")

    assert based == f"Churn-model{ours.removeprefix('dag-task')}"
    assert len(resource_name(identity, "tuning", base_name="x" * 99)) <= 32


def test_tags_that_name_an_owner_are_not_inherited() -> None:
    team = {"Key": "team", "Value": "ml"}
    tags = [team, {"Key": "aws:x", "Value": "1"}, *TaskIdentity("dag", "run", "task").tags("f")]

    assert user_tags(tags) == [team]
