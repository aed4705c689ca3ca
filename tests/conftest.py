"""What tests measure is said at the end of the run: `record_property("measured", line)`."""

import pytest


@pytest.fixture(scope="module")
def measured_on_less():
    """Runs are measured on 4096 held-out tokens, not 65,536: only the measurements differ."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minibert.pretraining.run_data.HELD_OUT_BATCHES", 1)
        yield


def pytest_terminal_summary(terminalreporter):
    for report in terminalreporter.getreports("passed"):
        for name, value in getattr(report, "user_properties", ()):
            if name == "measured":
                terminalreporter.write_line(value)
