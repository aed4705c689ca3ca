# make demo     pretrain a BERT on real text, fill blanks, draw its attention
# make test     everything that is checked
# make lab      Jupyter, in .venv
# make install  build .venv alone
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test lab

install: .venv/installed

# The environment is built anew only when what it is made from has changed.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[course,dev]'
	touch $@

demo: install
	$(BIN)/minibert demo

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

lab: install
	$(BIN)/jupyter lab
