# Every target installs what it needs into .venv first; nothing has to be installed by hand but Python ≥ 3.11.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALLED := .venv/.installed

.PHONY: demo test lint bench docs clean

demo: $(INSTALLED)  ## phantoms → clicks → train → predict → evaluate → demo/report.html, in minutes
	rm -rf demo
	$(BIN)/pointillist demo demo

test: lint  ## in parallel; SLOW=1 takes the slow tests as well, COVERAGE=95 asks that so many percent of the code are run
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto $(if $(SLOW),,-m "not slow") $(if $(COVERAGE),--cov --cov-report=term --cov-fail-under=$(COVERAGE))

lint: $(INSTALLED)  ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED)  ## speed against reference formulations, written to benchmarks/results
	for script in surface_distance gated_crf contrastive_variance attentive_similarity steps sigmoid_contrast variational public_forms pipeline method_step app; do $(BIN)/python benchmarks/$$script.py || exit 1; done

docs: $(INSTALLED)  ## the documentation, as HTML in site/
	$(BIN)/mkdocs build --strict

# nnU-Net is used by one test, for its integrity check alone; its own dependencies would bring gigabytes.
$(INSTALLED): pyproject.toml constraints.txt tests/nnunet.txt
	$(PYTHON) -m venv .venv
	$(PIP) install --quiet --constraint constraints.txt torch
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	$(PIP) install --quiet --no-deps --requirement tests/nnunet.txt
	touch $@

clean:
	rm -rf .venv demo site dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
