# Every target prepares its own environment in .venv from a bare Python 3.11 or newer.
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python3.13 python3.14; do \
  $$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  && command -v $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo test check bench screens faults agent-deb agent-rpm agent-msi agent-release \
  services lock clean

help:
	@echo "make setup     environment in .venv, exact versions with hashes"
	@echo "make demo      watch a made-up company live, with stories to find in it"
	@echo "make test      all tests (real database, real log, real browser)"
	@echo "make check     lint, types, contracts, sizes"
	@echo "make bench     the speed claims, each with a peer in the same run"
	@echo "make screens   a picture of every page, light and dark, wide and narrow: docs/screens/"
	@echo "make faults    long fault campaigns: kills by the hundred, outages of a minute (docs/howto/faults.md)"
	@echo "make agent-deb the endpoint agent as a Debian package: build/inopsio-agent_*.deb"
	@echo "make agent-rpm the same as an RPM (needs rpmbuild); agent-release: what agents update by"
	@echo "make agent-msi the same for Windows, built on Linux (needs mvn, wixl, binutils-mingw-w64-x86-64)"
	@echo "make services  start a real Kafka and TimescaleDB on loopback, print their addresses"
	@echo "make clean     remove the environment and everything built"

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer was not found; install it or set PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11; set PYTHON=/path/to/a/newer/one"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: setup
	$(BIN)/inopsio demo

# Two workers: many tests wait for processes they started. A file's tests stay together, its houses too.
TEST_WORKERS ?= 2
test: setup
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 agent/windows agent/system.py
	$(BIN)/lint-imports
	$(BIN)/python -m tests.house.report

bench: setup
	$(BIN)/python -m benchmarks

screens: setup
	$(BIN)/python -m benchmarks.screens

faults: setup
	$(BIN)/python -m pytest -s -m faults --timeout 7200 tests/faults

agent-deb:
	deploy/agent/package.sh build deb

agent-rpm:
	deploy/agent/package.sh build rpm

agent-msi: setup
	$(BIN)/python -m deploy.agent.windows.msi build

agent-release:
	deploy/agent/package.sh build tar

services:
	deploy/local/services.sh start
	@deploy/local/services.sh env

lock: setup
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --quiet --upgrade -o requirements.lock

clean:
	-test -x $(BIN)/inopsio && $(BIN)/inopsio down
	-test -d .services && deploy/local/services.sh stop
	rm -rf $(VENV) .services build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
