"""Faults on purpose: each rule does what it says, to what it names, as often as it says."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from airflow_ll.exceptions import FaultRuleError
from airflow_ll.local.faults import EFFECTS, Faults, parse_rules, write_rules
from tests.local.support import IMAGE, ROLE, training_ended, training_request, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Runtime

Setter = Any


@pytest.fixture
def faults(data_runtime: Runtime) -> Iterator[Callable[..., None]]:
    """A function that gives the shared runtime other rules; they are gone afterwards."""
    yield lambda *rules: write_rules(data_runtime.data_dir, rules)
    write_rules(data_runtime.data_dir, [])


WRONG: list[tuple[str, str]] = [
    ("throtling", "begins with 'throtling': effects are throttling, access-denied, server-error, reset, delay, kill, "),
    ("throtling", r"\(did you mean throttling\?\)\.$"),
    ("throttling 0.3", "has the word '0.3': throttling takes KEY=VALUE of service, operation, resource, nth, times"),
    ("throttling rte=0.3", r"\(did you mean rate\?\)"),
    ("throttling rate=30", "has rate=30: rate is a number from 0 to 1"),
    ("throttling rate=often", "has rate=often: rate is a number from 0 to 1"),
    ("throttling rate=nan", "has rate=nan: rate is a number from 0 to 1"),
    ("throttling rate=0.1 rate=0.2", "has rate twice: give it once"),
    ("throttling nth=0", "has nth=0: nth is a whole number of at least 1"),
    ("throttling nth=2 rate=0.5", "has nth and rate: give one of them"),
    ("throttling seed=1", "has seed without rate"),
    ("throttling operation=", "has operation=: operation is a name"),
    ("server-error status=404", "has status=404: status is one of 500, 503"),
    ("reset when=during", "has when=during: when is one of before, after"),
    ("delay", "has no seconds: delay needs seconds"),
    ("kill when=after", "has no pid or pid-file: kill needs pid or pid-file"),
    ("kill when=after pid=1", "has pid=1: pid is a whole number of at least 2"),
    ("kill pid=77", "has no when: kill needs when"),
    ("kill when=after pid=77 pid-file=/tmp/pid", "has pid and pid-file: give one of them"),
    ("capacity operation=CreateTrainingJob", "has the word 'operation=CreateTrainingJob': capacity takes"),
    ("failure", "has no reason: failure needs reason"),
    ("failure reason='half", r"cannot be split into words \(No closing quotation\)"),
    ("slow seconds=-1", "has seconds=-1: seconds is a number from 0 to 86400"),
]


@pytest.mark.parametrize(("rule", "sentence"), WRONG)
def test_a_bad_rule_is_one_sentence(rule: str, sentence: str) -> None:
    with pytest.raises(FaultRuleError, match=sentence) as refused:
        parse_rules([rule])

    assert str(refused.value).startswith(f"The fault rule {rule!r} ")
    assert "\n" not in str(refused.value)


def test_a_bad_rule_on_the_command_line_starts_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "airflow_ll", "local", "--data-dir", str(tmp_path / "new"), "--fail", "melt"]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("airflow-ll: The fault rule 'melt' begins with 'melt': effects are ")
    assert not (tmp_path / "new").exists()


def test_every_effect_is_documented(pytestconfig: pytest.Config) -> None:
    page = (pytestconfig.rootpath / "docs" / "runtime.md").read_text(encoding="utf-8")

    for name, effect in EFFECTS.items():
        assert f"| `{name}` | {effect.about} |" in page
        for key in effect.settings:
            assert f"`{key}=" in page, key


def test_counting_and_chance(tmp_path: Path) -> None:
    def applied(rule: str, events: int = 1000) -> list[int]:
        rules = Faults(tmp_path, parse_rules([rule]))
        return [n for n in range(1, events + 1) if rules.take(["delay"], operation="X", resource="y")]

    assert applied("delay seconds=0 nth=3") == [3]
    assert applied("delay seconds=0 times=2") == [1, 2]
    assert applied("delay seconds=0 operation=Y") == []
    assert applied("delay seconds=0 operation=?") == list(range(1, 1001))
    once = applied("delay seconds=0 rate=0.3 seed=7")
    assert once == applied("delay seconds=0 rate=0.3 seed=7")
    assert 250 < len(once) < 350
    assert once != applied("delay seconds=0 rate=0.3 seed=8")


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "code"),
    [
        ("sagemaker", "list_models", {}, "ThrottlingException"),
        ("sagemaker-runtime", "invoke_endpoint", {"EndpointName": "e", "Body": b"1"}, "ThrottlingException"),
        ("logs", "describe_log_groups", {}, "ThrottlingException"),
        ("sts", "get_caller_identity", {}, "ThrottlingException"),
        ("cloudwatch", "list_metrics", {}, "ThrottlingException"),
        ("resourcegroupstaggingapi", "get_resources", {}, "ThrottlingException"),
        ("s3", "list_buckets", {}, "SlowDown"),
        ("s3", "put_object", {"Bucket": "data", "Key": "slow", "Body": b"x" * 100_000}, "SlowDown"),
    ],
)
def test_throttling_is_spelled_as_each_service_does(
    data_runtime: Runtime, faults: Setter, service: str, operation: str, arguments: dict[str, Any], code: str
) -> None:
    client = data_runtime.client(service)
    name = client.meta.method_to_api_mapping[operation]
    faults(f"throttling operation={name} times=1", "throttling operation=Nothing")

    with pytest.raises(ClientError) as refused:
        getattr(client, operation)(**arguments)

    assert refused.value.response["Error"]["Code"] == code
    if operation != "invoke_endpoint":  # there is none
        assert getattr(client, operation)(**arguments)["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize("status", [500, 503])
def test_server_errors_do_nothing(data_runtime: Runtime, faults: Setter, status: int) -> None:
    sagemaker = data_runtime.client("sagemaker")
    faults(f"server-error status={status} operation=CreateTrainingJob resource=never-*")

    with pytest.raises(ClientError) as refused:
        sagemaker.create_training_job(**training_request("never-made"))

    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    with pytest.raises(ClientError, match="Requested resource not found"):
        sagemaker.describe_training_job(TrainingJobName="never-made")


@pytest.mark.parametrize(("when", "made"), [("before", False), ("after", True)])
def test_a_reset_comes_before_or_after_the_commit(data_runtime: Runtime, faults: Setter, when: str, made: bool) -> None:
    s3 = data_runtime.client("s3")
    faulty = (data_runtime.data_dir / "runtime.log").read_text()
    faults(f"reset when={when} service=s3 operation=PutObject resource=/data/reset/*")

    with pytest.raises(ConnectionClosedError):
        s3.put_object(Bucket="data", Key=f"reset/{when}", Body=b"x")

    assert s3.list_objects_v2(Bucket="data", Prefix=f"reset/{when}")["KeyCount"] == made
    log = data_runtime.data_dir / "access.log"
    line = f" s3 PUT /data/reset/{when} {200 if made else 499} "
    wait_for(log.read_text, lambda text: line in text)
    assert (data_runtime.data_dir / "runtime.log").read_text() == faulty


@pytest.mark.parametrize(("when", "made"), [("before", False), ("after", True)])
@pytest.mark.parametrize("by_file", [False, True])
def test_a_process_is_killed_around_the_nth_commit(
    data_runtime: Runtime, faults: Setter, tmp_path: Path, when: str, made: bool, by_file: bool
) -> None:
    prefix = f"killed-{when}-{by_file}"
    program = (
        "import sys, boto3\n"
        "s3 = boto3.client('s3', endpoint_url=sys.argv[1], aws_access_key_id='k', aws_secret_access_key='s',\n"
        "                  region_name='us-east-1')\n"
        "sys.stdin.readline()\n"
        "for number in range(1, 4):\n"
        "    s3.put_object(Bucket='data', Key=f'{sys.argv[2]}/{number}', Body=b'x')\n"
    )
    command = [sys.executable, "-c", program, data_runtime.url, prefix]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as victim:
        (tmp_path / "pid").write_text(f"{victim.pid}\n")
        target = f"pid-file={tmp_path / 'pid'}" if by_file else f"pid={victim.pid}"
        faults(f"kill {target} when={when} operation=PutObject resource=/data/{prefix}/* nth=2")
        victim.communicate("go\n", timeout=120)

    assert victim.returncode == -9
    listed = data_runtime.client("s3").list_objects_v2(Bucket="data", Prefix=prefix)
    assert listed["KeyCount"] == 1 + made


def test_a_kill_rule_that_cannot_kill_says_so(data_runtime: Runtime, faults: Setter, tmp_path: Path) -> None:
    faults(f"kill when=before operation=ListModels pid-file={tmp_path / 'none'}")

    with pytest.raises(ClientError, match=r"cannot kill: .*No such file or directory"):
        data_runtime.client("sagemaker").list_models()


def test_a_bad_file_of_rules_is_the_answer_of_every_call(data_runtime: Runtime, faults: Setter) -> None:
    faults()
    (data_runtime.data_dir / "faults").write_text("# a comment\n\nmelt\n")

    with pytest.raises(ClientError, match=r"\(ValidationException\).*The fault rule 'melt' begins with 'melt'"):
        data_runtime.client("sagemaker").list_models()
    with pytest.raises(ClientError, match=r"\(InvalidRequest\).*The fault rule 'melt' begins with 'melt'"):
        data_runtime.client("s3").list_buckets()


def test_rules_that_others_could_write_are_refused(data_runtime: Runtime, faults: Setter) -> None:
    faults("throttling")
    (data_runtime.data_dir / "faults").chmod(0o666)

    with pytest.raises(ClientError, match="could have been written by somebody else"):
        data_runtime.client("sagemaker").list_models()


def test_wrong_rules_replace_nothing(data_runtime: Runtime, faults: Setter) -> None:
    faults("throttling operation=ListModels")
    with pytest.raises(FaultRuleError):
        write_rules(data_runtime.data_dir, ["throttling", "melt"])

    data_runtime.client("sagemaker").list_endpoints()
    with pytest.raises(ClientError, match="Rate exceeded"):
        data_runtime.client("sagemaker").list_models()


def test_a_delay_is_over_before_the_answer(data_runtime: Runtime, faults: Setter) -> None:
    faults("delay seconds=1.5 operation=ListModels times=1")
    started = time.monotonic()

    data_runtime.client("sagemaker").list_models()

    assert time.monotonic() - started >= 1.5


def test_no_capacity_and_other_failures(data_runtime: Runtime, faults: Setter, trained: dict[str, Any]) -> None:
    sagemaker = data_runtime.client("sagemaker")
    faults(
        "capacity kind=training-job resource=no-capacity",
        "failure resource=broken-here reason='AlgorithmError: exit code: 137'",
        "capacity kind=endpoint times=1",
    )
    sagemaker.create_training_job(**training_request("no-capacity"))
    sagemaker.create_training_job(**training_request("broken-here"))
    container = {"Image": IMAGE, "ModelDataUrl": trained["ModelArtifacts"]["S3ModelArtifacts"]}
    sagemaker.create_model(ModelName="no-capacity", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    variant = {"VariantName": "v", "ModelName": "no-capacity", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(EndpointConfigName="no-capacity", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="no-capacity", EndpointConfigName="no-capacity")

    job, other = training_ended(data_runtime, "no-capacity"), training_ended(data_runtime, "broken-here")
    endpoint = wait_for(
        lambda: sagemaker.describe_endpoint(EndpointName="no-capacity"), lambda one: one["EndpointStatus"] != "Creating"
    )

    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"] == (
        "CapacityError: Unable to provision requested ML compute capacity. "
        "Please retry using a different ML instance type."
    )
    assert [one["Status"] for one in job["SecondaryStatusTransitions"]] == ["Starting", "Failed"]
    assert (other["TrainingJobStatus"], other["FailureReason"]) == ("Failed", "AlgorithmError: exit code: 137")
    assert endpoint["EndpointStatus"] == "Failed"
    assert endpoint["FailureReason"].startswith("Unable to provision requested ML compute capacity due to Insufficient")
    sagemaker.delete_endpoint(EndpointName="no-capacity")


@pytest.mark.parametrize("phase", ["Starting", "Downloading", "Training", "Uploading"])
def test_a_slow_phase_can_be_stopped(data_runtime: Runtime, faults: Setter, phase: str) -> None:
    sagemaker = data_runtime.client("sagemaker")
    name = f"slow-{phase}"
    faults(f"slow phase={phase} seconds=3600 resource={name}")
    sagemaker.create_training_job(**training_request(name))
    wait_for(lambda: sagemaker.describe_training_job(TrainingJobName=name), lambda job: job["SecondaryStatus"] == phase)

    sagemaker.stop_training_job(TrainingJobName=name)

    job = training_ended(data_runtime, name)
    assert job["TrainingJobStatus"] == "Stopped"
    assert ("S3ModelArtifacts" in job["ModelArtifacts"]) == (phase == "Uploading"), "what is trained is kept"


def test_spot_instances_are_lost_and_come_back(data_runtime: Runtime, faults: Setter) -> None:
    sagemaker = data_runtime.client("sagemaker")
    faults("spot-interruption resource=spot times=1")
    stopping = {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 1200}
    for name in ("spot", "on-demand"):
        spot = name == "spot"
        changes = {"EnableManagedSpotTraining": True, "StoppingCondition": stopping} if spot else {}
        sagemaker.create_training_job(**training_request(name, **changes))

    job, other = training_ended(data_runtime, "spot"), training_ended(data_runtime, "on-demand")

    assert job["TrainingJobStatus"] == "Completed"
    assert [one["Status"] for one in job["SecondaryStatusTransitions"]] == [
        *("Starting", "Downloading", "Training", "Interrupted"),
        *("Starting", "Downloading", "Training", "Uploading", "Completed"),
    ]
    assert "Interrupted" not in [one["Status"] for one in other["SecondaryStatusTransitions"]]


def test_the_speed_of_the_real_service_can_be_had(fresh_runtime: Callable[..., Runtime], tmp_path: Path) -> None:
    from tests.conftest import start_runtime
    from tests.local.support import upload_training_data

    runtime = start_runtime(tmp_path / "real", "--speed", "real")
    try:
        upload_training_data(runtime)
        sagemaker = runtime.client("sagemaker")
        sagemaker.create_training_job(**training_request("patient"))
        for _ in range(20):
            job = sagemaker.describe_training_job(TrainingJobName="patient")
        assert job["SecondaryStatus"] == "Starting"
        sagemaker.stop_training_job(TrainingJobName="patient")
        assert training_ended(runtime, "patient")["TrainingJobStatus"] == "Stopped"
    finally:
        runtime.stop()
