"""A minute of `make soak`: every fault once at least, and the weights of a quiet run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = str(Path(__file__).parent / "soak.py")


@pytest.mark.skipif(sys.platform != "linux", reason="its small disk and its signals are Linux's")
@pytest.mark.long
@pytest.mark.timeout(900)
def test_runs_survive_every_fault(record_property):
    done = subprocess.run(
        [sys.executable, SOAK, "--minutes", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["runs"] > 0
    assert all(report["survived"].values()), report
    times = ", ".join(f"{name} {number} x" for name, number in report["survived"].items())
    record_property("measured", f"survived: {times}")
