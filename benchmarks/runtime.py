"""InvokeEndpoint of the embedded runtime beside a bare scikit-learn + uvicorn server that scores the same rows.

Both are asked by the same client, a keep-alive connection of the standard library, in rounds that alternate.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import platform
import signal
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import sklearn

from airflow_ll.learner.payloads import encode_request
from airflow_ll.local import boto_session
from airflow_ll.records import encode_records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

PAGE = Path(__file__).parent / "results" / "runtime.md"
FEATURES = 30
IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1"
ROLE = "arn:aws:iam::123456789012:role/benchmark"
SIGNATURE = (
    "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/sagemaker/aws4_request, SignedHeaders=host, Signature=0"
)


@dataclass(frozen=True)
class Server:
    """Something that scores CSV: where, and the path of its invocations."""

    name: str
    host: str
    port: int
    path: str

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=60)

    def ask(self, connection: http.client.HTTPConnection, body: bytes) -> bytes:
        headers = {"Content-Type": "text/csv", "Accept": "application/json", "Authorization": SIGNATURE}
        connection.request("POST", self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{self.name} answered {answer.status}: {content[:300]!r}")
        return content


def rows(count: int, seed: int) -> tuple[Any, Any]:
    features = np.random.default_rng(seed).normal(size=(count, FEATURES)).astype(np.float32)
    return features, (features[:, 0] + 0.5 * features[:, 1] > 0).astype(np.float32)


@contextlib.contextmanager
def started(command: list[str], folder: Path) -> Iterator[str]:
    """Run a server until the end of the block and yield the URL of its first line, ``READY <url>``."""
    with (folder / "stderr").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
    try:
        assert process.stdout is not None
        word, _, url = process.stdout.readline().strip().partition(" ")
        if word != "READY":
            raise RuntimeError((folder / "stderr").read_text())
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def deploy(url: str) -> None:
    """Train a model and serve it as the endpoint ``bench``."""
    session: Any = boto_session(url)
    s3, sagemaker = session.client("s3"), session.client("sagemaker")
    s3.create_bucket(Bucket="bench")
    s3.put_object(Bucket="bench", Key="train/part.pbr", Body=encode_records(*rows(2_000, 1)))
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bench/train/"}}
    sagemaker.create_training_job(
        TrainingJobName="bench",
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        RoleArn=ROLE,
        OutputDataConfig={"S3OutputPath": "s3://bench/models"},
        ResourceConfig={"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
        InputDataConfig=[{"ChannelName": "train", "DataSource": source}],
        HyperParameters={"predictor_type": "binary_classifier", "feature_dim": str(FEATURES), "epochs": "2"},
    )
    sagemaker.get_waiter("training_job_completed_or_stopped").wait(
        TrainingJobName="bench", WaiterConfig={"Delay": 1, "MaxAttempts": 300}
    )
    container = {"Image": IMAGE, "ModelDataUrl": "s3://bench/models/bench/output/model.tar.gz"}
    sagemaker.create_model(ModelName="bench", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    variant = {"VariantName": "v", "ModelName": "bench", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(EndpointConfigName="bench", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="bench", EndpointConfigName="bench")
    sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName="bench", WaiterConfig={"Delay": 1, "MaxAttempts": 300}
    )


def bare_server() -> None:
    """Serve a scikit-learn model as plainly as it can be: what this benchmark is held against."""
    import io

    import uvicorn
    from sklearn.linear_model import LogisticRegression
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    model = LogisticRegression().fit(*rows(2_000, 1))

    async def invocations(request: Request) -> Response:
        text = io.StringIO((await request.body()).decode())
        features = np.loadtxt(text, delimiter=",", dtype=np.float32, ndmin=2)
        scores = model.predict_proba(features)[:, 1]
        answers = [{"score": s, "predicted_label": int(s > 0.5)} for s in scores.tolist()]
        return JSONResponse({"predictions": answers})

    class Announced(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            port = self.servers[0].sockets[0].getsockname()[1]
            sys.stdout.write(f"READY http://127.0.0.1:{port}\n")
            sys.stdout.flush()

    app = Starlette(routes=[Route("/invocations", invocations, methods=["POST"])])
    Announced(uvicorn.Config(app, port=0, log_level="warning", access_log=False, lifespan="off")).run()


def latencies(server: Server, body: bytes, count: int) -> list[float]:
    """Return the milliseconds of each of ``count`` requests, one after the other."""
    with contextlib.closing(server.connect()) as connection:
        server.ask(connection, body)
        taken = []
        for _ in range(count):
            begun = time.perf_counter()
            server.ask(connection, body)
            taken.append((time.perf_counter() - begun) * 1000)
    return taken


def requests_a_second(server: Server, body: bytes, count: int, clients: int) -> float:
    """Return the rate at which ``clients`` connections get ``count`` answers each."""

    def client() -> None:
        with contextlib.closing(server.connect()) as connection:
            for _ in range(count):
                server.ask(connection, body)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return clients * count / (time.perf_counter() - begun)


def boto_latency(url: str, body: bytes, count: int) -> list[float]:
    """Return the milliseconds of InvokeEndpoint through boto3, which signs and parses."""
    client = boto_session(url).client("sagemaker-runtime")

    def ask() -> None:
        client.invoke_endpoint(EndpointName="bench", Body=body, ContentType="text/csv")["Body"].read()

    ask()
    taken = []
    for _ in range(count):
        begun = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - begun) * 1000)
    return taken


def measure(ours: Server, bare: Server, url: str, rounds: int, count: int) -> dict[str, Any]:
    """Return the figures of both servers: medians over the rounds."""
    one = encode_request(rows(1, 2)[0], "text/csv")
    batch_sizes = (100, 1_000, 10_000)
    batches = {size: encode_request(rows(size, 3)[0], "text/csv") for size in batch_sizes}
    found: dict[str, dict[str, list[float]]] = {ours.name: {}, bare.name: {}}

    def note(server: Server, figure: str, value: float) -> None:
        found[server.name].setdefault(figure, []).append(value)

    for _ in range(rounds):
        for server in (ours, bare):
            taken = latencies(server, one, count)
            note(server, "one row, p50 ms", statistics.median(taken))
            note(server, "one row, p99 ms", float(np.percentile(taken, 99)))
            note(server, "one row, 8 clients, requests/s", requests_a_second(server, one, count // 8, 8))
            for size in batch_sizes:
                times = max(3, min(count, 20_000 // size))
                note(
                    server,
                    f"{size:,} rows a request, rows/s",
                    size * requests_a_second(server, batches[size], times, 1),
                )
    medians = {name: {figure: statistics.median(v) for figure, v in figures.items()} for name, figures in found.items()}
    taken = boto_latency(url, one, count)
    return {**medians, "boto3": {"p50": statistics.median(taken), "p99": float(np.percentile(taken, 99))}}


def page(figures: dict[str, Any], rounds: int, count: int, load: str) -> str:
    ours, bare = figures["airflow-ll"], figures["bare"]
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    lines = [
        "# InvokeEndpoint: the embedded runtime against a bare scikit-learn server",
        "",
        f"Written by `make bench`: {rounds} rounds of {count:,} requests that alternate the two servers; medians of",
        f"the rounds. {machine}, scikit-learn {sklearn.__version__}.{load}",
        "",
        f"Both score CSV of {FEATURES} columns and answer JSON, asked by the standard library's client over kept",
        "connections. The bare server is starlette and uvicorn around `LogisticRegression.predict_proba`, one process.",
        "The runtime checks the request with SageMaker's model, chooses the variant, hands the rows to the serving",
        "process, counts the invocation, writes the access log and answers: a second hop and a second process.",
        "",
        "| what | airflow-ll | bare | ratio |",
        "|---|---:|---:|---:|",
    ]
    for figure, value in ours.items():
        digits = 2 if "ms" in figure else 0
        lines.append(f"| {figure} | {value:,.{digits}f} | {bare[figure]:,.{digits}f} | {value / bare[figure]:.2f} |")
    boto = figures["boto3"]
    lines += ["", f"Through boto3, which signs and parses: p50 {boto['p50']:.2f} ms, p99 {boto['p99']:.2f} ms.", ""]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bare", action="store_true", help="be the bare server")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=1_000, help="single-row requests a round")
    parser.add_argument("--loaded", action="store_true", help="say that other programs were running")
    parser.add_argument("--print", action="store_true", help="print the page instead of writing it")
    options = parser.parse_args(arguments)
    if options.bare:
        bare_server()
        return
    with TemporaryDirectory() as folder:
        root = Path(folder)
        with (
            started(["-m", "airflow_ll", "local", "--port", "0", "--data-dir", f"{root}/runtime"], root) as url,
            started(["-m", "benchmarks.runtime", "--bare"], root) as bare_url,
        ):
            deploy(url)
            ours = Server("airflow-ll", "127.0.0.1", int(url.rpartition(":")[2]), "/endpoints/bench/invocations")
            bare = Server("bare", "127.0.0.1", int(bare_url.rpartition(":")[2]), "/invocations")
            figures = measure(ours, bare, url, options.rounds, options.count)
    load = " Other programs were running." if options.loaded else ""
    text = page(figures, options.rounds, options.count, load)
    if options.print:
        print(text)
    else:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
