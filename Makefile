# One command for each thing one does with this project.  `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PYTHONPATH := scheduler:executor
KIT ?= ../shared/conformance

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types fmt check conformance sim golden bench chaos wheel clean

help: ## what there is to make
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/.pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Headgate needs Python 3.10 or later; $$($(PYTHON) --version) is too old. Try: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "Python cannot make virtual environments here. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --upgrade pip
	@touch $@

$(VENV)/.demo: $(VENV)/.pip setup.cfg pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (once; half a minute) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.demo tests/stand_ins/http-parser/pyproject.toml
	@echo "Adding what tests and checks need …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,pymesos]' \
		./tests/stand_ins/http-parser
	@touch $@

setup: $(VENV)/.dev ## virtual environment with everything pinned
	@{ [ -e /usr/share/java/zookeeper.jar ] && command -v java >/dev/null; } || \
		echo "Tests of ZooKeeper will be skipped; for them: apt-get install --no-install-recommends zookeeper default-jre-headless"

demo: $(VENV)/.demo ## the main job on an embedded cluster (SEED=…, FULL_SPEED=1)
	@$(BIN)/headgate demo $(if $(SEED),--seed $(SEED)) $(if $(FULL_SPEED),--full-speed)

test: $(VENV)/.dev ## all tests, with branch coverage
	$(BIN)/pytest --cov --cov-report=term:skip-covered $(ARGS)

lint: $(VENV)/.dev ## style, layers, container files, app definitions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python tests/lint_deployment.py

types: $(VENV)/.dev ## mypy, strict
	$(BIN)/mypy

fmt: $(VENV)/.dev ## put the code into shape
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .

check: lint types test ## what CI runs, in its order

conformance: $(VENV)/.dev ## hold the simulated cluster to transcripts of a real Mesos (KIT=folder of the kit)
	$(BIN)/python tests/conformance/run.py --kit $(KIT) $(ARGS)

sim: $(VENV)/.dev ## random schedules in virtual time (SEED=…, RUNS=…)
	$(BIN)/python -m headgate.testing $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS))

golden: $(VENV)/.dev ## add golden files for stored records that have gained something
	$(BIN)/python tests/golden/golden_records.py

bench: $(VENV)/.dev ## figures against peers, in build/bench.json (ARGS="--only …")
	$(BIN)/python tests/bench/run.py $(ARGS)

chaos: $(VENV)/.demo ## the demo again and again, each time with another kill (ROUNDS=10)
	@mkdir -p build; for seed in $$(seq 1 $(or $(ROUNDS),10)); do \
		$(BIN)/headgate demo --seed $$seed >build/chaos.log 2>&1 && verdict="equal: yes" || verdict="NOT EQUAL"; \
		echo "seed $$seed: $$verdict, $$(grep -m1 '  restarts' build/chaos.log | tr -s ' ')"; \
		[ "$$verdict" = "equal: yes" ] || { cat build/chaos.log; exit 1; }; \
	done

wheel: $(VENV)/.pip ## build the distribution into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove what was built or set up
	rm -rf $(VENV) build dist *.egg-info scheduler/*.egg-info executor/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
