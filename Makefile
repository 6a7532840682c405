# `make demo` and `make test` do their own set-up; PYTHON chooses the interpreter (3.10 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= auto
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.PHONY: demo test check long fuzz manual tour docs clean

demo: $(READY)
	@./scripts/demo $(BIN)/llmtool

# Tests run in one process per core, most of a file in the same one, so that they share fixtures.
# WORKERS=0 runs them in one.
test: $(READY)
	$(PYTEST)

# What to run before a commit: style, types, wording, tests.
check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/wording.py
	$(PYTEST)

# Fuzzing and soak tests, less than half an hour (the table at the end of tests/README.md has times).
long: $(READY)
	$(PYTEST) -m long --timeout 1800

# Only the fuzzing of what reads input from others; tests/fuzz/worker.py runs one target and seed.
fuzz: $(READY)
	$(PYTEST) -m long --timeout 1800 tests/fuzz

# Completions, generated pages of docs/ and tables of the READMEs, after a command has changed.
manual: $(READY)
	$(BIN)/python scripts/manual.py

# The READMEs' tour again, on the starter model.
tour: $(READY)
	$(BIN)/python scripts/tour.py

# The pages of docs/ as HTML in build/docs; a broken link or a page outside the index is an error.
docs: $(VENV)/.docs-ready
	$(BIN)/sphinx-build -W --keep-going -q -b html docs build/docs
	@echo "Open build/docs/index.html"

$(VENV)/.docs-ready: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "llmtool needs Python 3.10 or newer; try: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up $(VENV); llama.cpp is built from source the first time (about five minutes)."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[starter,dev]'
	@touch $(READY)

clean:
	rm -rf $(VENV) build dist
