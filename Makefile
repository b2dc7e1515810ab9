# `make help` lists what can be made. The work itself is done by scripts/, in POSIX sh.
SHELL = /bin/sh
PYTHON_IN_VENV = $(if $(VENV),$(VENV),.venv)/bin/python
TOOLS = $(PYTHON_IN_VENV) -m
BUILD = build
MIN_COVERAGE = 90
ROW ?=
ONLY ?=
PYTEST_ARGS ?=

.DEFAULT_GOAL = help
.PHONY: help run stop test check lint format bench man promises requirements units setup setup-test clean

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 - \2/p' Makefile | sed 's/^\(  make [a-z-]*\) -/\1\t/' | expand -t 22

run: ## install what is missing, start a daemon in .demo and run the examples
	@sh scripts/demo.sh run

stop: ## stop the demo: its daemon and its sessions
	@sh scripts/demo.sh stop

setup:
	@sh scripts/setup.sh run

setup-test:
	@sh scripts/setup.sh test

test: setup-test ## install what the tests need, run them, hold coverage to its mark
	@mkdir -p $(BUILD)
	$(TOOLS) pytest --cov --cov-report=term --cov-report=json:$(BUILD)/coverage.json \
		--junitxml=$(BUILD)/junit.xml $(PYTEST_ARGS)
	@$(PYTHON_IN_VENV) scripts/check_results.py coverage $(BUILD)/coverage.json $(MIN_COVERAGE)

check: lint test ## everything that must hold before a commit

lint: setup-test ## ruff, mypy --strict, import-linter, shellcheck and our own guards
	$(TOOLS) ruff check
	$(TOOLS) ruff format --check
	$(TOOLS) mypy
	$(TOOLS) mypy scripts/*.py tests/conftest.py
	$(dir $(PYTHON_IN_VENV))lint-imports
	@if command -v shellcheck >/dev/null; then \
		shellcheck -x scripts/*.sh examples/*/*.sh .ci/run; \
	else echo 'shellcheck is not installed: the scripts go unchecked'; fi
	$(PYTHON_IN_VENV) scripts/guards.py

format: setup-test ## let ruff put imports and lines in order
	$(TOOLS) ruff check --fix
	$(TOOLS) ruff format

bench: setup-test ## measure everything beside reference loops and peers (ONLY=name); build/bench.json
	@mkdir -p $(BUILD)
	$(PYTHON_IN_VENV) bench/run.py $(addprefix --only ,$(ONLY)) --out $(BUILD)/bench.json

promises: setup-test ## try the promises for long (ROW=n: one of them); slow
	PROMISE_LONG=1 $(TOOLS) pytest -m faults $(if $(ROW),-k "promise_$(ROW)_") $(PYTEST_ARGS)

man: setup-test ## write docs/man/tmux-orchestrator.1 from what the verbs say of themselves
	$(PYTHON_IN_VENV) scripts/man.py

requirements: setup-test ## pin requirements*.in anew, with hashes and without addresses
	@sh scripts/requirements.sh

units: setup ## install the systemd units for this user and checkout
	@sh scripts/units.sh

clean: stop ## remove the demo and everything built; .venv stays
	rm -rf .demo $(BUILD) htmlcov .coverage .coverage.* examples/*/build .mypy_cache .ruff_cache .import_linter_cache .hypothesis
