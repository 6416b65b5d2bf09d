# Two commands on a fresh machine with Python 3.11: `make demo` and `make test`.
PYTHON ?= python3.11
VENV ?= .venv
BIN = $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test quick lint docs install clean

demo: $(VENV)/.installed  ## simulated cohort → report.html
	$(BIN)/boldformer demo demo

QUICK = tests/preprocessing tests/contracts/test_steps.py tests/models \
	tests/evaluation/test_metrics.py tests/evaluation/test_judge.py \
	tests/evaluation/test_out_of_fold.py tests/training/test_golden.py \
	tests/data/test_events.py tests/data/test_splits.py tests/data/audit \
	tests/test_config.py tests/test_errors.py

# Two workers of one thread each: more would fight over two cores.
test quick docs: export OMP_NUM_THREADS = 1
test quick docs: export MKL_NUM_THREADS = 1
test quick docs: export OPENBLAS_NUM_THREADS = 1
test: $(VENV)/.installed-test  ## the suite; the notebooks' part of it is in `make docs`
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not notebook"

# What a change breaks most often, in under a minute.
quick: $(VENV)/.installed-test  ## part of the suite, in under a minute
	$(BIN)/python -m pytest -q -x -n 2 --dist worksteal $(QUICK)

lint: $(VENV)/.installed-dev  ## style, types, spelling, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/lint-imports --cache-dir .import_linter_cache

# Runs the notebooks and the gallery, shows and tests what came out.
docs: export NO_MKDOCS_2_WARNING = 1
docs: $(VENV)/.installed-test  ## the site, in build/site
	$(BIN)/mkdocs build --strict
	$(BIN)/python -m pytest -q -m notebook tests/notebooks

install: $(VENV)/.installed

# torch goes first and alone: the pin in constraints.txt keeps CUDA builds out.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[test]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-test
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
