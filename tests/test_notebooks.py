"""The notebooks' form, and the comparison that their outputs are held to: does it bite?"""

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbclient import NotebookClient

from minibert.course import checks
from tests.notebooks import difference, shown

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

import run_notebooks  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# Cells whose output is not compared: (notebook, how the cell begins) and why. Training runs are
# shorter in tests than for a learner (MINIBERT_PROFILE=smoke); a later cell asserts what holds in
# both.
SHORTER = "its numbers are those of a training run that is shorter in tests"
FEWER = "its numbers are those of 4 texts in tests, not 40; a cell before compares 2 of each way"
DRAWS = "its numbers are those of 4 losses in tests, not 30; a cell before compares the draws"
SPLITS = "its numbers are those of one split in tests, not five; what holds in both is asserted"
TIMES = "it shows times, of this machine and this hour"
ELSEWHERE = "it names the run of chapter 6 and real weights, where they are"
IGNORED = {
    ("02_embeddings", "STEPS, SEEDS = (40, (0,)) if SMOKE else (240, (0, 1))"): SHORTER,
    (
        "02_embeddings",
        "groups = [50 * group + torch.randperm(50, generator=generator) for group in range(20)]",
    ): SHORTER,
    ("06_pretraining", "history = read_history(RUN)"): SHORTER,
    (
        "06_pretraining",
        'print(f"{\'\':20}" + "".join(f"{name:>14}" for name in at_the_end))',
    ): SHORTER,
    ("06_pretraining", "figure, ax = plot(height=3.2)"): SHORTER,
    (
        "06_pretraining",
        "slow = [(i + 10, np.mean(mlm_losses[i : i + 20])) for i in range(0, len(mlm_losses), 20)]",
    ): SHORTER,
    (
        "06_pretraining",
        'for name, model in (("original", original), ("fast", minibert.load(RUN)[0])):',
    ): SHORTER,
    ("06_pretraining", "for step, at in snapshots.items():"): SHORTER,
    (
        "06_pretraining",
        'dropout = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}',
    ): SHORTER,
    ("06_pretraining", "trained = minibert.load(RUN)[0]"): SHORTER,
    ("06_pretraining", "from minibert.inference.fill_mask import fill_mask"): SHORTER,
    ("06_pretraining", 'own = np.array(found["BERT"])'): SHORTER,
    ("07_seeing_attention", "from minibert.pretraining import run_data"): SHORTER,
    ("07_seeing_attention", "history = {"): SHORTER,
    ("07_seeing_attention", "last = history[max(history)]"): SHORTER,
    (
        "07_seeing_attention",
        "own, own_tokenizer = minibert.load(snapshots[max(snapshots)])",
    ): SHORTER,
    ("08_fine_tuning", "flattery = {}"): SPLITS,
    ("08_fine_tuning", "figure, ax = plot(height=2.4)"): SPLITS,
    ("08_fine_tuning", "third = math.ceil(len(losses) / 3)"): SHORTER,
    ("08_fine_tuning", "figure, ax = plot(height=2.1)"): SHORTER,
    ("08_fine_tuning", "for name, (body, _) in bodies.items():"): ELSEWHERE,
    (
        "08_fine_tuning",
        'ONCE = [name for name in bodies if name in ("your own run", "MiniLM")]',
    ): SHORTER,
    ("08_fine_tuning", "from minibert.finetuning.metrics import interval"): SHORTER,
    ("08_fine_tuning", "figure, ax = plot(width=7.4, height=3.6)"): SHORTER,
    ("08_fine_tuning", "confusion = np.zeros((3, 3), int)"): SHORTER,
    ("08_fine_tuning", "figure, ax = plot(width=4, height=3)"): SHORTER,
    ("08_fine_tuning", "def answer(model):"): TIMES,
    (
        "08_fine_tuning",
        "print(f\"{ROWS} rows{'':11}accuracy        macro F1       points more than full\")",
    ): SHORTER,
    (
        "08_fine_tuning",
        'full = BertForSequenceClassification.from_bert(bert, task.labels, pooling="mean")',
    ): TIMES,
    ("08_fine_tuning", "one_body = adapted(4)"): SHORTER,
    (
        "08_fine_tuning",
        'guessed = {"years as they are": learn_year(False), "standard units": learn_year(True)}',
    ): SHORTER,
    ("08_fine_tuning", "figure, axes = plot(columns=2, width=9, height=3.4)"): SHORTER,
    ("08_fine_tuning", "print(f\"{'':36}{'accuracy':>9}{'macro F1':>10}\")"): SHORTER,
    ("08_fine_tuning", "(found,) = predict(tagger, tokenizer, [row], 64)"): SHORTER,
    ("08_fine_tuning", "print(f\"{'':34}{'F1':>6}{'exact':>8}\")"): SHORTER,
    (
        "08_fine_tuning",
        "(feature, *_) = make_features([row], cloze.kind, (), tokenizer, 96)",
    ): SHORTER,
    (
        "08_fine_tuning",
        "chooses = lambda data: BertForMultipleChoice.from_bert(bert)",
    ): SHORTER,
    ("08_fine_tuning", "from minibert.finetuning.run import finetune"): SHORTER,
    (
        "09_generation",
        "print(f\"{'perplexity':25}{'by counting':>26}{'by itself':>26}\")",
    ): FEWER,
    ("09_generation", "figure, axes = plot(columns=2, width=10.5, height=4)"): FEWER,
    ("09_generation", "def paired(name, other):"): FEWER,
    ("09_generation", 'for name in ("presidents", "counting: chain"):'): FEWER,
    ("09_generation", "from minibert.finetuning.metrics import interval"): SHORTER,
    ("09_generation", "@torch.no_grad()"): SHORTER,
    (
        "10_distillation",
        "def soft_run(teacher_learns, steps=4 if SMOKE else 20):",
    ): SHORTER,
    ("10_distillation", "def one_step(way):"): TIMES,
    (
        "10_distillation",
        "for name, reached in sorted(results.items(), key=lambda pair: np.mean(pair[1])):",
    ): SHORTER,
    (
        "10_distillation",
        "order = sorted(results, key=lambda name: np.mean(results[name]))",
    ): SHORTER,
    (
        "10_distillation",
        "million = {name: (w / 1e6, r / 1e6) for name, (w, _, r) in sizes.items()}",
    ): TIMES,
    ("10_distillation", "panels = {"): TIMES,
    ("10_distillation", 'taught = means["soft targets and states"]'): SHORTER,
    ("11_real_bert", 'curves = {"real weights": train(model, 3e-4)}'): SHORTER,
    (
        "11_real_bert",
        "counting = CountBaselines(training.tokens, tokenizer.vocab_size).accuracy(measure_on)",
    ): SHORTER,
    ("11_real_bert", "figure, ax = plot(width=7.4, height=3.2)"): SHORTER,
    ("11_real_bert", "def search(body):"): SHORTER,
    ("11_real_bert", "def speed(dtype, size=1024, repeats=10):"): TIMES,
    ("11_real_bert", "years = total / HERE / 3600 / 24 / 365"): TIMES,
    ("11_real_bert", "for name, at, ((x, y), (test, answers)) in ("): SHORTER,
    ("11_real_bert", "for lr in (3e-4, 3e-3):"): SHORTER,
    ("12_diffusion", "seeds = range(4 if SMOKE else 30)"): DRAWS,
    (
        "12_diffusion",
        'print(f"{\'hidden\':16}" + "".join(f"{share:>12.0%}" for share in SHARES))',
    ): SHORTER,
    ("12_diffusion", "figure, axes = plot(columns=2, width=9, height=3.3)"): SHORTER,
    ("12_diffusion", "def held_out_bound(model):"): SHORTER,
    (
        "12_diffusion",
        'writer, generator = models["diffusion"][0], torch.Generator().manual_seed(0)',
    ): SHORTER,
    ("12_diffusion", "for steps in (1, 2, 4, 8):"): SHORTER,
    ("12_diffusion", "for name, these in written.items():"): SHORTER,
    (
        "12_diffusion",
        "print(f\"{'':24}{'perplexity':>11}{'times presidents':>22}{'again %':>9}{'more':>20}\")",
    ): SHORTER,
    ("12_diffusion", "figure, axes = plot(columns=2, width=9, height=3.4)"): SHORTER,
    ("12_diffusion", 'for way in ("ancestral", "left to right", "mask-predict"):'): SHORTER,
    ("12_diffusion", "def token_mean(model, ids, labels):"): SHORTER,
    ("12_diffusion", "number = 2 if SMOKE else 32"): SHORTER,
    ("12_diffusion", 'HOLES = f"{A} We" + " [MASK]" * 4 + " and fished."'): SHORTER,
    ("12_diffusion", 'for name, model in (("before", base), ("diffusion", writer)):'): SHORTER,
    (
        "12_diffusion",
        "print(f\"{'':12}{'after the river':>20}{'after the money':>22}\")",
    ): SHORTER,
    ("13_modern_encoder", "costs = {}"): TIMES,
    ("13_modern_encoder", "with torch.no_grad():"): TIMES,
    (
        "13_modern_encoder",
        "step_ms = {name: one_step(make(name, seed=0)) for name in NAMES}",
    ): TIMES,
    ("13_modern_encoder", 'table((*ALONE, "all"), "BERT")'): SHORTER,
    (
        "13_modern_encoder",
        "steps = np.arange(EVERY, STEPS + 1, EVERY)  # when we measured",
    ): SHORTER,
    ("13_modern_encoder", 'table((*WITH_ROPE, "all"), "RoPE")'): SHORTER,
    ("13_modern_encoder", "seconds = min(step_ms.values()) * STEPS / 1000"): SHORTER,
    ("13_modern_encoder", "LENGTHS = (64, 128) if SMOKE else (64, 128, 512, 2048)"): SHORTER,
    ("13_modern_encoder", "accuracy = {"): SHORTER,
    (
        "13_modern_encoder",
        "long = measure_on(128 if SMOKE else 2048, batches=1 if SMOKE else 8)",
    ): SHORTER,
    (
        "13_modern_encoder",
        "print(f\"{'':21}alone      after the speech   with windows\")",
    ): SHORTER,
}


# The comparison


@pytest.mark.parametrize(
    ("reference", "new"),
    [
        ("loss 3.77", "loss 3.77"),
        ("loss 3.77", "loss 3.79"),  # two units of the last digit
        ("loss 3.77", "loss 3.75"),
        ("tensor([1.9999, 2.])", "tensor([2.0001, 2.])"),
        ("1.99996", "2.00001"),  # 1e-4 of the size
        ("12345.6", "12346.7"),
        ("3.2e-03", "3.3e-03"),
        ("a  b\nc", "a b\nc"),  # a longer number moves columns
        ("-0.0000", "0.0001"),
    ],
)
def test_rounding_passes(reference, new):
    assert difference(reference, new) is None


@pytest.mark.parametrize(
    ("reference", "new"),
    [
        ("loss 3.77", "loss 3.80"),
        ("loss 3.77", "loss -3.77"),
        ("loss 0.52", "loss -0.52"),
        ("512 tokens", "513 tokens"),
        ("torch.Size([2, 3, 4])", "torch.Size([2, 4, 3])"),
        ("torch.Size([2, 3])", "torch.Size([2, 3, 1])"),
        ("the cat", "the hat"),
        ("accuracy 37 %", "accuracy 38 %"),
        ("3.2e-03", "3.2e-02"),
        ("3.2e-03", "3.6e-03"),
        ("nan", "0.5"),
        ("True", "False"),
        ("layer1.weight 3", "layer2.weight 3"),
        ("1.0", "1"),
        ("equal", "equal\nequal"),
    ],
)
def test_more_than_rounding_does_not(reference, new):
    assert difference(reference, new) is not None


@pytest.mark.parametrize("kind", ["image/png", "image/svg+xml", "application/octet-stream"])
def test_bytes_are_not_compared_and_words_are(kind):
    """Fonts and rounding change the bytes of a picture and of an explorer's weights."""

    def seen(data, alt):
        page = f'<img src="data:{kind};base64,{data}" alt="{alt}">'
        return shown([nbformat.v4.new_output("display_data", {"text/html": page})], quiet=False)

    assert seen("iVBORw0/+w==", "two heads") == seen("PHN2Zy", "two heads")
    assert seen("iVBORw0/+w==", "two heads") != seen("iVBORw0/+w==", "a head")


SOURCES = (
    "import os\nimport torch",
    "print('the loss is', f'{3.7712:.2f}', 'after', 512, 'steps')",
    "torch.zeros(2, 3).shape",
    "from minibert.viz.style import plot, show\n"
    "show(plot()[0], 'Nothing is shown, at 12.5 % of its height.')",
    "raise ValueError('three heads')",
    "1 + 1;",
    "import sys\nprint('progress', file=sys.stderr)",
)


def shows(old, new):
    """A change of a cell: in what it shows, one text in the place of another."""

    def change(cell):
        stored = json.dumps(cell.outputs)
        assert old in stored
        cell.outputs = nbformat.from_dict(json.loads(stored.replace(old, new)))

    return change


CHANGED_CELLS = {  # a number of `SOURCES`, and what is done to the cell's stored outputs
    "number": (1, shows("3.77", "3.81")),
    "sign": (1, shows("3.77", "-3.77")),
    "integer": (1, shows("512", "511")),
    "word": (1, shows("the loss", "a loss")),
    "shape": (2, shows("[2, 3]", "[3, 2]")),
    "alt_text": (3, shows("12.5", "13.5")),
    "error": (4, shows("three", "four")),
    "missing": (2, lambda cell: cell.update(outputs=[])),
    "unasked": (0, lambda cell: cell.outputs.append(nbformat.v4.new_output("stream", text="1"))),
}
CHANGED_NOTEBOOKS = {
    "not_run": lambda notebook: notebook.cells[1].update(execution_count=None, outputs=[]),
    "out_of_order": lambda notebook: notebook.cells[1].update(execution_count=9),
    "dead": lambda notebook: notebook.cells[1].update(source="import os\nos._exit(1)"),
}


def write_numbered(cells, path, change=lambda _: None):
    """A notebook of copies of these cells, as if they had run one after the other."""
    copies = [copy.deepcopy(cell) for cell in cells]
    for number, cell in enumerate(copies, 1):
        cell.update(id=f"cell-{number}", execution_count=number)
    notebook = nbformat.v4.new_notebook(cells=copies)
    change(notebook)
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """What pytest says of a small notebook's cells and their altered copies, which come after them
    in `cells.ipynb`, and of altered copies of two cells."""
    folder = tmp_path_factory.mktemp("notebooks")
    cells = [nbformat.v4.new_code_cell(source) for source in SOURCES]
    cells[4].metadata.tags = ["raises-exception"]
    NotebookClient(nbformat.v4.new_notebook(cells=cells), kernel_name="python3").execute()
    changed = []
    for number, change in CHANGED_CELLS.values():
        changed.append(copy.deepcopy(cells[number]))
        change(changed[-1])
    write_numbered(cells + changed, folder / "cells.ipynb")
    for name, change in CHANGED_NOTEBOOKS.items():
        write_numbered([cells[1]] * 3, folder / f"{name}.ipynb", change)
    options = "--nbval -p tests.notebooks -o addopts= -rA -n 0 --continue-on-collection-errors"
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--color=no", *options.split(), str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=200,
    ).stdout


def test_the_plain_command_compares_as_we_do():
    """`pytest --nbval FILE`, typed in the repository, without further options."""
    pytest_itself = Path(sys.executable).with_name("pytest")
    shown = subprocess.run(
        [pytest_itself, "--nbval", "--collect-only", "-v", "-n0", "notebooks/03_attention.ipynb"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        timeout=100,
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "<Notebook 03_attention.ipynb>" in shown.stdout, shown.stdout


def outcomes(verdicts, name):
    """How a notebook's cells ended, in order; or how the whole of it did."""
    line = rf"^(PASSED|FAILED|ERROR) \S*\b{name}\.ipynb(?:::Cell (\d+))?"
    found = re.findall(line, verdicts, re.MULTILINE)
    return [how for how, _ in sorted(found, key=lambda pair: int(pair[1] or 0))]


def test_what_did_not_change_passes(verdicts):
    assert outcomes(verdicts, "cells")[: len(SOURCES)] == ["PASSED"] * len(SOURCES), verdicts


@pytest.mark.parametrize("name", CHANGED_CELLS)
def test_what_changed_fails(verdicts, name):
    number = len(SOURCES) + list(CHANGED_CELLS).index(name)
    assert outcomes(verdicts, "cells")[number] == "FAILED", verdicts


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("not_run", ["ERROR"]),
        ("out_of_order", ["ERROR"]),
        ("dead", ["PASSED", "FAILED", "FAILED"]),
    ],
)
def test_a_notebook_that_did_not_run_to_its_end_fails(verdicts, name, expected):
    assert outcomes(verdicts, name) == expected, verdicts


# The form


@pytest.fixture(params=NOTEBOOKS, ids=lambda file: file.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def prose(notebook):
    return "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


def test_a_chapter_opens_and_ends_as_all_do(notebook):
    text = prose(notebook)
    first = notebook.cells[0].source
    for part in ("# ", "**You will be able to**", "**Time**", "**You need**"):
        assert part in first, part
    for part in ("## Mistakes people make here", "## Summary", "**Read on.**", "**Next"):
        assert part in text, part
    summary = re.search(r"## Summary\n(.*?)\*\*Read on", text, re.DOTALL)[1].strip().splitlines()
    assert 1 <= len(summary) <= 5 and all(line.startswith("- ") for line in summary)


def test_code_cells_are_short(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 16, cell.source


def test_pictures_have_alt_text(notebook):
    pages = [
        output["data"]["text/html"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "text/html" in output.get("data", {})
    ]
    images = [tag for page in pages for tag in re.findall(r"<img [^>]*>", page)]
    assert images, "a chapter has a picture"
    for tag in images:
        assert len(re.search(r'alt="([^"]*)"', tag)[1]) > 30
    raw = [
        o for c in notebook.cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})
    ]
    assert not raw, "show() writes alt text, which image/png has no place for"


def test_links_lead_somewhere(notebook):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", prose(notebook)):
        if not target.startswith("http"):
            assert (ROOT / "notebooks" / target).exists(), target


def test_every_cell_that_is_not_compared_is_listed(request):
    found = {
        (file.stem, cell.source.splitlines()[0])
        for file in NOTEBOOKS
        for cell in nbformat.read(file, as_version=4).cells
        if cell.cell_type == "code"
        and ("nbval" in str(cell.metadata.get("tags", "")) or "NBVAL" in cell.source)
    }
    assert found == set(IGNORED)


def test_notebooks_are_tidy(notebook):
    """As `make notebooks` leaves them: a diff shows what changed and nothing else."""
    assert [c.id for c in notebook.cells] == [f"cell-{i:02}" for i in range(len(notebook.cells))]
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags", "slideshow", "jupyter"}
        folded = cell.metadata.get("jupyter") == {"source_hidden": True}
        assert folded == ("hide-input" in cell.metadata.get("tags", ()))
        if cell.cell_type == "code":
            assert all(o.get("name") != "stderr" for o in cell.outputs)
            assert "widget-view" not in str(cell.outputs)


GLOSSARY = [
    entry.split("\n", 1)
    for entry in (ROOT / "docs" / "glossary.md").read_text("utf-8").split("\n## ")[1:]
]


def anchor(heading):
    """The address of a heading, as every renderer of Markdown makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize(("term", "text"), GLOSSARY, ids=lambda part: part.split("\n")[0])
def test_a_term_of_the_glossary_stands_where_it_says(term, text):
    """In the text of the first chapter that is linked, in one of its spellings."""
    (file, *_) = re.findall(r"\]\(\.\./notebooks/([^)]+)\)", text)
    said = " ".join(prose(nbformat.read(ROOT / "notebooks" / file, as_version=4)).split())
    said = said.replace("`", "").lower()
    spellings = re.split(r", | \(|\)", term.replace("`", "").lower())
    assert any(spelling in said for spelling in spellings if spelling)


def test_links_to_the_glossary_find_their_term(notebook):
    anchors = {anchor(term) for term, _ in GLOSSARY}
    linked = set(re.findall(r"\(\.\./docs/glossary\.md#([^)]+)\)", prose(notebook)))
    assert linked <= anchors


def test_the_glossary_is_in_order():
    terms = [re.sub(r"[^a-z0-9/]", "", term.lower()) for term, _ in GLOSSARY]
    assert terms == sorted(terms)


# Storing outputs


def test_outputs_are_those_of_a_whole_run(tmp_path, monkeypatch):
    """A chapter that resumes its run begins anew when its outputs are stored."""
    resumes = {
        file.stem
        for file in NOTEBOOKS
        for cell in nbformat.read(file, as_version=4).cells
        if cell.cell_type == "code" and "Session(resume=True" in cell.source
    }
    assert resumes == set(run_notebooks.RESUMED)
    finished = {stem: tmp_path / stem for stem in resumes}
    file = tmp_path / "notebooks" / "06_pretraining.ipynb"
    for folder in (*finished.values(), file.parent):
        folder.mkdir()
    nbformat.write(nbformat.v4.new_notebook(), file)
    found = []
    client = SimpleNamespace(execute=lambda: found.append(finished[file.stem].exists()))
    monkeypatch.setattr(run_notebooks, "RESUMED", finished)
    monkeypatch.setattr(run_notebooks, "NotebookClient", lambda *_, **__: client)
    run_notebooks.run(file)
    assert found == [False]


def test_chapter_0_lists_every_chapter_and_its_minutes():
    listed = re.findall(r"^\| \[?(\d+) · .*\| (\d+) \|$", prose(chapter(0)), re.MULTILINE)
    time = re.compile(r"\*\*Time\*\* (\d+) minutes")
    said = [(str(n), time.search(chapter(n).cells[0].source)[1]) for n in range(len(NOTEBOOKS))]
    assert listed == said


def chapter(number):
    return nbformat.read(NOTEBOOKS[number], as_version=4)


# Blanks


def tagged(notebook, tag):
    return [c for c in notebook.cells if tag in c.metadata.get("tags", ())]


def test_a_blank_says_so_and_its_answer_is_folded_below(notebook):
    """The stored chapter is what a learner opens: empty blanks, and answers that pass."""
    blanks, answers = tagged(notebook, "blank"), tagged(notebook, "answer")
    asked = [re.search(r"^check\.(\w+)\(", c.source, re.MULTILINE)[1] for c in blanks]
    number = int(re.search(r"# (\d+)", notebook.cells[0].source)[1])
    assert asked == [b.name for b in checks.blanks().values() if b.chapter == number]
    for name, blank, answer in zip(asked, blanks, answers, strict=True):
        assert notebook.cells.index(answer) - notebook.cells.index(blank) <= 2
        assert "hide-input" in answer.metadata.tags
        assert blank.outputs[0].text == f"{name}: not written yet\n"
        assert answer.outputs[0].text == f"{name}: passed\n"
        assert f"check.{name}(" in answer.source
        written = len(answer.source.splitlines()) - len(blank.source.splitlines()) + 1
        assert 1 <= written <= 6, f"{name} asks for {written} lines"
