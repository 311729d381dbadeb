# make demo   from nothing to a leaderboard          make test    the quick tests
# make slow   the long tests                         make speed   measured ratios against the best known ways
# make check  lint, format, types, arrows, boards    make docs    the site of docs/, into site/
# make clean  removes .venv and what tools left behind
#
# Needs Python >= 3.11 and, for the first call, a package index; later calls install nothing and need no network.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

# One thread a test process: two of them run side by side.
TEST_ENV := OMP_NUM_THREADS=1

.PHONY: demo test slow speed check docs clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/cvbench run benchmarks/quick

test: $(VENV)/.dev
	$(TEST_ENV) $(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

slow: $(VENV)/.dev
	$(TEST_ENV) $(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

speed: $(VENV)/.dev
	$(BIN)/python -m tests.speed

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cvbench leaderboard --check

docs: $(VENV)/.dev
	$(BIN)/zensical build --clean

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "cvbench needs Python >= 3.11, but $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The installation is editable: a changed source needs no new one, a changed pyproject.toml does.
$(VENV)/.installed: pyproject.toml | $(VENV)/.made
	@echo "Installing cvbench into $(VENV) (minutes, once) …"
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.made
	@echo "Installing cvbench and what its tests need into $(VENV) (minutes, once) …"
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@command -v java >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get install -qq -y default-jre-headless; } >/dev/null 2>&1 || \
	  echo "No java here: what compares with Java's tokenizer and METEOR will be skipped."
	@command -v chromedriver >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get install -qq -y --no-install-recommends \
	  chromium chromium-driver fonts-dejavu-core; } >/dev/null 2>&1 || \
	  echo "No chromium and chromedriver here: what opens the boards' pages in a browser will be skipped."
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist site .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
