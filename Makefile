# Two commands for a newcomer: `make demo` and `make test`. Each does its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint lock bench clean

demo: $(VENV)/.runtime
	$(BIN)/newsletter demo .demo

test: $(VENV)/.development
	sh tests/peers/install.sh
	$(BIN)/pytest -n 2

lint: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.development
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

$(VENV)/.runtime: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.development: requirements-dev.lock $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch $@

# Needs uv. Neither file names an index host.
lock:
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url pyproject.toml requirements-build.in --output-file requirements.lock
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --group dev pyproject.toml requirements-build.in --output-file requirements-dev.lock

clean:
	rm -rf $(VENV) .demo build dist
