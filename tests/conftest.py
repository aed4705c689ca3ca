"""What tests measure is said at the end of the run: `record_property("measured", line)`."""

import signal

import pytest

LONGEST = (
    "test_grading",
    "test_distributed",
    "test_shards",
    "test_streaming",
    "test_sotu_tasks",
    "test_distillation_run",
    "test_transfer",
    "test_pretraining",
    "test_bertviz_views",
    "test_checks",
    "test_trainer",
)


def pytest_collection_modifyitems(items):
    """The files that take longest come first: at the end, no process waits for another's."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


@pytest.fixture
def signals_arrive():
    """`nohup`, and a script's `&`, have signals ignored, and every process started here inherits
    that: while a test sends signals, they do what they do in a terminal."""
    default = {"SIGINT": signal.default_int_handler, "SIGTERM": signal.SIG_DFL}
    default["SIGHUP"] = signal.SIG_DFL
    there = {getattr(signal, name): how for name, how in default.items() if hasattr(signal, name)}
    before = {number: signal.signal(number, how) for number, how in there.items()}
    yield
    for number, how in before.items():
        signal.signal(number, how)


@pytest.fixture(scope="session")
def texts(tmp_path_factory):
    """A folder of small texts."""
    from small_runs import small_texts

    folder = tmp_path_factory.mktemp("texts")
    for number, text in enumerate(small_texts()):
        (folder / f"{number:02}.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def model(texts, tmp_path_factory):
    """What `minibert pretrain` makes of these texts in three steps: copy it to change it."""
    from command import run

    out = tmp_path_factory.mktemp("model") / "run"
    shown = run("pretrain", texts, "-o", out, "--steps", 3, "--recipe", "fast", "--vocab-size", 80)
    assert f"minibert fill-mask {out}" in shown
    return out


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
