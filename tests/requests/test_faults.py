"""A wrong setting is one clear sentence; several are told at once."""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ll.exceptions import RequestError
from airflow_ll.hyperparameters import LinearLearnerHyperparameters
from airflow_ll.records import RecordSet
from airflow_ll.requests import (
    AsyncInference,
    CategoricalRange,
    Channel,
    ContinuousRange,
    DataCapture,
    EndpointConfigSpec,
    EndpointSpec,
    FileSystemChannel,
    IntegerRange,
    ModelPackageSpec,
    ModelSpec,
    Serverless,
    Variant,
    channel_from_dict,
    endpoint,
    model,
    range_from_json,
    training_job,
)
from tests.requests.service_model import refusals
from tests.requests.specs import (
    BINARY,
    IMAGE,
    ROLE,
    SPECS,
    TAGS,
    compilation,
    full_training,
    record_set,
    training,
    transform,
    tuning,
)

if TYPE_CHECKING:
    from collections.abc import Callable

EFS = FileSystemChannel("fs-0123456789abcdef0", "EFS", "/data")
INSTANCES = Variant("m", "ml.m5.xlarge")

FAULTS: list[tuple[Callable[[], Any], str]] = [
    (lambda: training(training_job_name="a_b"), r"training_job_name must be 1 to 63 letters.*, got 'a_b'"),
    (lambda: training(training_job_name="a" * 64), "1 to 63"),
    (lambda: training(role="SageMakerRole"), r"role must be the ARN of an IAM role .*, got 'SageMakerRole'"),
    (lambda: training(output_path="/tmp/out"), r"output_path must be an S3 URI \(s3://bucket/key\)"),
    (lambda: training(output_path="s3:///out"), "must be an S3 URI"),
    (lambda: training(instance_type="m5.xlarge"), "instance type such as 'ml.m5.xlarge', got 'm5.xlarge'"),
    (lambda: training(instance_count=0), "instance_count must be a whole number of at least 1, got 0"),
    (lambda: training(instance_count=True), "instance_count must be .*, got True"),
    (lambda: training(volume_size="30"), "volume_size must be .*, got '30'"),
    (lambda: training(input_mode="Stream"), "one of 'File', 'Pipe', 'FastFile', got 'Stream'"),
    (lambda: training(use_spot_instances="False"), "use_spot_instances must be True or False, got 'False'"),
    (
        lambda: training(environment={"A": 1}),
        "environment must be a dict of at most 100 .*, got a dict with the keys A",
    ),
    (lambda: training(environment={"A B": "secret"}), "with the keys A B.$"),
    (lambda: training(tags=[{"Key": "a"}]), "tags must be a list of at most 50 tags"),
    (lambda: training(tags=TAGS * 2), "with distinct keys"),
    (lambda: training(tags=[{"Key": "AWS:a", "Value": ""}]), "that do not begin with aws:"),
    (lambda: training(tags=[{"Key": "a", "Value": "~"}]), "in letters, digits, spaces and"),
    (lambda: training(tags="team=ml"), "must be a list of at most 50 tags"),
    (lambda: training(experiment_config={"Experiment": "e"}), "keys among ExperimentName"),
    (lambda: training(subnets="subnet-1"), "list of at most 16 subnet ids, got 'subnet-1'"),
    (lambda: training(subnets=["subnet-1"]), r"together or not at all, got \['subnet-1'\] and \[\]"),
    (lambda: training(hyperparameters={"epochs": 1}), "hyperparameters must be a LinearLearnerHyperparameters"),
    (lambda: training(channels=[{"s3_data": "x"}]), "channels must be a list of record sets and channels"),
    (lambda: training(channels=[]), "must have a train channel, got none"),
    (lambda: training(channels=[record_set(channel="test")]), "must have a train channel, got test"),
    (lambda: training(channels=[record_set(), record_set()]), "must have distinct names, got 'train' 2 times"),
    (lambda: training(channels=[EFS]), "must name the file system's VPC, got none"),
    (lambda: training(max_wait=90000), "max_wait needs use_spot_instances or max_retry_attempts"),
    (lambda: training(use_spot_instances=True), "max_wait must be given with use_spot_instances"),
    (lambda: training(max_retry_attempts=2, max_wait=60), r"must be at least max_run \(86400 s\), got 60"),
    (lambda: training(checkpoint_local_path="/opt/ml/c"), "checkpoint_local_path needs checkpoint_s3_uri"),
    (lambda: Channel("/data/train.csv"), "Channel.s3_data must be an S3 URI"),
    (lambda: Channel("s3://b/x", "training"), "one of 'train', 'validation', 'test', 'model', got 'training'"),
    (lambda: Channel("s3://b/x", attribute_names=("a",)), "attribute_names must be given with s3_data_type 'Augm"),
    (lambda: FileSystemChannel("fs-0123456789abcdef0", "NFS", "/"), "one of 'EFS', 'FSxLustre', got 'NFS'"),
    (lambda: FileSystemChannel("fs-0123456789abcdef0", "EFS", "data"), "an absolute path, got 'data'"),
    (lambda: ModelSpec("m", ROLE, IMAGE, "model.tar.gz"), "model_data must be an S3 URI"),
    (lambda: ModelSpec("m", ROLE, IMAGE, "s3://b/m", subnets=["a"]), "ModelSpec.subnets and security_group_ids"),
    (lambda: Variant("m"), "'AllTraffic' must have either instance_type or serverless, got neither"),
    (lambda: Variant("m", "ml.m5.xlarge", serverless=Serverless()), "got both"),
    (lambda: Variant("m", serverless=Serverless(), volume_size=5), "is serverless and must have no accelerator_type"),
    (lambda: Variant("m", "ml.m5.xlarge", initial_weight=-1), "initial_weight must be a number from 0"),
    (lambda: Serverless(1000), r"memory_size must be one of \(1024"),
    (lambda: EndpointConfigSpec("e", []), "variants must be a list of 1 to 10 Variants"),
    (lambda: EndpointConfigSpec("e", [INSTANCES, INSTANCES]), "distinct names, got 'AllTraffic' 2 times"),
    (lambda: EndpointConfigSpec("e", [replace(INSTANCES, initial_weight=0)]), "positive initial_weight among them"),
    (
        lambda: EndpointConfigSpec(
            "e", [Variant("m", serverless=Serverless())], async_inference=AsyncInference("s3://b/x")
        ),
        "async_inference needs instances",
    ),
    (lambda: DataCapture("s3://b/x", capture=["Both"]), "capture must be a list of 1 to 2 of the modes 'Input'"),
    (lambda: AsyncInference("s3://b/x", success_topic="topic"), "the ARN of an SNS topic"),
    (lambda: EndpointSpec("e", "-"), "endpoint_config_name must be"),
    (lambda: transform(split_type="CSV"), "'TFRecord', got 'CSV'"),
    (lambda: transform(input_filter="[1:]"), "JSONPath that begins with"),
    (lambda: transform(max_payload=101), "from 0 to 100, got 101"),
    (lambda: transform(max_payload=60, max_concurrent_transforms=2), "at most 100 MB, got 2 times 60"),
    (lambda: range_from_json("wd", {"min_value": 0}), "must be a list of values, or min_value and max_value"),
    (lambda: range_from_json("wd", {"min_value": "low", "max_value": 1}), "min_value of .* 'wd' must be a number, got"),
    (lambda: ModelPackageSpec("g", IMAGE, "s3://b/m", "approved"), "one of 'PendingManualApproval', 'Approved'"),
    (lambda: ModelPackageSpec("g", IMAGE, "s3://b/m", metadata={"a": "~"}), "metadata must be a dict of at most 50"),
    (lambda: compilation(), "either target_instance_family or target_platform_os and _arch, got neither"),
    (lambda: compilation(target_instance_family="ml_c5", target_platform_os="LINUX"), "got both"),
    (lambda: compilation(target_platform_os="LINUX"), "must be given together, got 'LINUX' and None"),
    (
        lambda: compilation(target_instance_family="ml_c5", target_platform_accelerator="NVIDIA"),
        "target_platform_accelerator needs a target platform",
    ),
    (lambda: compilation(target_instance_family="ml_c5", input_shape={"data": [1, -3]}), "from input names to shapes"),
    (lambda: compilation(target_instance_family="ml_c5", framework="caffe"), "framework must be one of 'mxnet'"),
    (lambda: tuning(tuning_job_name="t" * 33), "1 to 32 letters"),
    (lambda: tuning(ranges={}), "ranges must be a dict from 1 to 30 hyperparameters"),
    (lambda: tuning(max_jobs=2, max_parallel_jobs=3), r"must be at most max_jobs \(2\), got 3"),
    (
        lambda: tuning(ranges={"epochs": IntegerRange(1, 9)}),
        r"tunable hyperparameters \(.*learning_rate.*, got 'epochs'",
    ),
    (lambda: tuning(ranges={"use_bias": IntegerRange(0, 1)}), "must not be an IntegerRange"),
    (lambda: tuning(ranges={"mini_batch_size": ContinuousRange(1, 9)}), "an integer, must not be a ContinuousRange"),
    (lambda: tuning(ranges={"mini_batch_size": IntegerRange(1, 5001)}), "at most at the 5000 rows"),
    (lambda: tuning(strategy="Grid"), "ranges must be CategoricalRange for the strategy 'Grid'"),
    (lambda: ContinuousRange(1, 1), r"min_value must be below max_value \(1\), got 1"),
    (lambda: IntegerRange(1.5, 2), "min_value must be a whole number, got 1.5"),  # type: ignore[arg-type]
    (lambda: CategoricalRange([]), "values must be a list of 1 to 30 values"),
]


@pytest.mark.parametrize(("make", "sentence"), FAULTS, ids=[sentence[:50] for _, sentence in FAULTS])
def test_a_fault_is_one_sentence(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence) as raised:
        make()
    assert str(raised.value).count("\n") == 0
    assert str(raised.value).endswith(".")


def test_all_faults_are_told_at_once_and_never_a_secret() -> None:
    with pytest.raises(RequestError) as raised:
        training(role="me", volume_size=0, environment={"TOKEN!": "hunter2"})
    assert len(str(raised.value).splitlines()) == 3
    assert "hunter2" not in str(raised.value)


def test_a_long_value_is_cut() -> None:
    with pytest.raises(RequestError) as raised:
        training(training_job_name="x" * 5000)
    assert len(str(raised.value)) < 400


def test_specs_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        training().role = "x"  # type: ignore[misc]


UNSENT = {
    ("endpoint-update", "tags"),  # UpdateEndpoint takes none
    ("channel", "num_records"),  # only the train channel's rows matter
    ("channel", "feature_dim"),  # is that of the record set
    ("file-system-channel", "num_records"),
    ("file-system-channel", "feature_dim"),
}


@pytest.mark.parametrize("name", SPECS)
def test_every_setting_changes_the_request(name: str) -> None:
    """Taking a setting back to its default must show, or it was never sent."""
    _, build, spec = SPECS[name]
    for one in (one for one in fields(spec) if getattr(spec, one.name) != _default(one)):
        if _default(one) is MISSING:
            continue
        try:
            shows = build(replace(spec, **{one.name: _default(one)})) != build(spec)
        except RequestError:
            shows = True  # another setting needs it
        assert shows or (name, one.name) in UNSENT, one.name


def test_the_full_specs_set_everything() -> None:
    """The test above proves nothing about a setting that no spec sets."""
    for kind in {type(spec) for _, _, spec in SPECS.values()}:
        specs = [spec for _, _, spec in SPECS.values() if type(spec) is kind]
        for one in fields(kind):
            values = [getattr(spec, one.name) for spec in specs]
            assert any(value != _default(one) for value in values), (kind.__name__, one.name)


def _default(one: Any) -> Any:
    return one.default_factory() if one.default_factory is not MISSING else one.default


def test_every_spec_is_a_dataclass() -> None:
    assert all(is_dataclass(spec) for _, _, spec in SPECS.values())


@given(st.from_regex(r"[a-zA-Z0-9-]{1,64}", fullmatch=True))
def test_a_name_is_accepted_exactly_when_aws_accepts_it(name: str) -> None:
    aws = not refusals("CreateEndpoint", {"EndpointName": name, "EndpointConfigName": "ec"})
    assert aws == accepted(lambda: endpoint(EndpointSpec(name, "ec")))


@given(
    st.text(max_size=20).map(lambda key: f"s3://bucket/{key}"),
    st.dictionaries(st.from_regex("[A-Z_]{1,9}", fullmatch=True), st.text(st.characters(codec="ascii")), max_size=3),
    st.lists(st.fixed_dictionaries({"Key": st.text(min_size=1, max_size=9), "Value": st.text(max_size=9)}), max_size=2),
)
def test_what_a_model_spec_accepts_aws_accepts(
    data: str, variables: dict[str, str], tags: list[dict[str, str]]
) -> None:
    try:
        spec = ModelSpec("m", ROLE, IMAGE, data, variables, tags=tags)
    except RequestError:
        return
    assert not refusals("CreateModel", model(spec))


def accepted(make: Callable[[], object]) -> bool:
    try:
        make()
    except RequestError:
        return False
    return True


@pytest.mark.parametrize(
    ("rows", "instances", "size"),
    [(1, 1, 1), (10, 1, 10), (999, 1, 999), (5000, 1, 1000), (5000, 10, 500), (5, 10, 1), (2500, 2, 1000)],
)
def test_the_default_mini_batch_is_an_instances_share(rows: int, instances: int, size: int) -> None:
    spec = training(channels=[record_set(num_records=rows)], instance_count=instances)
    assert training_job(spec)["HyperParameters"] == {
        "predictor_type": "binary_classifier",
        "feature_dim": "3",
        "mini_batch_size": str(size),
    }


def test_what_was_given_stays() -> None:
    sizes = training_job(training(hyperparameters=BINARY.replace(mini_batch_size=7, feature_dim="auto")))
    assert sizes["HyperParameters"] == {
        "predictor_type": "binary_classifier",
        "mini_batch_size": "7",
        "feature_dim": "auto",
    }


def test_without_record_sets_the_algorithm_finds_the_sizes_itself() -> None:
    request = training_job(training(channels=[Channel("s3://b/train/", content_type="text/csv")]))
    assert request["HyperParameters"] == {"predictor_type": "binary_classifier"}
    assert request["InputDataConfig"][0]["ContentType"] == "text/csv"


@pytest.mark.parametrize(
    "spec",
    [
        {"hyperparameters": LinearLearnerHyperparameters(predictor_type="regressor", feature_dim=4)},
        {"channels": [record_set(), record_set(channel="validation", feature_dim=4)]},
    ],
)
def test_contradicting_feature_dims_are_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=r"feature_dim must be the same everywhere, got 3 in train, 4 in"):
        training(**spec)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (record_set().to_dict() | {"shards": 1, "adopted": False}, RecordSet),
        ({"s3_data": "s3://b/x", "content_type": "text/csv", "num_records": 9, "feature_dim": 3}, Channel),
        ({"s3_data": "s3://b/x"}, Channel),
        ({"file_system_id": EFS.file_system_id, "file_system_type": "EFS", "directory_path": "/d"}, FileSystemChannel),
    ],
)
def test_flat_json_describes_a_channel(values: dict[str, Any], kind: type) -> None:
    assert type(channel_from_dict(values)) is kind


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"s3_data": "s3://b/x", "contenttype": "text/csv"},
            "A Channel must have settings among s3_data, .*, got 'contenttype'",
        ),
        ({}, "A Channel must have s3_data, got only nothing"),
        ({"file_system_id": "fs-0"}, "must have file_system_type, directory_path, got only file_system_id"),
    ],
)
def test_flat_json_of_no_channel_is_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        channel_from_dict(values)


def test_the_full_training_job_has_one_row_limit_only() -> None:
    with pytest.raises(RequestError, match="at most the 5000 rows of the train channel, got 5001: lower it"):
        full_training(hyperparameters=BINARY.replace(mini_batch_size=5001))


CANDIDATES: list[Any] = [
    *(-1, 0, 1, 2, 59, 60, 100, 101, 120, 200, 201, 512, 513, 1000, 1001, 3600, 3601, 21600, 21601, 10**7, 10**9),
    *(
        "",
        "x",
        "a" * 63,
        "a" * 64,
        "a" * 255,
        "a" * 256,
        "a" * 257,
        "a" * 1025,
        "with space",
        "line\nfeed",
        "航班",
        "$.x",
    ),
    *("s3://b/x", "s3://b/" + "x" * 1017, "s3://b/" + "x" * 1018, "s3://b/\n", "/path", "/" + "x" * 4096, "1.8"),
    *(
        {"A": "b"},
        {"A": "b" * 512},
        {"A": "b" * 513},
        {"A": "b" * 10240},
        {f"A{n}": "" for n in range(17)},
        {"A" * 513: ""},
    ),
    *({"ExperimentName": "e" * 121}, {"TrialName": "no spaces"}, {"data": [1] * 9}, {"x" * 20000: [1]}),
    *([], ["x"], ["x" * 33], ["x"] * 6, ["x"] * 17, ["a b"], True, False, None, 0.5),
]
#: Passed on as they are.
VERBATIM = {"deployment_config", "debug_hook_config", "profiler_config"}
#: AWS knows a list of these, which grows; a spec only checks how they look.
OPEN = {"instance_type", "target_instance_family", "accelerator_type", *VERBATIM}


@pytest.mark.parametrize("name", SPECS)
def test_aws_accepts_whatever_a_setting_accepts(name: str) -> None:
    operation, build, spec = SPECS[name]
    refused = []
    for one in (one for one in fields(spec) if one.name not in OPEN):
        for value in CANDIDATES:
            try:
                request = build(replace(spec, **{one.name: value}))
            except RequestError:
                continue
            refused += [f"{one.name}: {why}" for why in refusals(operation, request)]
    assert refused == []
