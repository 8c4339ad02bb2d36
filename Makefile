# Two commands on a fresh machine with git, make and Python 3.11 to 3.13:
#   make demo   generates a small labelled dataset with the bundled weights, loads it and draws a contact sheet
#   make test   runs the tests
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
DEMO_ROWS ?= 64
DATASETS36 := .venv-datasets36/.installed
FIDELITY := .torch-fidelity

.PHONY: help install demo space test quality clean

help:
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 17

install: $(INSTALLED)  ## create .venv and install the project in it

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 14), sys.version' || \
		{ echo "SynFundus needs Python 3.11 to 3.13. Name another one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(INSTALLED)  ## generate a small dataset with the bundled weights and draw a contact sheet
	$(BIN)/python -m dataset_script.generate --num-rows $(DEMO_ROWS) --out synfundus-1m
	$(BIN)/python -m dataset_script.contact_sheet synfundus-1m --out contact-sheet.png

space: $(INSTALLED)  ## serve the Space on this machine with the bundled weights
	$(BIN)/python space/app.py

# The tests of a file run in one process and share fixtures. tests/conftest.py starts the longest file first. Two
# environments beside .venv are for comparisons: datasets 3.6 runs the loading script, torch-fidelity has the same metrics.
# A process that crashes is not started again: pytest-xdist would wait for it for ever.
test: $(INSTALLED) $(DATASETS36) $(FIDELITY)/.installed  ## run all tests
	PYTHONPATH=$(CURDIR)/$(FIDELITY) $(BIN)/python -m pytest -n logical --maxprocesses 4 \
		--max-worker-restart 0 --dist loadfile --no-loadscope-reorder

$(DATASETS36): Makefile
	$(PYTHON) -m venv .venv-datasets36
	.venv-datasets36/bin/pip install --quiet --disable-pip-version-check \
		datasets==3.6.0 huggingface_hub==2.4.0 numpy==2.4.6 pandas==3.1.1 pillow==12.3.0 pyarrow==26.0.1
	@touch $@

# Without its dependencies: torchvision must match the build of torch, and the compared functions do not use it.
$(FIDELITY)/.installed: Makefile | $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(FIDELITY) torch-fidelity==0.4.0
	rm -rf $(FIDELITY)/tests  # its own, which would hide ours
	@touch $@

quality: $(INSTALLED)  ## lint, check types and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports --no-logo --no-cache

clean:  ## remove the results of the commands above, except training runs
	rm -rf .venv .venv-datasets36 $(FIDELITY) synfundus-1m contact-sheet.png
