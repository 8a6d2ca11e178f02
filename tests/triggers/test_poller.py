"""Many triggers wait with few calls, and who comes, goes or ends on the way changes nothing for the others."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from airflow_ll.hooks.resources import TRAINING_JOB
from airflow_ll.hooks.survey import Survey
from airflow_ll.hyperparameters import LinearLearnerHyperparameters
from airflow_ll.requests import TrainingJobSpec, image_uri, training_job
from airflow_ll.triggers import LinearLearnerTrainingTrigger
from tests.hooks.conftest import hook, location
from tests.operators.conftest import ROLE, calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_ll.hooks import LinearLearnerHook
    from tests.conftest import Runtime

__all__ = ["hook", "location"]

JOBS = 25


@pytest.fixture
def prefix() -> str:
    """What the names of this test's jobs begin with."""
    return f"wait-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def start(hook: LinearLearnerHook, location: str, prefix: str) -> Any:
    """A function that starts jobs which end only when they are stopped; they are, in the end."""
    rows = hook.upload_record_set(np.eye(40, 3), np.arange(40.0) % 2, data_location=location).record_set
    endless = LinearLearnerHyperparameters(
        predictor_type="regressor", epochs=1_000_000, early_stopping_patience=2_000_000, num_models=1
    )
    started = []

    def start(number: int) -> str:
        spec = TrainingJobSpec(
            training_job_name=f"{prefix}-{number}",
            role=ROLE,
            image_uri=image_uri("us-east-1"),
            hyperparameters=endless,
            channels=[rows],
            output_path=location,
        )
        hook.create(TRAINING_JOB, training_job(spec))
        started.append(spec.training_job_name)
        return spec.training_job_name

    yield start
    for name in started:
        hook.stop(TRAINING_JOB, name)


async def event(trigger: Any) -> dict[str, Any]:
    """Return the payload of the trigger's event."""
    return dict((await anext(trigger.run())).payload)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another part brings about."""
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.05)


def lists(runtime: Runtime) -> int:
    return len(calls(runtime, "ListTrainingJobs"))


def test_many_triggers_share_lists_and_each_end_is_described_once(
    runtime: Runtime, hook: LinearLearnerHook, prefix: str, start: Any
) -> None:
    *names, last = (start(number) for number in range(JOBS + 1))

    async def wait_for_all() -> list[dict[str, Any]]:
        before = lists(runtime)
        waits = [asyncio.ensure_future(event(LinearLearnerTrainingTrigger(name))) for name in (*names, last)]
        await until(lambda: lists(runtime) >= before + 3)
        assert not any(one.done() for one in waits)
        assert calls(runtime, "DescribeTrainingJob", prefix) == [], "the lists showed that all of them run"
        for name in names:
            await asyncio.to_thread(hook.stop, TRAINING_JOB, name)
        ended = await asyncio.gather(*waits[:-1])
        await asyncio.to_thread(hook.stop, TRAINING_JOB, last)  # one that is waited for alone is described at each look
        await waits[-1]
        return ended

    events = asyncio.run(wait_for_all())

    assert [(one["status"], one["name"]) for one in events] == [("ended", name) for name in names]
    for name in names:
        described = len(calls(runtime, "DescribeTrainingJob", f"{name} "))
        assert described in (1, 2), "once at the end, and once more when that was still Stopping"


def test_the_poller_outlives_the_trigger_that_started_it(hook: LinearLearnerHook, start: Any) -> None:
    first, second = start(1), start(2)

    async def wait_for_the_second() -> dict[str, Any]:
        leaving, staying = (
            asyncio.ensure_future(event(LinearLearnerTrainingTrigger(name))) for name in (first, second)
        )
        await asyncio.sleep(0.5)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await asyncio.to_thread(hook.stop, TRAINING_JOB, second)
        return await staying

    assert asyncio.run(wait_for_the_second())["status"] == "ended"


def test_a_newcomer_and_a_second_wait_for_the_same_job_are_told_too(hook: LinearLearnerHook, start: Any) -> None:
    name, other = start(1), start(2)

    async def wait() -> list[str]:
        early = [asyncio.ensure_future(event(LinearLearnerTrainingTrigger(one))) for one in (name, other)]
        await asyncio.sleep(0.5)
        await asyncio.to_thread(hook.stop, TRAINING_JOB, name)
        first = await early[0]
        late = await event(LinearLearnerTrainingTrigger(name))
        await asyncio.to_thread(hook.stop, TRAINING_JOB, other)
        return [first["status"], late["status"], (await early[1])["status"]]

    assert asyncio.run(wait()) == ["ended", "ended", "ended"]


def test_a_job_that_is_created_later_is_waited_for_and_one_that_never_is_times_out(
    hook: LinearLearnerHook, prefix: str, start: Any
) -> None:
    async def wait() -> list[dict[str, Any]]:
        waits = [
            asyncio.ensure_future(event(LinearLearnerTrainingTrigger(f"{prefix}-{one}", wait_for_creation=True)))
            for one in (1, 2)
        ]
        never = LinearLearnerTrainingTrigger(f"{prefix}-3", wait_for_creation=True, deadline=time.time() + 3)
        timeout = await event(never)
        for number in (1, 2):
            await asyncio.to_thread(start, number)
            await asyncio.to_thread(hook.stop, TRAINING_JOB, f"{prefix}-{number}")
        return [timeout, *await asyncio.gather(*waits)]

    assert [one["status"] for one in asyncio.run(wait())] == ["timeout", "ended", "ended"]


def test_what_does_not_exist_ends_the_wait(hook: LinearLearnerHook, prefix: str) -> None:
    assert asyncio.run(event(LinearLearnerTrainingTrigger(f"{prefix}-gone")))["status"] == "ended"


def test_what_will_not_answer_is_an_error_that_says_why(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", '{"conn_type": "aws", "extra": {"region_name": "no region"}}')
    told = asyncio.run(event(LinearLearnerTrainingTrigger("any")))
    assert (told["status"], told["retryable"]) == ("error", False)
    assert "no region" in told["message"]


def test_where_list_is_denied_everything_is_described(runtime: Runtime, hook: LinearLearnerHook, start: Any) -> None:
    names = [start(number) for number in range(3)]

    async def wait() -> list[dict[str, Any]]:
        waits = [asyncio.ensure_future(event(LinearLearnerTrainingTrigger(name))) for name in names]
        await until(lambda: all(len(calls(runtime, "DescribeTrainingJob", f"{name} ")) >= 2 for name in names))
        for name in names:
            await asyncio.to_thread(hook.stop, TRAINING_JOB, name)
        return await asyncio.gather(*waits)

    def refused() -> int:
        return len(calls(runtime, "ListTrainingJobs", " 400 "))

    before = refused()
    with runtime.failing("access-denied operation=ListTrainingJobs"):
        assert [one["status"] for one in asyncio.run(wait())] == ["ended"] * 3
    assert refused() == before + 1, "a survey that was refused does not ask again"


class Seen(dict[str, Any]):
    """What a survey tells."""

    def __call__(self, name: str, sighting: Any) -> None:
        self[name] = sighting


def test_a_survey_describes_what_is_alone_or_new_and_lists_what_it_knows(
    runtime: Runtime, hook: LinearLearnerHook, prefix: str, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey, seen, names = Survey(hook, TRAINING_JOB), Seen(), [start(number) for number in range(3)]
    pages, lists = hook.pages, list[list[str]]()

    def noted(resource: Any, **filters: Any) -> Any:
        lists.append([*filters])
        return pages(resource, **filters)

    monkeypatch.setattr(hook, "pages", noted)

    survey.look(names[:1], seen)
    assert seen[names[0]]["HyperParameters"], "a description"
    assert lists == []
    survey.look([*names, f"{prefix}-gone"], seen)
    assert seen[f"{prefix}-gone"] is None
    described = len(calls(runtime, "DescribeTrainingJob", prefix))
    survey.look([*names, f"{prefix}-gone"], seen)
    assert len(calls(runtime, "DescribeTrainingJob", prefix)) == described, "nothing has changed"
    assert lists == [["CreationTimeAfter"], ["LastModifiedTimeAfter"]], "all that is young, then what has changed"


def test_a_relist_finds_what_the_list_of_changes_missed(hook: LinearLearnerHook, start: Any) -> None:
    names = [start(1), start(2)]
    seldom, often = Survey(hook, TRAINING_JOB), Survey(hook, TRAINING_JOB, relist_seconds=0)
    for survey in (seldom, often):
        survey.look(names, Seen())
    hook.stop(TRAINING_JOB, names[0])
    seen: dict[Survey, Seen] = {seldom: Seen(), often: Seen()}
    for survey, told in seen.items():
        survey._since = datetime.now(UTC) + timedelta(hours=1)  # as if the changes were not to be seen yet
        survey.look(names, told)

    assert names[0] not in seen[seldom]
    assert seen[often][names[0]]["TrainingJobStatus"] in ("Stopping", "Stopped")


@pytest.mark.parametrize(("waiting", "pace"), [(1, 0.1), (2, 1.5), (1000, 1.5)])
def test_looks_and_pauses_keep_the_calls_within_their_budget(
    hook: LinearLearnerHook, prefix: str, waiting: int, pace: float
) -> None:
    survey, names = Survey(hook, TRAINING_JOB), [f"{prefix}-{number}" for number in range(waiting)]
    survey.look(names, Seen())
    while survey.unfinished:
        survey.look(names, Seen())
    begun = time.monotonic()
    pause = survey.look(names, Seen())
    assert pause <= pace
    assert time.monotonic() - begun + pause >= pace - 0.01
