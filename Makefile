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

.PHONY: help demo up test check compose oldest clients compat bench faults soak stress format lock proto clean

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

# Side environments: .venvs/NAME is environments/NAME.lock, on $(PYTHON_NAME) if that is set. They are only made by the
# targets that need them, never by `make test` or `make demo`.
PYTHON_mxnet := 3.11

.venvs/%/.installed: environments/%.lock | $(STAMP)
	@echo "Setting up .venvs/$* (once) ..."
	@$(BIN)/uv venv --quiet --clear --no-python-downloads --python $(or $(PYTHON_$*),$(BIN)/python) .venvs/$*
	@$(BIN)/uv pip install --quiet --python .venvs/$*/bin/python --compile-bytecode --requirements $<
	@touch $@

.venvs/oldest/.installed: pyproject.toml

oldest: .venvs/oldest/.installed ## Import every module on the oldest supported Airflow
	@.venvs/oldest/bin/python -m pytest -n 0 tests/test_imports.py

clients: .venvs/sdk/.installed .venvs/awscli/.installed ## Set up the SageMaker SDK and the AWS CLI; the tests then run both

# What waits, kills and adopts depends on Airflow's version; the tests of the newest run on the others, too.
AIRFLOWS := oldest airflow-3.2
ON_ALL_AIRFLOWS := tests/test_imports.py tests/triggers tests/sensors $(addprefix tests/operators/test_,\
  attempts.py deferring.py logs.py adoption_and_killing.py whole_sequence.py)

compat: clients .venvs/mxnet/.installed .venvs/openlineage/.installed $(AIRFLOWS:%=.venvs/%/.installed) ## Run others' clients, MXNet and the older Airflows against us
	@$(BIN)/python -m pytest -n 3 -m "" tests/compat tests/artifacts/test_mxnet.py tests/records/test_sdk_reader.py tests/test_lineage.py
	@$(foreach name,$(AIRFLOWS),.venvs/$(name)/bin/python -m pytest -n 0 $(ON_ALL_AIRFLOWS) &&) true

bench: .venvs/sdk/.installed .venvs/vw/.installed .venvs/aiobotocore/.installed ## Run the benchmarks and write their result pages
	@$(BIN)/python -m benchmarks.records
	@$(BIN)/python -m benchmarks.streaming
	@$(BIN)/python -m benchmarks.durability
	@$(BIN)/python -m benchmarks.learner_loop
	@$(BIN)/python -m benchmarks.learner_memory
	@$(BIN)/python -m benchmarks.fidelity
	@$(BIN)/python -m benchmarks.quality
	@$(BIN)/python -m benchmarks.learner
	@$(BIN)/python -m benchmarks.runtime
	@$(BIN)/python -m benchmarks.waits
	@$(BIN)/python -m benchmarks.imports

faults: $(STAMP) ## Kill every operator at every call, throttle fifty tasks, kill Airflow, and write the page
	@$(BIN)/python -m benchmarks.faults

# The long form; CI runs a shorter one.
SOAK ?= --page benchmarks/results/soak.md

soak: $(STAMP) ## Load the runtime for ten minutes, kill it twenty times, and write the results page
	@$(BIN)/python -m benchmarks.soak $(SOAK)

# What takes too long for a test; by hand the fuzz has another seed each time.
FUZZ_SEED ?= $(shell echo $$RANDOM)

stress: $(STAMP) ## Fuzz the decoder for a minute, stream 1 GB, kill S3 three times while it is written to
	@RECORDS_FUZZ_SECONDS=60 RECORDS_FUZZ_SEED=$(FUZZ_SEED) $(BIN)/python -m pytest -n 0 tests/records/test_decoder.py -k mutated
	@$(BIN)/python -m benchmarks.streaming --gigabytes 1 --output -
	@$(BIN)/python -m benchmarks.durability --kills 3 --output -

format: $(STAMP) ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

COMPILE := $(BIN)/uv pip compile --quiet --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links
LOCK_oldest := --exclude-newer 2026-05-01
LOCK_airflow-3.2 := --exclude-newer 2026-07-15

lock: $(STAMP) ## Refresh the lock files
	@$(COMPILE) --universal --extra demo --group dev --output-file requirements.lock pyproject.toml
	@$(foreach name,$(basename $(notdir $(wildcard environments/*.in))), \
	  $(COMPILE) $(LOCK_$(name)) --output-file environments/$(name).lock environments/$(name).in;)

# The oldest compiler whose output runs on every protobuf from 5.26 on.
proto: $(STAMP) ## Regenerate records/record_pb2.py from record.proto
	@$(BIN)/uv tool run --quiet --python 3.11 --with 'setuptools<81' --from grpcio-tools==1.63.0 \
	  python -m grpc_tools.protoc --proto_path . --python_out . airflow_ll/records/record.proto

clean: ## Remove what the targets created
	@rm -rf $(VENV) .venvs .demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
