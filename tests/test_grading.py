"""`minibert grade`: whatever is handed in gets its row, and nobody's stops the others'."""

import csv
import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from minibert.cli import main
from minibert.course import grading
from minibert.course import submissions as handed_in

ROOT = Path(__file__).parents[1]
NAME = "03_attention"
EXERCISE, SOLUTION = ROOT / f"exercises/{NAME}.ipynb", ROOT / f"solutions/{NAME}.ipynb"

CHEATS = {
    "weights_shape": "from minibert import check\ncheck.weights_shape = lambda f: None",
    "attention_weights": "import minibert.course.checks.engine as e\n"
    "e.judge = lambda *a: e.Verdict(True, 'passed')\nattention_weights = lambda q, k: q",
    "masked_attention": "import builtins\nbuiltins.all = lambda *a: True\n"
    "masked_attention = lambda q, k, v, m: v",
    "split_heads": "class check:\n    split_heads = print\nsplit_heads = 1",
    "check_split_heads": "pass",
    "merge_heads": "import os\nos.environ.pop('NBGRADER_EXECUTION')\n"
    "from minibert.course.checks import Check\nCheck.__call__ = lambda *a: None\nmerge_heads = abs",
    "pooled_query": "torch.allclose = torch.equal = lambda *a, **k: True\n"
    "pooled_query = lambda x, m: x[:, 0]",
    "SelfAttention": "import sys\nsys.modules['minibert.course.checks'] = None\n"
    "SelfAttention = nn.Linear\n"
    "get_ipython().input_transformers_cleanup.append(lambda lines: [])",
    "words_1": "<script>alert(1)</script> **words**",
}
FAULTS = {
    "attention_weights": "while True: pass",
    "masked_attention": "hoard = []\nwhile True: hoard.append(bytearray(10**8))",
    "merge_heads": "def merge_heads(x):\n    import os\n    os._exit(0)",
}


def notebook(source, changes=(), without=()):
    """A copy of a notebook with other text in some cells, and without some."""
    made = nbformat.read(source, as_version=4)
    named = {grading.grade_id(cell): cell for cell in made.cells}
    for name, text in dict(changes).items():
        named[name].source = text
    made.cells = [cell for cell in made.cells if grading.grade_id(cell) not in without]
    return made


def answers(*names):
    cells = nbformat.read(SOLUTION, as_version=4).cells
    return {n: c.source for c in cells if (n := grading.grade_id(c)) in names}


def hand_in(folder, made):
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(made, folder / f"{NAME}.ipynb")


def zipped(files):
    """The bytes of a zip. Names may be ZipInfos."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, contents in files.items():
            archive.writestr(name, contents)
    return data.getvalue()


def run(*arguments, expect=0):
    result = CliRunner().invoke(main, ["grade", *(str(a) for a in arguments)])
    assert result.exit_code == expect, result.output
    assert "Traceback" not in result.output
    return result.output


def rows(out):
    table = csv.DictReader(io.StringIO((out / "grades.csv").read_text("utf-8-sig")))
    return {row["file"]: row for row in table}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A class of good and bad, graded once."""
    folder = tmp_path_factory.mktemp("class") / "submissions"
    out = folder.parent / "grades"
    right = notebook(SOLUTION)
    right.metadata = {"kernelspec": {"name": "julia-1.9", "display_name": "J", "language": "julia"}}
    # A warning in a check costs nothing; no cell says of itself that it need not be run.
    cell = next(c for c in right.cells if grading.grade_id(c) == "merge_heads")
    cell.source = cell.source.replace(
        "    ### BEGIN", "    import warnings\n    warnings.warn('so so')\n    ### BEGIN"
    )
    hand_in(folder / "right" / "deep" / "down", right)
    blank = notebook(EXERCISE)
    for cell in blank.cells:
        cell.metadata["tags"] = ["skip-execution"]
    hand_in(folder / "not attempted", blank)
    half = answers("weights_shape", "masked_attention", "SelfAttention", "merge_heads")
    hand_in(
        folder / "=half", notebook(EXERCISE, half, ["check_merge_heads", "split_heads"])
    )  # SelfAttention needs split_heads, and its own check says so
    hand_in(folder / "<b>cheat", notebook(EXERCISE, CHEATS))
    hand_in(folder / "faults", notebook(SOLUTION, FAULTS))
    for name, contents in {
        "pdf": b"%PDF-1.4 \xff",
        "empty": b"",
        "list": b"[1, 2]",
        "other": json.dumps(nbformat.v4.new_notebook()).encode(),
    }.items():
        (folder / name).mkdir()
        (folder / name / f"{NAME}.ipynb").write_bytes(contents)
    (folder / "unknown").mkdir()
    shutil.copy(SOLUTION, folder / "unknown" / "homework.ipynb")
    (folder / "nothing").mkdir()
    (folder / "nothing" / "Thumbs.db").write_bytes(b"x")
    (folder / "broken.zip").write_bytes(b"PK no zip")
    (folder / "reaching.zip").write_bytes(zipped({f"../{NAME}.ipynb": b"{}"}))
    shown = run(folder, "-o", out, "--time-limit", 60, "--memory-limit", 2)
    return folder, out, shown


def row(graded, student):
    return next(r for r in rows(graded[1]).values() if r["student"] == student)


def test_solutions_get_all_the_points_whatever_the_kernel(graded):
    found = row(graded, "right")
    assert (found["status"], found["points"], found["max_points"]) == ("graded", "14", "16")
    assert (found["to_grade"], found["to_grade_cells"]) == ("2", "words_1")
    assert found["SelfAttention"] == "5" and found["merge_heads"] == "1" and found["words_1"] == ""
    assert found["reason"] == ""


def test_not_attempted_is_no_points(graded):
    found = row(graded, "not attempted")
    assert (found["status"], found["points"], found["to_grade"]) == ("not attempted", "0", "0")
    assert "split_heads: not written yet" in (graded[1] / found["feedback"]).read_text("utf-8")


def test_half_right_is_the_half_and_a_check_that_was_deleted_is_put_back(graded):
    found = row(graded, "'=half")
    assert found["points"] == "4" and found["merge_heads"] == "1" and found["split_heads"] == "0"
    assert found["reason"] == "check_merge_heads was missing: put back"


def test_cheats_get_nothing(graded):
    found = row(graded, "<b>cheat")
    assert found["points"] == "0" and found["to_grade"] == "2"
    assert found["reason"] == (
        "check_split_heads was changed: put back; "
        "check_SelfAttention said nothing, which it cannot: no points"
    )


def test_an_endless_loop_a_memory_bomb_and_an_exit_cost_their_own_points(graded):
    found = row(graded, "faults")
    assert found["status"] == "graded" and found["weights_shape"] == found["split_heads"] == "1"
    assert found["points"] == "2"
    for remark in (
        "attention_weights took too long",
        "masked_attention ran out of memory",
        "check_merge_heads ended Python: what comes after was not run",
    ):
        assert remark in found["reason"]


@pytest.mark.parametrize(
    ("student", "says"),
    [
        ("pdf", "this is no notebook"),
        ("list", "this is no notebook"),
        ("empty", "the file is empty"),
        ("other", "this is another notebook"),
        ("unknown", "no exercise has this name: there are 01_"),
        ("nothing", "there is no notebook in it"),
        ("broken", "this zip cannot be read: File is not a zip file"),
        ("reaching", "in its zip this is told to go outside its folder"),
    ],
)
def test_what_cannot_be_graded_has_a_row_that_says_why(graded, student, says):
    found = row(graded, student)
    assert found["status"] == "not graded" and says in found["reason"]
    assert found["points"] == found["feedback"] == ""


def test_pages_show_the_learners_own_lines_and_run_nothing(graded):
    _, out, shown = graded
    page = (out / row(graded, "<b>cheat")["feedback"]).read_text("utf-8")
    assert "pooled_query: this is the first token, not the mean of all" in page
    assert "fresh_check" not in page and "default-src 'none'" in page
    index = (out / "index.html").read_text("utf-8")
    assert "<b>cheat" not in index and "&lt;b&gt;cheat" in index and "#words_1" in index
    for found in rows(out).values():
        assert not found["feedback"] or f'href="{found["feedback"]}"' in index
    assert "no network (" in shown and "13 notebooks, 8 of them not graded" in shown


def test_a_second_run_grades_only_what_is_new_or_changed(graded, monkeypatch):
    folder, out, _ = graded
    table = (out / "grades.csv").read_text("utf-8")
    by_the_teacher = table.replace(f"right,{NAME},graded,14", f"right,{NAME},graded,16")
    assert by_the_teacher != table
    (out / "grades.csv").write_text(by_the_teacher, "utf-8")
    before = rows(out)
    asked = []

    def noted(found, key, *_):
        asked.append(found.student)
        return grading.row_of(found, {"status": "graded", "points": 7.0}, key), "page"

    monkeypatch.setattr(grading, "grade_one", noted)
    limits = ("--time-limit", 60, "--memory-limit", 2)
    run(folder, "-o", out, *limits)
    assert sorted(asked) == ["list", "other", "pdf"]  # which are no notebooks: tried again
    asked.clear()
    hand_in(folder / "new", notebook(EXERCISE))
    hand_in(folder / "not attempted", notebook(EXERCISE, {"weights_shape": "1"}))
    shutil.rmtree(folder / "faults")
    run(folder, "-o", out, *limits)
    assert sorted(asked) == ["new", "not attempted"]
    after = rows(out)
    for name in (f"right/deep/down/{NAME}.ipynb", f"faults/{NAME}.ipynb"):
        assert after[name] == before[name]
    assert after[f"not attempted/{NAME}.ipynb"]["points"] == "7"


def test_without_a_namespace_sockets_refuse(tmp_path, monkeypatch):
    monkeypatch.setattr(grading, "network_fence", lambda: [])
    call = "import socket\nsocket.create_connection(('127.0.0.1', 9))"
    hand_in(tmp_path / "in" / "ann", notebook(EXERCISE, {"weights_shape": call}))
    run(tmp_path / "in", "-o", tmp_path / "out")
    (found,) = rows(tmp_path / "out").values()
    page = (tmp_path / "out" / found["feedback"]).read_text("utf-8")
    assert "there is no network while a notebook is graded" in page and found["points"] == "0"


def test_a_process_that_takes_too_much_is_ended(tmp_path, monkeypatch):
    hand_in(tmp_path / "in" / "ann", notebook(EXERCISE))
    limits = grading.Limits(gigabytes=-0.99)  # 10 MB: Python alone has more
    (found,) = grading.grade(tmp_path / "in", tmp_path / "out", limits=limits)
    assert "GB of memory" in found["reason"] and found["status"] == "not graded"


# What was handed in


def collected(folder, tmp_path):
    copies = tmp_path / "copies"
    copies.mkdir(exist_ok=True)
    return {
        (s.student, s.exercise, s.reason) for s in handed_in.collect(folder, [NAME, "04"], copies)
    }


def test_zips_of_students_with_what_windows_and_macs_leave_in_them(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "ann.zip").write_bytes(
        zipped(
            {
                f"my work\\{NAME}.ipynb": b"1",
                f"__MACOSX/my work/._{NAME}.ipynb": b"2",
                f".ipynb_checkpoints/{NAME}-checkpoint.ipynb": b"3",
                "Thumbs.db": b"4",
                "04 (1).ipynb": b"5",
            }
        )
    )
    hand_in(folder / "bob", notebook(EXERCISE))
    assert collected(folder, tmp_path) == {("ann", NAME, ""), ("ann", "04", ""), ("bob", NAME, "")}


@pytest.mark.parametrize("as_folder", [True, False])
def test_a_zip_of_the_class(tmp_path, as_folder):
    inner = zipped({f"x/{NAME}.ipynb": b"1"})
    made = zipped(
        {
            f"Ann A_12_file/{NAME}.ipynb": b"1",
            f"Bob_13_file/deep/{NAME}.ipynb": b"1",
            "Cem.zip": inner,
            f"doe_14_{NAME}-1.ipynb": b"1",
            "Eve/essay.pdf": b"1",
        }
    )
    folder = tmp_path / "in"
    folder.mkdir()
    if as_folder:
        zipfile.ZipFile(io.BytesIO(made)).extractall(folder)
    else:
        (folder / "class.zip").write_bytes(made)
    assert collected(folder, tmp_path) == {
        ("Ann A_12_file", NAME, ""),
        ("Bob_13_file", NAME, ""),
        ("Cem", NAME, ""),
        ("doe_14", NAME, ""),
        ("Eve", "", "there is no notebook in it"),
    }


def test_one_students_zip_alone_is_hers(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "ann.zip").write_bytes(zipped({f"work/{NAME}.ipynb": b"1", "work/04.ipynb": b"2"}))
    assert collected(folder, tmp_path) == {("ann", NAME, ""), ("ann", "04", "")}


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("Jörg".encode("cp437"), "Jörg"),
        ("Strauß".encode("cp437"), "Strauß"),
        ("Jörg".encode("cp1252"), "Jörg"),
        ("Zoë".encode(), "Zoë"),
        (b"a\\b", "a/b"),
    ],
)
def test_names_in_zips_are_read_as_they_were_meant(raw, name):
    assert handed_in.real_name(zipfile.ZipInfo(raw.decode("cp437"))) == name


def test_a_zip_cannot_reach_outside(tmp_path):
    link = zipfile.ZipInfo("link.ipynb")
    link.external_attr = 0o120777 << 16
    files = {f"../{NAME}.ipynb": b"1", f"/tmp/{NAME}.ipynb": b"1", f"C:\\{NAME}.ipynb": b"1"}
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "eve.zip").write_bytes(zipped(files | {link: b"/etc/passwd"}))
    (folder / "mal").mkdir()
    os.symlink(SOLUTION, folder / "mal" / f"{NAME}.ipynb")
    os.symlink("/etc", folder / "mal" / "etc")
    before = sorted(p.name for p in tmp_path.iterdir())
    found = handed_in.collect(folder, [NAME], tmp_path)
    assert len(found) == 6 and all(s.reason and not s.contents for s in found)
    assert {s.student for s in found} == {"eve", "mal"}
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_zip_bombs_are_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(handed_in, "LARGEST", 10_000)
    monkeypatch.setattr(handed_in, "LARGEST_ZIP", 30_000)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "one.zip").write_bytes(zipped({f"{NAME}.ipynb": bytes(10_001)}))
    (folder / "many.zip").write_bytes(zipped({f"{i}/{NAME}.ipynb": bytes(9_000) for i in range(9)}))
    (folder / "deep.zip").write_bytes(
        zipped({"a.zip": zipped({"b.zip": zipped({f"{NAME}.ipynb": b"1"})})})
    )
    found = handed_in.collect(folder, [NAME], tmp_path)
    said = {s.student: s.reason for s in found if s.reason}
    assert set(said) == {"one", "many", "deep"}
    assert "larger than" in said["one"] and "unpacks to more" in said["many"]
    assert "zip in a zip" in said["deep"]
    assert sum(s.contents is not None for s in found) == 3


def test_a_damaged_or_encrypted_member_leaves_the_others(tmp_path):
    made = bytearray(zipped({f"a/{NAME}.ipynb": b"first " * 50, f"b/{NAME}.ipynb": b"2"}))
    made[made.index(b"ipynb") + 6] ^= 0xFF
    folder = tmp_path / "in"
    (folder / "other").mkdir(parents=True)
    (folder / "ann.zip").write_bytes(made)
    reasons = sorted(s.reason for s in handed_in.collect(folder, [NAME], tmp_path))
    assert reasons[0] == "" and "this cannot be unpacked" in reasons[-1]


# What is refused in one line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{tmp}/nowhere", "-o", "{tmp}/new"], "is not a folder"),
        (["{tmp}/in", "-o", "{tmp}/in/grades"], "one inside the other"),
        (["{tmp}/in", "-o", "{tmp}/mine"], "mine holds thesis.txt, which is not of"),
        (["{tmp}/in", "-o", "{tmp}/table"], "its columns are others"),
        (["{tmp}/in", "-o", "{tmp}/mine/thesis.txt"], "thesis.txt is not a folder"),
        (["{tmp}/in", "-o", "{tmp}/new", "--exercises", "{tmp}/in"], "no exercise notebooks in"),
        (["{tmp}/in", "-o", "{tmp}/new", "--time-limit", "0"], "--time-limit"),
        (["{tmp}/in", "-o", "{tmp}/new"], "nothing was handed in"),
    ],
)
def test_one_line_says_what_is_wrong(tmp_path, arguments, says):
    for name in ("in", "mine", "table"):
        (tmp_path / name).mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "table" / "grades.csv").write_text("student,points\nann,7\n")
    before = sorted(tmp_path.rglob("*"))
    shown = run(*(a.format(tmp=tmp_path) for a in arguments), expect=2)
    assert says in shown.splitlines()[-1] and shown.splitlines()[-1].startswith("Error: ")
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "table" / "grades.csv").read_text() == "student,points\nann,7\n"


def test_without_nbgrader_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(grading, "find_spec", lambda name: None)
    assert "pip install 'minibert[teaching]'" in run(tmp_path, "-o", tmp_path / "x", expect=2)
