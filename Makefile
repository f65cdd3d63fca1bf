# Everything a newcomer can do. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SCENARIOS := $(basename $(notdir $(wildcard scenarios/*.yaml)))
export OMP_NUM_THREADS ?= 1
export MLFLOW_DISABLE_TELEMETRY ?= true

.DEFAULT_GOAL := help
.PHONY: help setup run test lint docs results report repro dvc-lock verify bench reliability lock clean

help: ## List what can be done
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## Create .venv from the lock file

$(STAMP): requirements.lock bootstrap.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than Python 3.11; name a newer one with make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r bootstrap.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@$(BIN)/python -c 'from suite.training import native; print("native path:", native.available() or "ready")'
	@# uv leaves no bytecode; where the environment forbids Python to keep it, every command would compile all it imports
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -W ignore -c 'import suite.study.run, suite.tracking.store as s; s.prepare(s.DEFAULT_URI); import scipy.stats'
	@touch $(STAMP)

run: $(STAMP) ## Run the default scenario on real data
	$(BIN)/python -m suite +scenario=born_dead

test: $(STAMP) ## Style, types, import contract and every test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile -q

lint: $(STAMP) ## Mend style where that can be done by machine
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

results: $(STAMP) ## Run every committed study again, on digits and on Fashion-MNIST (two hours)
	for s in $(SCENARIOS); do $(BIN)/python -m suite +scenario=$$s executor=local tracking=off || exit 1; done
	$(BIN)/python scripts/pipeline.py others | while read -r words; do $(BIN)/python -m suite $$words executor=local tracking=off < /dev/null || exit 1; done
	$(BIN)/python -m suite report
	$(MAKE) dvc-lock

report: $(STAMP) ## Rebuild every report, the index and the README's table
	$(BIN)/python -m suite report

repro: $(STAMP) ## Make again what its code or scenario has changed under (DVC), and nothing else
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m dvc repro

dvc-lock: $(STAMP) ## Tell DVC that the records in results/ are those of this code and these scenarios
	$(BIN)/python scripts/pipeline.py
	$(BIN)/python -m dvc commit --force --quiet

verify: $(STAMP) ## Repeat every record and compare (an hour or two)
	$(BIN)/python -m suite verify --all results executor=local

bench: $(STAMP) ## Time the engine beside its rivals, and rewrite results/benchmarks (half an hour)
	$(BIN)/python -m tests.bench.compare --out results/benchmarks/engine.json
	$(BIN)/python -m tests.bench.scaling --out results/benchmarks/scaling.json
	$(BIN)/python -m tests.bench.observation --out results/benchmarks/observation.json
	$(BIN)/python -m tests.bench.study --out results/benchmarks/study.json
	$(BIN)/python -m tests.bench.overhead --out results/benchmarks/overhead.json
	$(BIN)/python -m tests.bench.workers --out results/benchmarks/workers.json
	$(BIN)/python -m pytest -q -o addopts=--import-mode=importlib tests/bench/bench_parts.py --benchmark-json=results/benchmarks/parts.json
	$(BIN)/python -m tests.bench.table results/benchmarks

reliability: $(STAMP) ## Kill studies, fill disks, throw malformed input, and rewrite results/reliability.json (ten minutes)
	$(BIN)/python -m tests.reliability.run --out results/reliability.json

docs: $(STAMP) ## Build the documentation into site/, every key and every metric from the code
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "open site/index.html"

lock: $(STAMP) ## Resolve the lock file again
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --all-extras pyproject.toml -o requirements.lock

clean: ## Remove the environment and caches, never results
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
