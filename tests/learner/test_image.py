"""What docker/learner.Dockerfile installs is enough: the learner runs where nothing else can be imported."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import sparse

if TYPE_CHECKING:
    from tests.learner.conftest import Container

REPOSITORY = Path(__file__).parents[2]
# The packages that the Dockerfile names and what they depend on, by the names of their modules.
IMAGE = {
    "numpy": {"numpy"},
    "protobuf": {"google"},
    "scipy": {"scipy"},
    "starlette": {"starlette", "anyio", "idna", "typing_extensions"},
    "uvicorn": {"uvicorn", "click", "h11"},
}
# Runs a module in a process where whatever the image has not does not exist.
ISOLATED = f"""
import importlib.abc, runpy, sys

ALLOWED = sys.stdlib_module_names | {{"airflow_ll", *{sorted(set().union(*IMAGE.values()))}}}

class OnlyTheImage(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ALLOWED and not name.startswith("_sysconfigdata"):
            raise ModuleNotFoundError(f"No module named {{name!r}} in the image", name=name)

for name in [name for name in sys.modules if name.partition(".")[0] not in ALLOWED | {{"__main__"}}]:
    del sys.modules[name]
sys.meta_path.insert(0, OnlyTheImage())
sys.argv = sys.argv[1:]
"""
RUN = ISOLATED + "runpy.run_module('airflow_ll', run_name='__main__', alter_sys=True)"


@pytest.fixture
def tree(container: Container) -> Container:
    random = np.random.default_rng(3)
    features = random.normal(size=(60, 4)).astype(np.float32)
    labels = (features[:, 0] > 0).astype(np.float32)
    container.put_records("train", features, labels)
    container.put_records("validation", sparse.csr_matrix(features), labels)
    container.configure({"train": "", "validation": ""}, predictor_type="binary_classifier", mini_batch_size=10)
    return container


def _train(tree: Container, code: str) -> None:
    command = [sys.executable, "-c", code, "airflow-ll", "train", "--root", str(tree.root), "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_installs_what_this_test_allows() -> None:
    text = (REPOSITORY / "docker" / "learner.Dockerfile").read_text()
    (packages,) = re.findall(r"--constraint /src/requirements.lock (.+)", text)
    assert packages.split() == list(IMAGE)
    pinned = {re.split(r"[=\[ ;]", line)[0] for line in (REPOSITORY / "requirements.lock").read_text().splitlines()}
    assert set(IMAGE) <= pinned


@pytest.mark.parametrize("name", ["airflow", "boto3", "pandas"])
def test_the_isolation_isolates(name: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"{ISOLATED}import {name}"], capture_output=True, check=False)
    assert b"in the image" in done.stderr


def test_everything_of_the_learner_can_be_imported() -> None:
    code = """
import importlib, pkgutil
for room in ("learner", "artifacts", "records", "hyperparameters"):
    package = importlib.import_module(f"airflow_ll.{room}")
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        found = importlib.import_module(module.name)
        [getattr(found, name) for name in getattr(found, "__all__", ())]
"""
    done = subprocess.run([sys.executable, "-c", ISOLATED + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_trains_and_serves(tree: Container) -> None:
    _train(tree, RUN)
    command = [sys.executable, "-c", RUN, "airflow-ll", "serve", "--root", str(tree.root), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[1]
            request = urllib.request.Request(f"{url}/invocations", b"1,0,0,0", {"Content-Type": "text/csv"})
            with urllib.request.urlopen(request, timeout=60) as response:
                (prediction,) = json.load(response)["predictions"]
        finally:
            process.terminate()
    assert prediction["predicted_label"] == 1


def test_the_container_s_commands_are_the_learner(tree: Container) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    scripts = REPOSITORY / "docker" / "learner"
    command: list[str | Path] = [scripts / "train", "--root", tree.root]
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    environment["SAGEMAKER_BIND_TO_PORT"] = "0"
    command = [scripts / "serve", "--root", tree.root]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGTERM)  # as soon as it can be known to run
        process.wait(timeout=60)
    assert first.startswith("READY http://0.0.0.0:")
    assert process.returncode == 0
