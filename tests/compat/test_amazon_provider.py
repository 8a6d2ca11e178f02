"""The Amazon provider's own SageMaker operators and sensors run a DAG through on the runtime."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.amazon.aws.operators.sagemaker import (
    SageMakerDeleteModelOperator,
    SageMakerEndpointConfigOperator,
    SageMakerEndpointOperator,
    SageMakerModelOperator,
    SageMakerTrainingOperator,
    SageMakerTransformOperator,
    SageMakerTuningOperator,
)
from airflow.providers.amazon.aws.sensors.sagemaker import (
    SageMakerEndpointSensor,
    SageMakerTrainingSensor,
    SageMakerTransformSensor,
    SageMakerTuningSensor,
)
from airflow.sdk import DAG, chain

from airflow_ll.records import encode_records
from tests.local.support import IMAGE, ROLE, channel, rows, training_request
from tests.operators.conftest import BUCKET, RUNS_A_DAG, run_dag

if TYPE_CHECKING:
    from tests.conftest import Runtime

pytestmark = [*RUNS_A_DAG, pytest.mark.timeout(900)]

SOON: dict[str, Any] = {"check_interval": 1, "max_ingestion_time": 300}
POKING: dict[str, Any] = {"poke_interval": 1, "timeout": 300}


class Requests:
    """The configurations that the operators take, for one run's names."""

    def __init__(self, location: str) -> None:
        self.location, self.name = location, f"amazon-{uuid.uuid4().hex[:8]}"

    def training(self) -> dict[str, Any]:
        """Return a training job on two channels."""
        return training_request(
            self.name,
            OutputDataConfig={"S3OutputPath": f"{self.location}/models"},
            InputDataConfig=[channel(name, f"{self.location}/{name}/") for name in ("train", "validation")],
        )

    def tuning(self) -> dict[str, Any]:
        """Return a search over two hyperparameters."""
        request = self.training()
        definition = {
            "StaticHyperParameters": request["HyperParameters"],
            "AlgorithmSpecification": request["AlgorithmSpecification"],
            **{name: request[name] for name in ("RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition")},
            "InputDataConfig": request["InputDataConfig"],
        }
        continuous = {"Name": "wd", "MinValue": "1e-6", "MaxValue": "1e-2", "ScalingType": "Logarithmic"}
        return {
            "HyperParameterTuningJobName": self.name,
            "HyperParameterTuningJobConfig": {
                "Strategy": "Random",
                "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2},
                "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "validation:objective_loss"},
                "ParameterRanges": {"ContinuousParameterRanges": [continuous]},
            },
            "TrainingJobDefinition": definition,
        }

    def model(self, name: str) -> dict[str, Any]:
        """Return the model of the training job."""
        data = f"{self.location}/models/{self.name}/output/model.tar.gz"
        return {
            "ModelName": name,
            "ExecutionRoleArn": ROLE,
            "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": data},
        }

    def endpoint_config(self, name: str, instances: int) -> dict[str, Any]:
        """Return a configuration of the model's endpoint."""
        variant = {
            "VariantName": "AllTraffic",
            "ModelName": self.name,
            "InitialInstanceCount": instances,
            "InstanceType": "ml.m5.large",
        }
        return {"EndpointConfigName": name, "ProductionVariants": [variant]}

    def transform(self) -> dict[str, Any]:
        """Return a batch transform of the validation rows with a model of its own."""
        name = f"{self.name}-batch"
        source = {"S3DataType": "S3Prefix", "S3Uri": f"{self.location}/batch/"}
        return {
            "Model": self.model(name),
            "Transform": {
                "TransformJobName": name,
                "ModelName": name,
                "TransformInput": {
                    "DataSource": {"S3DataSource": source},
                    "ContentType": "text/csv",
                    "SplitType": "Line",
                },
                "TransformOutput": {"S3OutputPath": f"{self.location}/scored", "AssembleWith": "Line"},
                "TransformResources": {"InstanceCount": 1, "InstanceType": "ml.m5.large"},
            },
        }


def upload(aws: Runtime, location: str) -> None:
    """Put the rows where the requests look for them."""
    s3, prefix = aws.client("s3"), location.removeprefix(f"s3://{BUCKET}/")
    for name in ("train", "validation"):
        s3.put_object(Bucket=BUCKET, Key=f"{prefix}/{name}/rows.pbr", Body=encode_records(*rows()))
    lines = "\n".join(",".join(map(str, row)) for row in rows(20)[0].tolist())
    s3.put_object(Bucket=BUCKET, Key=f"{prefix}/batch/rows.csv", Body=lines.encode())


def whole_dag(dag_id: str, ask: Requests, *, print_log: bool) -> DAG:
    """Return a DAG of everything; with ``print_log`` the provider sleeps for half minutes between two looks."""
    wait = SOON if not print_log else {}
    name, again, batch = ask.name, f"{ask.name}-again", f"{ask.name}-batch"
    with DAG(dag_id) as dag:
        train = SageMakerTrainingOperator(task_id="train", config=ask.training(), print_log=print_log, **wait)
        tune = SageMakerTuningOperator(task_id="tune", config=ask.tuning(), wait_for_completion=False)
        chain(
            train,
            SageMakerTrainingSensor(task_id="trained", job_name=name, print_log=print_log, **POKING),
            SageMakerModelOperator(task_id="model", config=ask.model(name)),
            SageMakerEndpointConfigOperator(task_id="configure", config=ask.endpoint_config(name, 1)),
            SageMakerEndpointOperator(
                task_id="deploy", config={"EndpointName": name, "EndpointConfigName": name}, **wait
            ),
            SageMakerEndpointSensor(task_id="deployed", endpoint_name=name, **POKING),
            SageMakerEndpointConfigOperator(task_id="reconfigure", config=ask.endpoint_config(again, 2)),
            # "create" of what exists: the operator finds that out by SageMaker's message and updates
            SageMakerEndpointOperator(
                task_id="redeploy", config={"EndpointName": name, "EndpointConfigName": again}, **wait
            ),
            SageMakerTransformOperator(task_id="transform", config=ask.transform(), **wait),
            SageMakerTransformSensor(task_id="transformed", job_name=batch, **POKING),
            SageMakerDeleteModelOperator(task_id="delete", config={"ModelName": batch}),
        )
        train >> tune >> SageMakerTuningSensor(task_id="tuned", job_name=name, **POKING)
    return dag


@pytest.mark.parametrize("print_log", [False, pytest.param(True, marks=pytest.mark.complete)])
def test_every_operator_and_sensor(aws: Runtime, dag_id: str, location: str, print_log: bool) -> None:
    upload(aws, location)
    ask = Requests(location)

    ran = run_dag(whole_dag(dag_id, ask, print_log=print_log))

    assert set(ran.states.values()) == {"success"}, ran.states
    assert ran.result("train")["Training"]["TrainingJobStatus"] == "Completed"
    assert ran.result("transform")["Transform"]["TransformJobStatus"] == "Completed"
    sagemaker = aws.client("sagemaker")
    endpoint = sagemaker.describe_endpoint(EndpointName=ask.name)
    assert endpoint["EndpointConfigName"] == f"{ask.name}-again"
    assert endpoint["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    tuned = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=ask.name)
    assert tuned["TrainingJobStatusCounters"]["Completed"] == 2
    assert [model["ModelName"] for model in sagemaker.list_models(NameContains=ask.name)["Models"]] == [ask.name]
    sagemaker.delete_endpoint(EndpointName=ask.name)
