"""The table has a row for each submission, whatever its names are, and no spreadsheet is misled."""

import codecs
import csv
import html.parser
import io

import pytest

from minibert.course import grade_table as table
from minibert.course.submissions import Submission

NAME = "03_attention"
LOOK_THE_SAME = [
    ("ann lee", "ann  lee"),
    ("ann\u00a0lee", "ann lee"),
    ("x" * 400, "x" * 401),
    ("a\x1bb", "a b"),
    ("a\u202eb", "a b"),
    ("a\udcffb", "a\udcfeb"),
    (" ann", "ann"),
    ("=ann", "'=ann"),
    ("\n", "\t"),
]


def rows_of(students, **result):
    found = [Submission(s, NAME, f"{s}/{NAME}.ipynb", None) for s in students]
    return {row["key"]: row for row in (table.row_of(f, result) for f in found)}


def written(folder, rows):
    folder.mkdir(exist_ok=True)
    (folder / "grades.csv").write_text(table.csv_text(rows), "utf-8", newline="")
    return folder


@pytest.mark.parametrize("students", LOOK_THE_SAME, ids=range(len(LOOK_THE_SAME)))
def test_names_that_look_the_same_keep_their_rows_and_pages(tmp_path, students):
    rows = rows_of(students, status="graded", points=1.0)
    assert len(rows) == len({row["feedback"] for row in rows.values()}) == 2
    again = table.read_grades(written(tmp_path, rows))
    assert again == rows and list(again) == list(rows)
    assert table.index_page(rows).count("<tr>") == 3


def test_a_student_has_a_row_for_each_file():
    assert table.key_of("ann", f"ann/{NAME}.ipynb") != table.key_of("ann", "ann/04.ipynb")


def test_a_name_and_a_file_are_not_run_together():
    assert table.key_of("a", "b/c") != table.key_of("a/b", "c")


def test_a_key_is_no_number_for_a_spreadsheet():
    assert all(table.key_of("ann", str(i))[0].isalpha() for i in range(100))


@pytest.mark.parametrize(
    "student", ["ann", "𐌰" * 300, "ß" * 300, "a/b\\c:d?e*f", "", "..", "\udcff"]
)
def test_a_page_has_a_name_that_every_system_allows(student):
    found = Submission(student, NAME * 50, "file.ipynb", None)
    name = table.page_name(found)
    assert len(name.encode()) <= 255 and not set(name) & set('/\\:?*"<>|\udcff') and name[0] != "."


@pytest.mark.parametrize("start", "=+-@")
@pytest.mark.parametrize("blank", ["", " ", "\t", "\r\n"])
def test_no_cell_is_a_formula(start, blank):
    (row,) = rows_of([f"{blank}{start}1+1"], reason=f"{blank}{start}HYPERLINK(1)").values()
    assert row["student"].startswith(f"'{start}") and row["reason"].startswith(f"'{start}")


def test_an_exercise_cannot_take_the_place_of_a_column(tmp_path):
    checks = {"check_points": 1.0, "check_student": 2.0, "check_split": 3.0}
    (row,) = rows_of(["ann"], status="graded", points=6.0, exercises=checks).values()
    assert (row["student"], row["points"], row["split"]) == ("ann", "6", "3")
    assert (row["check_student"], row["check_points"]) == ("2", "1")


def test_spreadsheets_read_utf_8_in_the_order_of_the_class(tmp_path):
    """Excel takes a file for UTF-8 if it begins with the mark for that."""
    students = ["Zoë", "ann", "Bob", "élan", "Adam"]
    rows = rows_of(students, status="graded", exercises={"check_b": 1.0, "check_a": 2.0})
    data = (written(tmp_path, rows) / "grades.csv").read_bytes()
    assert data.startswith(codecs.BOM_UTF8 + b"student,notebook,")
    table_read = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
    assert [row["student"] for row in table_read] == ["Adam", "ann", "Bob", "Zoë", "élan"]
    assert list(table_read[0])[-2:] == ["b", "a"]  # as in the notebook


def test_a_table_without_keys_is_read_on(tmp_path):
    rows = rows_of(["ann", "bob"], status="graded")
    text = io.StringIO(table.csv_text(rows).removeprefix("\ufeff"))
    old = list(csv.DictReader(text))
    columns = [c for c in old[0] if c != "key"]
    with (tmp_path / "grades.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(old)
    assert set(table.read_grades(tmp_path)) == set(rows)


def test_a_table_that_is_none_is_bad_input(tmp_path):
    for text in ("student,points\nann,7\n", "", "\x00"):
        (tmp_path / "grades.csv").write_text(text)
        with pytest.raises(ValueError, match=r"grades\.csv has no column 'feedback'"):
            table.read_grades(tmp_path)
    for text in ("a" * 200_000, table.csv_text({}) + '"' + "a" * 200_000):
        (tmp_path / "grades.csv").write_text(text, "utf-8")
        with pytest.raises(ValueError, match=r"grades\.csv cannot be read"):
            table.read_grades(tmp_path)


def test_a_half_written_file_does_not_stop_the_next_run(tmp_path):
    (tmp_path / "grades.csv.writing").write_text("stu")
    assert table.read_grades(tmp_path) == {}
    rows = rows_of(["ann"])
    (written(tmp_path, rows) / "index.html.writing").write_text("<!DOC")
    assert table.read_grades(tmp_path) == rows


def test_the_page_links_what_waits_for_a_reader_and_shows_names_as_text():
    found = {"status": "graded", "points": 1.0, "to_grade": 2.0, "to_grade_cells": "words_1, w2"}
    rows = rows_of(["<img src=x>"], **found, reason="a < b")
    page = table.index_page(rows)
    (row,) = rows.values()
    links = []
    parser = html.parser.HTMLParser()
    parser.handle_starttag = lambda tag, attrs: links.append((tag, *dict(attrs).values()))
    parser.feed(page)
    assert ("a", f"{row['feedback']}#words_1") in links and ("a", f"{row['feedback']}#w2") in links
    assert "img" not in {tag for tag, *_ in links} and "a &lt; b" in page
