# Every target bootstraps what it needs; nothing has to be installed beforehand but Python 3.11-3.13.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
DATA_DIR ?= .demo
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV_VERSION := 0.13.9

# Airflow pays seconds a process when it may not write byte code.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONUNBUFFERED := 1

.PHONY: help demo up test check compose oldest compat bench format lock proto clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"airflow-ll needs Python 3.11, 3.12 or 3.13, but $(PYTHON) is {v[0]}.{v[1]}: set PYTHON=python3.11 (or 3.12, 3.13) and try again")'
	@echo "Setting up $(VENV) (once; a minute or two) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --requirements requirements.lock uv==$(UV_VERSION)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

demo: $(STAMP) ## Run the flights retraining DAG to the end on the embedded runtime
	@$(BIN)/python -m demo --data-dir $(DATA_DIR)

up: $(STAMP) ## The same with the Airflow UI, until Ctrl-C
	@$(BIN)/python -m demo up --data-dir $(DATA_DIR)

test: $(STAMP) ## Run the tests
	@$(BIN)/python -m pytest

check: $(STAMP) ## Lint, types, import floors
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

compose: ## Lint docker-compose.yaml against the Compose specification (needs npx)
	@npx --yes dclint@3.1.0 --max-warnings 0 docker-compose.yaml

OLDEST := .venvs/oldest

$(OLDEST)/.installed: requirements-oldest.lock pyproject.toml | $(STAMP)
	@echo "Setting up $(OLDEST) (once) ..."
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(OLDEST)
	@$(BIN)/uv pip install --quiet --python $(OLDEST)/bin/python --compile-bytecode --requirements requirements-oldest.lock
	@$(BIN)/uv pip install --quiet --python $(OLDEST)/bin/python --no-deps --editable .
	@touch $@

oldest: $(OLDEST)/.installed ## Import every module on the oldest supported Airflow
	@$(OLDEST)/bin/python -m pytest -n 0 tests/test_imports.py

# The last MXNet; it needs a NumPy that Python 3.12 does not have.
MXNET := .venvs/mxnet

$(MXNET)/.installed: benchmarks/requirements-mxnet.lock | $(STAMP)
	@echo "Setting up $(MXNET) (once) ..."
	@$(BIN)/uv venv --quiet --clear --no-python-downloads --python 3.11 $(MXNET)
	@$(BIN)/uv pip install --quiet --python $(MXNET)/bin/python --requirements benchmarks/requirements-mxnet.lock
	@touch $@

compat: $(MXNET)/.installed ## Open our models in the real MXNet 1.9.1 and compare the predictions
	@$(BIN)/python -m pytest -n 0 tests/artifacts/test_mxnet.py

SDK := .venvs/sdk

$(SDK)/.installed: benchmarks/requirements-sdk.lock | $(STAMP)
	@echo "Setting up $(SDK) (once) ..."
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(SDK)
	@$(BIN)/uv pip install --quiet --python $(SDK)/bin/python --requirements benchmarks/requirements-sdk.lock
	@touch $@

VW := .venvs/vw

$(VW)/.installed: benchmarks/requirements-vw.lock | $(STAMP)
	@echo "Setting up $(VW) (once) ..."
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VW)
	@$(BIN)/uv pip install --quiet --python $(VW)/bin/python --requirements benchmarks/requirements-vw.lock
	@touch $@

bench: $(SDK)/.installed $(VW)/.installed ## Run the benchmarks and write their result pages
	@$(BIN)/python -m benchmarks.records
	@$(BIN)/python -m benchmarks.learner_loop
	@$(BIN)/python -m benchmarks.fidelity
	@$(BIN)/python -m benchmarks.quality
	@$(BIN)/python -m benchmarks.learner

format: $(STAMP) ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: $(STAMP) ## Refresh requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links --extra demo --group dev \
	  --output-file requirements.lock pyproject.toml
	@$(BIN)/uv pip compile --quiet --python-version 3.11 --no-header --no-annotate --exclude-newer 2026-05-01 \
	  --no-emit-index-url --no-emit-find-links --extra sparse \
	  --output-file requirements-oldest.lock pyproject.toml requirements-oldest.in

# The oldest compiler whose output runs on every protobuf from 5.26 on.
proto: $(STAMP) ## Regenerate records/record_pb2.py from record.proto
	@$(BIN)/uv tool run --quiet --python 3.11 --with 'setuptools<81' --from grpcio-tools==1.63.0 \
	  python -m grpc_tools.protoc --proto_path . --python_out . airflow_ll/records/record.proto

clean: ## Remove what the targets created
	@rm -rf $(VENV) .venvs .demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
