# make install  build .venv
# make test     everything that is checked
# make lab      Jupyter, in .venv
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install test lab

install: .venv/installed

# The environment is built anew only when what it is made from has changed.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[course,dev]'
	touch $@

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

lab: install
	$(BIN)/jupyter lab
