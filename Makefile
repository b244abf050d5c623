# make demo   set up everything and run a real job on this machine
# make test   set up everything and run the tests
# make check  lint, types, import layers
# make bench  how close a run comes to the ideal time

NEW_ENOUGH := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
# The first Python on the path that is new enough, or the one that is given: make demo PYTHON=python3.12
PYTHON ?= $(shell for each in python3 python3.13 python3.12 python3.11; do \
            $$each -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$each && break; done)
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test check bench format clean

$(READY): pyproject.toml constraints.txt
	@"$(PYTHON)" -c '$(NEW_ENOUGH)' 2>/dev/null || { echo "rowcall needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=…"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV)
	@echo "Setting up $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@$(BIN)/python -m uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[local,dev]'
	@touch $@

demo: $(READY)
	@$(BIN)/rowcall demo

test: $(READY)
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python tests/bench/throughput.py

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .rowcall dist build
