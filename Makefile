# Two commands for a newcomer: `make demo` and `make test`. Each does its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test torture lint wheel bench translations lock clean

demo: $(VENV)/.runtime
	$(BIN)/newsletter demo .demo

test: $(VENV)/.development
	sh tests/peers/install.sh
	$(BIN)/python -m pytest -n auto

# The long form of the kill loop: over a hundred kills in issues to 20,000.
torture: $(VENV)/.development
	NEWSLETTER_TORTURE=1 $(BIN)/python -m pytest tests/journeys -k kill_loop --timeout 7200

lint: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Builds the wheel and tries it in an environment where nothing else of this folder can be found.
wheel: $(VENV)/.development
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/python tests/peers/try_wheel.py dist/*.whl requirements.lock

bench: $(VENV)/.development
	for script in $$(grep -lE '^if __name__' benchmarks/*.py); do $(BIN)/python $$script || exit 1; done

# Brings the catalogues of the site up to date with its texts. A new language, too: make translations LANGUAGE=ur
CATALOGUES := templates/web/translations
DRAFT := \# DRAFT: not offered before it is reviewed. How: docs/translations.md
translations: $(VENV)/.development
	mkdir -p build
	$(BIN)/pybabel -q extract -F pyproject.toml -k marked --add-location=file --sort-output --project=newsletter \
		--header-comment='$(DRAFT)' -o build/site.pot .
	$(if $(LANGUAGE),$(BIN)/pybabel -q init -i build/site.pot -o $(CATALOGUES)/$(LANGUAGE).po -l $(subst -,_,$(LANGUAGE)))
	for file in $(CATALOGUES)/*.po; do \
		$(BIN)/pybabel -q update -i build/site.pot -o $$file -l $$(basename $$file .po | tr - _) --ignore-pot-creation-date || exit 1; done

$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Setting up $(VENV) (a minute or two, the first time)" >&2
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.development: requirements-dev.lock $(VENV)/.runtime
	$(PIP) install --require-hashes -r requirements-dev.lock
	touch $@

# Debian has venv in a package of its own, which a fresh machine lacks.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed. Name yours: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ [ "$$(id -u)" -eq 0 ] && command -v apt-get >/dev/null && \
			apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install python3-venv >/dev/null; } || \
		{ echo "Python's venv module is missing. Install it: sudo apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)

# Needs uv. Neither file names an index host.
lock:
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url pyproject.toml requirements-build.in --output-file requirements.lock
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --group dev pyproject.toml requirements-build.in --output-file requirements-dev.lock

clean:
	rm -rf $(VENV) .demo build dist
