# Every target makes what it needs in .venv, once. Nothing here touches the network after that.
# Paths are relative on purpose: the folder may have spaces in its name and may be moved.

KMON_PYTHON ?= python3
ARGS ?=
# Whole clusters and servers that are watched for a while: other tests beside them would be load.
ALONE := tests/stack tests/verify/test_live.py
BROWSER := tests/browser
CASES ?= 1000
SECONDS ?= 600
SEED ?=
PY := .venv/bin/python

# pip reads these: the pins hold for the build of the package, too. The second name is that of pip 25.3 and newer.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test lint format lab data bench docs conformance mutants fuzz judges stack record ci setup clean

help: ## show this list
	@echo 'make TARGET [ARGS="…"] [KMON_PYTHON=python3.12]'
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' Makefile

demo: .venv/ready-base ## the main job on bundled data: backtest, tune, export, prove (no server, no network)
	@$(PY) -m kmon_analysis.cli demo $(ARGS)

test: .venv/ready-dev ## run all tests; ARGS="-k incidents" or ARGS=tests/rules picks some
ifneq (,$(findstring tests/,$(ARGS)))
	@$(PY) -m pytest -n auto --dist worksteal $(ARGS)
else
	@$(PY) -m pytest -n auto --dist worksteal $(foreach path,$(ALONE) $(BROWSER),--ignore $(path)) $(ARGS)
	@echo 'Now the browser, in processes of its own: what drives it leaves an event loop running.'
	@$(PY) -m pytest -n logical --dist worksteal $(BROWSER) $(ARGS) || test $$? -eq 5
	@echo 'Now the tests that want the machine for themselves.'
	@$(PY) -m pytest $(ALONE) $(ARGS) || test $$? -eq 5
endif

lint: .venv/ready-dev ## check format, style and types without changing anything
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@bash -n .ci/run
	@bash -n tests/judges/build
	@bash -n tests/judges/kafka
	@bash -n tests/judges/axe

format: .venv/ready-dev ## put imports and layout in order
	@$(PY) -m ruff check --select I --fix .
	@$(PY) -m ruff format .

lab: .venv/ready-lab ## open a copy of the notebooks (out/lab) in JupyterLab; ARGS="--no-browser --port 9999"
	@$(PY) -m kmon_analysis.cli lab --dir out/lab -- $(ARGS)

data: .venv/ready-base ## make the bundled histories anew from their seeds and compare; ARGS="--write" replaces them
	@$(PY) data/regenerate.py $(ARGS)
	@$(PY) data/small_histories.py $(ARGS)

bench: .venv/ready-dev ## measure the promised ratios against peers in one run
	@$(PY) -m benchmarks $(ARGS)

conformance: .venv/ready-dev ## compare random rules and expressions with promtool and Prometheus 2.42 and 3.16; CASES=1000 SEED=7
	@$(PY) -m tests.conformance --cases $(CASES) $(if $(SEED),--seed $(SEED)) $(ARGS)

mutants: .venv/ready-dev ## plant faults one at a time and see whether the conformance run notices; ARGS="--only rate"
	@$(PY) -m tests.mutants $(ARGS)

fuzz: .venv/ready-dev ## feed hostile expressions, files and templates for SECONDS=600; SEED=7 repeats a run
	@$(PY) -m tests.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

docs: .venv/ready-base ## write the tables of docs/semantics.md and docs/kafka.md anew from the code
	@$(PY) docs/generate.py

# Kafka and axe-core wait for the network while the others are compiled.
judges: ## build promtool and prometheus 3.x from source (needs Go), fetch Kafka (Maven, a JDK) and axe-core (npm); once, for tests
	@tests/judges/kafka & kafka=$$!; tests/judges/axe & axe=$$!; failed=0; tests/judges/build || failed=$$?; \
		wait $$kafka || failed=$$?; wait $$axe || failed=$$?; exit $$failed

stack: .venv/ready-dev ## run a real Kafka cluster with all that watches it; ARGS="down", ARGS="fault broker-killed" …
	@$(PY) -m tests.stack $(or $(ARGS),up)

record: .venv/ready-dev ## record a real cluster with faults on a schedule for 91 minutes; ARGS="--minutes 4 --output out/try"
	@$(PY) -m tests.stack.record $(ARGS)

ci: ## what a submission must pass, on a bare machine
	@bash .ci/run

setup: .venv/ready-base .venv/ready-lab .venv/ready-dev ## install the package with all extras

clean: ## remove the environment, caches and output
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/made:
	@"$(KMON_PYTHON)" -c 'import sys; print("Python %d.%d.%d at %s" % (sys.version_info[:3] + (sys.executable,))); sys.exit(sys.version_info < (3, 11))' || { \
		echo 'kmon_analysis needs Python 3.11 or newer as "$(KMON_PYTHON)".'; \
		echo 'Name another one: make KMON_PYTHON=/path/to/python3.12 …'; exit 2; } >&2
	@"$(KMON_PYTHON)" -c 'import ensurepip, venv' || { \
		echo 'This Python cannot make environments. On Debian and Ubuntu: apt-get install python3-venv'; exit 2; } >&2
	@"$(KMON_PYTHON)" -m venv --clear .venv
	@touch $@

.venv/ready-base: .venv/made pyproject.toml constraints.txt
	@echo 'Installing kmon_analysis into .venv (once, about a minute) …'
	@$(PY) -m pip install --quiet --editable .
	@touch $@

.venv/ready-lab .venv/ready-dev: .venv/ready-%: .venv/made pyproject.toml constraints.txt
	@echo 'Installing kmon_analysis and what "$*" needs into .venv (once) …'
	@$(PY) -m pip install --quiet --editable '.[$*]'
	@touch .venv/ready-base $@
