"""Calls that AWS refuses for the moment are tried again, longer than the client itself would."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from airflow_ll.hooks.patience import PATIENT_ATTEMPTS, wait_out
from airflow_ll.hooks.resources import TRAINING_JOB
from tests.operators.conftest import calls

if TYPE_CHECKING:
    from airflow_ll.hooks import LinearLearnerHook
    from tests.conftest import Runtime


@pytest.mark.parametrize("effect", ["throttling", "server-error"])
def test_more_refusals_than_the_client_takes_are_waited_out(
    runtime: Runtime, hook: LinearLearnerHook, effect: str
) -> None:
    name = f"patience-{uuid.uuid4().hex[:8]}"
    refusals = PATIENT_ATTEMPTS + 1
    with runtime.failing(f"{effect} operation=DescribeTrainingJob resource={name} times={refusals}"):
        assert hook.describe(TRAINING_JOB, name) is None
    assert len(calls(runtime, "DescribeTrainingJob", name)) == refusals + 1


def test_what_will_not_pass_is_not_tried_again(runtime: Runtime, hook: LinearLearnerHook) -> None:
    name = f"patience-{uuid.uuid4().hex[:8]}"
    with (
        runtime.failing(f"access-denied operation=DescribeTrainingJob resource={name}"),
        pytest.raises(ClientError, match="AccessDenied"),
    ):
        hook.describe(TRAINING_JOB, name)
    assert len(calls(runtime, "DescribeTrainingJob", name)) == 1


def test_patience_ends_and_never_counts_for_an_endpoint_where_nothing_answers() -> None:
    refused = (None, {"Error": {"Code": "ThrottlingException"}})
    waits = [wait_out(refused, attempts) for attempts in range(1, 14)]
    assert [wait is not None for wait in waits] == [False] * 4 + [True] * 7 + [False] * 2
    assert all(wait is None or 0 < wait <= 20 for wait in waits)
    assert wait_out(None, PATIENT_ATTEMPTS) is None
