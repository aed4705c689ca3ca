"""The page about speed says what was measured."""

import json
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_tables_are_those_of_the_measurements(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    import bench

    results = json.loads((DOCS / "performance.json").read_text("utf-8"))
    assert bench.page_with(results) == (DOCS / "performance.md").read_text("utf-8")
