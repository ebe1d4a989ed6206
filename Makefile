# Every target sets itself up: `make demo` or `make test` on a fresh clone needs python3 (3.11 or newer) and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where this is set, every process would compile all it imports anew: seconds for each of the many that tests start.
export PYTHONDONTWRITEBYTECODE :=
STAMP := $(VENV)/.installed
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header

.PHONY: help setup demo run test lint bench lock boards monitoring node browser screenshots
.DEFAULT_GOAL := help

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 19

setup: $(STAMP)  ## create .venv with the pinned dependencies

$(STAMP): requirements.lock pyproject.toml
	@echo "Setting up $(VENV), once; this takes a minute or two"
	@$(PYTHON) -c 'import sys; sys.exit("Refund Ledger needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV) || { echo "On Debian and Ubuntu: apt-get install python3-venv, then try again" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: setup  ## a day of refunds on this machine: real listener, real sync, embedded database
	@$(BIN)/refund-ledger demo

run: setup  ## start listener, sync and console on your refund-ledger.toml
	@$(BIN)/refund-ledger init --if-missing
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/honcho start

test: setup  ## every test: unit, SQLite and PostgreSQL, end to end; and the coverage floor
	@rm -f .coverage .coverage.*
	@$(BIN)/coverage run -m pytest -n auto --dist loadfile --no-loadscope-reorder
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

lint: setup  ## formatter, linter, strict types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

bench: setup  ## measure this machine: ingest, pairing, growth, memory
	@$(BIN)/python -m bench

# The second one is what a production machine installs: the same versions without the tools.
lock: setup  ## compile requirements.lock and deploy/requirements.lock from pyproject.toml
	@$(COMPILE) --group dev pyproject.toml --output-file requirements.lock
	@$(COMPILE) --group build --constraint requirements.lock pyproject.toml --output-file deploy/requirements.lock

boards: setup  ## write the Grafana boards from their code
	@$(BIN)/python -m deploy.grafana deploy/grafana/dashboards

monitoring:  ## install Prometheus and Alertmanager (Debian, root), which their tests need
	@{ command -v promtool && command -v prometheus-alertmanager; } >/dev/null || { apt-get update -qq && apt-get install -qq -y --no-install-recommends prometheus prometheus-alertmanager >/dev/null; } || echo "No Prometheus here: its tests will be skipped" >&2

node:  ## install Node.js (Debian, root), which the tests of the storefront's script need
	@{ command -v node || command -v nodejs; } >/dev/null || { apt-get update -qq && apt-get install -qq -y --no-install-recommends nodejs >/dev/null; } || echo "No Node.js here: its tests will be skipped" >&2

browser:  ## install Chromium (Debian, root), which the tests of the console's pages need
	@{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null || { apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium >/dev/null; } || echo "No Chromium here: its tests will be skipped" >&2

screenshots: setup browser  ## take the pictures of the console in docs/images anew
	@$(BIN)/python -m tests.console.screenshots docs/images
