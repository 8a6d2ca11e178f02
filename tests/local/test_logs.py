"""The write side of CloudWatch Logs, and the store that outlives its schema."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from airflow_ll.local import store
from airflow_ll.local.logs import Logs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Runtime

GROUP, STREAM = "/tests/writing", "one"


def refused(call: Any, **arguments: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def test_what_is_written_is_read(runtime: Runtime) -> None:
    logs = runtime.client("logs")
    now = int(time.time() * 1000)
    logs.create_log_group(logGroupName=GROUP)
    assert logs.describe_log_streams(logGroupName=GROUP)["logStreams"] == []
    logs.create_log_stream(logGroupName=GROUP, logStreamName=STREAM)
    written = [{"timestamp": now - 1000 + number, "message": f"line {number}"} for number in range(3)]

    answer = logs.put_log_events(logGroupName=GROUP, logStreamName=STREAM, logEvents=written)

    assert answer["nextSequenceToken"]
    assert "rejectedLogEventsInfo" not in answer
    read = logs.get_log_events(logGroupName=GROUP, logStreamName=STREAM, startFromHead=True)["events"]
    assert [{"timestamp": one["timestamp"], "message": one["message"]} for one in read] == written
    assert all(one["ingestionTime"] >= one["timestamp"] for one in read)
    found = logs.filter_log_events(logGroupName=GROUP, filterPattern='"line 1"')["events"]
    assert [one["message"] for one in found] == ["line 1"]
    group = logs.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]
    assert [one["logGroupName"] for one in group] == [GROUP]
    group = logs.describe_log_groups(logGroupNamePattern=GROUP[2:])["logGroups"]
    assert [one["logGroupName"] for one in group] == [GROUP]
    both = {"logGroupNamePrefix": GROUP, "logGroupNamePattern": GROUP}
    assert refused(logs.describe_log_groups, **both)[0] == "InvalidParameterException"

    logs.delete_log_stream(logGroupName=GROUP, logStreamName=STREAM)
    assert refused(logs.get_log_events, logGroupName=GROUP, logStreamName=STREAM)[0] == "ResourceNotFoundException"
    logs.delete_log_group(logGroupName=GROUP)
    assert refused(logs.describe_log_streams, logGroupName=GROUP)[0] == "ResourceNotFoundException"
    assert logs.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"] == []


def test_events_out_of_time_are_rejected_alone(runtime: Runtime) -> None:
    logs = runtime.client("logs")
    logs.create_log_group(logGroupName="/tests/time")
    logs.create_log_stream(logGroupName="/tests/time", logStreamName=STREAM)
    now, day = int(time.time() * 1000), 24 * 3600 * 1000
    times = [now - 20 * day, now - 15 * day, now, now + day]
    events = [{"timestamp": at, "message": str(number)} for number, at in enumerate(times)]

    answer = logs.put_log_events(logGroupName="/tests/time", logStreamName=STREAM, logEvents=events)

    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 2, "tooNewLogEventStartIndex": 3}
    read = logs.get_log_events(logGroupName="/tests/time", logStreamName=STREAM, startFromHead=True)["events"]
    assert [one["message"] for one in read] == ["2"]


def test_a_batch_is_in_order_and_bounded(runtime: Runtime) -> None:
    logs = runtime.client("logs")
    logs.create_log_group(logGroupName="/tests/batch")
    logs.create_log_stream(logGroupName="/tests/batch", logStreamName=STREAM)
    target = {"logGroupName": "/tests/batch", "logStreamName": STREAM}
    now = int(time.time() * 1000)
    unordered = [{"timestamp": now, "message": "b"}, {"timestamp": now - 1, "message": "a"}]
    large = [{"timestamp": now, "message": "x" * 200_000}] * 6

    assert refused(logs.put_log_events, **target, logEvents=unordered) == (
        "InvalidParameterException",
        "Log events in a single PutLogEvents request must be in chronological order.",
    )
    assert refused(logs.put_log_events, **target, logEvents=large)[0] == "InvalidParameterException"
    assert logs.get_log_events(**target)["events"] == []


def test_a_store_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "runtime.db"
    connection = sqlite3.connect(path)
    connection.executescript(store._SCHEMA[0])
    connection.executescript(
        """
        INSERT INTO resource VALUES ('model', 'kept', 'arn:kept', '', 1.5, 1.5, '{"ModelName": "kept"}');
        INSERT INTO tag VALUES ('arn:kept', 'owner', 'me');
        INSERT INTO log_stream VALUES (1, '/old', 'b', 20), (2, '/old', 'a', 10);
        INSERT INTO log_event (stream, timestamp, message) VALUES (1, 30, 'hello');
        INSERT INTO metric VALUES (1, 'job', 'train:progress', 50.0, 1.5);
        PRAGMA user_version = 1;
        """
    )
    connection.close()

    opened = store.Store(path)
    logs = Logs(opened, "us-east-1", "123456789012")

    assert opened.rows("PRAGMA user_version") == [(len(store._SCHEMA),)]
    assert opened.get("model", "kept") == {"ModelName": "kept"}
    assert opened.tags("arn:kept") == [{"Key": "owner", "Value": "me"}]
    assert opened.metrics("job") == [("train:progress", 50.0, 1.5)]
    (group,) = logs.describe_log_groups({})["logGroups"]
    assert (group["logGroupName"], group["creationTime"]) == ("/old", 10)
    events = logs.get_log_events({"logGroupName": "/old", "logStreamName": "b", "startFromHead": True})["events"]
    assert events == [{"timestamp": 30, "message": "hello", "ingestionTime": 30}]
    opened.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runtime.db"
    store.Store(path).close()
    monkeypatch.setattr(store, "_SCHEMA", (*store._SCHEMA, "CREATE TABLE half (x); INSERT INTO nowhere VALUES (1);"))

    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        store.Store(path)
    monkeypatch.undo()

    opened = store.Store(path)
    assert opened.rows("SELECT name FROM sqlite_master WHERE name = 'half'") == []
    opened.close()


def test_every_answer_has_a_request_id(data_runtime: Runtime) -> None:
    answers = [
        data_runtime.client("sagemaker").list_models(),
        data_runtime.client("logs").describe_log_groups(),
        data_runtime.client("sts").get_caller_identity(),
        data_runtime.client("s3").list_buckets(),
    ]
    with pytest.raises(ClientError) as error:
        data_runtime.client("sagemaker").describe_model(ModelName="nobody")
    answers.append(error.value.response)
    with pytest.raises(ClientError) as error:
        data_runtime.client("iam").get_mfa_device(SerialNumber="device-of-nobody")
    answers.append(error.value.response)

    identities = [answer["ResponseMetadata"]["RequestId"] for answer in answers]
    assert all(identities)
    assert len(set(identities)) == len(identities)
