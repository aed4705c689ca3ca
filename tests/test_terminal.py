"""What the command prints, on terminals that obey, that know few characters, or that are gone."""

import ast
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from command import run

from minibert.cli import main
from minibert.cli.terminal import LONGEST_ERROR, say, terminal, visible
from minibert.config import BertConfig
from minibert.model import BertForPreTraining
from minibert.tokenizer import SPECIAL_TOKENS, BertTokenizer

COMMANDING = {
    "clear the screen": "\x1b[2J",
    "a title": "\x1b]0;owned\x07",
    "C1": "\x9b31m",
    "backspace": "\b\b\b",
    "back to the line's beginning": "\rall right",
    "from right to left": "\u202etxt.exe",
    "isolate": "\u2066a",
    "zero width": "pa\u200bss",
    "byte order mark": "\ufeffa",
    "tags": "a\U000e0041",
    "line separator": "a\u2028b",
    "not UTF-8": "\udcff",
}
POSIX = pytest.mark.skipif(os.name == "nt", reason="descriptors of a POSIX system")
COMMAND = [sys.executable, "-m", "minibert"]


@pytest.mark.parametrize("text", COMMANDING.values(), ids=COMMANDING)
def test_what_would_command_a_terminal_is_shown(text):
    """As Python's own repr shows it."""
    assert visible(text) == repr(text)[1:-1]
    assert visible(text).isprintable()


@pytest.mark.parametrize(
    "text", ["café naïve", "日本\u3000語", "1\xa0000 €", "👍🏽", r"C:\new", ""]
)
def test_what_is_readable_stays(text):
    assert visible(text) == text


@pytest.fixture(scope="module")
def hostile_model(tmp_path_factory):
    """A BERT of random weights whose every word would command the terminal, or is not Latin."""
    words = [word for word in COMMANDING.values() if "\udcff" not in word and "\r" not in word]
    tokenizer = BertTokenizer([*SPECIAL_TOKENS, *words, "日本", "☃", "a", "."])
    torch.manual_seed(0)
    model = BertForPreTraining(
        BertConfig(
            vocab_size=tokenizer.vocab_size, hidden_size=8, num_hidden_layers=1,
            num_attention_heads=1, intermediate_size=8, max_position_embeddings=32,
        )
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("hostile") / "model"
    model.save_pretrained(folder, tokenizer)
    return folder


def printed(arguments, charset="utf-8"):
    """All that a command printed, which no terminal would obey."""
    result = CliRunner(charset=charset).invoke(main, list(map(str, arguments)), color=True)
    assert all(char.isprintable() for char in result.output.replace("\n", "")), result.output
    return result


@pytest.mark.parametrize(
    "arguments",
    [
        ("fill-mask", "{model}", "a [MASK] .", "--top-k", "20"),
        ("generate", "{model}", "a [MASK] .", "--samples", "20", "--temperature", "9"),
        ("generate", "{model}", "a", "--length", "8", "--show", "--temperature", "9"),
    ],
)
def test_words_of_a_vocabulary_command_no_terminal(hostile_model, arguments):
    result = printed([a.format(model=hostile_model) for a in arguments])
    assert result.exit_code == 0 and any(
        visible(word) in result.output for word in COMMANDING.values()
    )


@pytest.mark.parametrize("name", ["\x1b[2Jfolder", "\u202efolder", "fol\nError: der", "\x07\x9b"])
def test_texts_and_names_command_no_terminal(hostile_model, tmp_path, name):
    """Results, errors of ours, and errors of click alike, each in one line."""
    place = tmp_path / name
    shutil.copytree(hostile_model, place)
    assert printed(["perplexity", place, f"a {name}"]).stdout.count("\n") == 1
    page = place / "page.html"
    assert printed(["attention", place, f"a {name}", "-o", page]).exit_code == 0
    assert printed(["attention", place, "a", "-o", page]).exit_code == 2
    assert printed(["info", place / "nowhere"]).exit_code == 2
    for arguments in (
        [name],
        ["info", f"--{name}"],
        ["info"],
        ["generate", place, "a", "--top-k", name],
    ):
        result = printed(arguments)
        assert result.exit_code == 2 and result.stderr.count("\n") == 1


def test_warnings_are_lines_that_command_no_terminal(capsys):
    with terminal():
        warnings.warn("20 rows of \x1b[31mtest\nare in train too", stacklevel=1)
    assert capsys.readouterr().err == "Note: 20 rows of \\x1b[31mtest\\nare in train too\n"


def test_blank_lines_are_our_own(capsys):
    say("\n\nOn the test rows\nError: nothing")
    say("a text with its end of line\n")
    assert capsys.readouterr().out == (
        "\n\nOn the test rows\\nError: nothing\na text with its end of line\\n\n"
    )


def test_one_guard_for_everything():
    """No command prints but through `say`, and click through its help."""
    folder = Path(__file__).parents[1] / "minibert" / "cli"
    for file in folder.glob("*.py"):
        calls = [
            n.func for n in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(n, ast.Call)
        ]
        names = {f.id if isinstance(f, ast.Name) else getattr(f, "attr", "") for f in calls}
        allowed = {"terminal.py": {"print"}, "__init__.py": {"echo"}}.get(file.name, set())
        assert names & {"print", "echo", "secho", "write_stdout"} <= allowed, file


@pytest.mark.parametrize("charset", ["cp1252", "ascii", "cp437", "utf-8"])
@pytest.mark.parametrize(
    ("arguments", "code", "holds"),
    [
        (("fill-mask", "{model}", "a [MASK] ☃", "--top-k", "20"), 0, "日本"),
        (("generate", "{model}", "☃ 日本 [MASK]"), 0, "☃"),
        (("perplexity", "{model}", "a ☃"), 0, "a ☃"),
        (("attention", "{model}", "a ☃", "-o", "{new}/☃.html"), 0, "☃.html"),
        (("info", "{model}"), 0, "vocabulary"),
        (("info", "{model}/☃"), 2, "☃ is not a directory"),
        (("info", "--☃"), 2, "No such option '--☃'"),
    ],
)
def test_output_is_never_lost_to_an_encoding(
    hostile_model, tmp_path, charset, arguments, code, holds
):
    given = [a.format(model=hostile_model, new=tmp_path) for a in arguments]
    result = CliRunner(charset=charset).invoke(main, given)
    assert result.exit_code == code
    assert holds.encode(charset, "backslashreplace").decode(charset) in result.output


def test_python_is_told_of_another_encoding(hostile_model):
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    shown = subprocess.run(
        [*COMMAND, "fill-mask", hostile_model, "a [MASK] ☃", "--top-k", "20"],
        env=environment, capture_output=True,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert b"\\u65e5\\u672c" in shown.stdout


@POSIX
def test_an_error_is_seen_though_standard_error_is_closed():
    closed = ["sh", "-c", 'exec "$0" "$@" 2>&-', *COMMAND]
    shown = subprocess.run([*closed, "info"], capture_output=True, text=True)
    assert shown.returncode == 2 and shown.stdout.startswith("Error: Missing argument 'MODEL'")
    assert subprocess.run([*closed, "--version"], capture_output=True).returncode == 0


@POSIX
@pytest.mark.parametrize("redirection", ["", "2>&-", "<&-"])
def test_a_reader_that_leaves_is_no_error(redirection):
    """As `| head` leaves."""
    command = ["sh", "-c", f'exec "$0" "$@" {redirection}', *COMMAND, "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@POSIX
def test_the_exit_code_remains_when_nobody_reads_the_error():
    """As with `2>&1 | head -0`, where a script asks for the code."""
    with subprocess.Popen([*COMMAND, "info"], stderr=subprocess.PIPE) as process:
        process.stderr.close()
    assert process.returncode == 2


@POSIX
def test_what_a_library_printed_is_dropped_when_nobody_reads_it():
    """It waits in a buffer until the end, which Python would otherwise call an error."""
    code = "from minibert.cli.terminal import terminal\nwith terminal(): print('by a library')"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=buffered
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@POSIX
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_takes_the_number_of_a_closed_stream(tmp_path, closed):
    """POSIX has 0, 1 and 2 for them, and a library may print to 1 or 2 whatever they are."""
    code = (
        "from minibert.cli.terminal import terminal\n"
        "with terminal(), open('number', 'w') as file: file.write(str(file.fileno()))"
    )
    command = ["sh", "-c", f'exec "$0" "$@" {closed}', sys.executable, "-c", code]
    assert subprocess.run(command, cwd=tmp_path).returncode == 0
    assert int((tmp_path / "number").read_text()) > 2


@POSIX
def test_standard_output_may_be_closed_from_the_beginning():
    closed = ["sh", "-c", 'exec "$0" "$@" >&-', *COMMAND]
    shown = subprocess.run([*closed, "--help"], stderr=subprocess.PIPE)
    assert (shown.returncode, shown.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_one_line():
    with open("/dev/full", "w") as full:
        shown = subprocess.run([*COMMAND, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert shown.returncode == 2
    assert shown.stderr == "Error: [Errno 28] No space left on device\n"


def broken(error):
    def raise_error(*_, **__):
        raise error

    return raise_error


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("a\nb"), 2, "Error: a b"),
        (ValueError(), 2, "Error: ValueError"),
        (
            FileNotFoundError(2, "No such file", "x\x1b"),
            2,
            r"Error: [Errno 2] No such file: 'x\x1b'",
        ),
        (ImportError("pip install it"), 2, "Error: pip install it"),
        (KeyboardInterrupt(), 130, "Error: stopped by Ctrl-C"),
        (KeyError("x"), 1, "Error: KeyError: 'x'. This is a bug in minibert: please report it"),
    ],
)
def test_whatever_goes_wrong_is_one_line(monkeypatch, error, code, line):
    monkeypatch.setattr("minibert.model.load", broken(error))
    monkeypatch.delenv("MINIBERT_TRACEBACK", raising=False)
    result = CliRunner().invoke(main, ["fill-mask", "mini", "a [MASK]"])
    assert result.exit_code == code and result.stderr.strip("\n").startswith(line)
    assert result.stderr.strip("\n").count("\n") == 0


def test_a_long_error_is_cut_in_the_middle(monkeypatch):
    monkeypatch.setattr("minibert.model.load", broken(ValueError("first " + "x" * 10**6 + " last")))
    shown = run("fill-mask", "mini", "a [MASK]", expect=2)
    assert "first" in shown and "last" in shown and len(shown) < LONGEST_ERROR + 50


@pytest.mark.parametrize(("value", "raises"), [("", False), (None, False), ("1", True)])
def test_a_traceback_is_for_those_who_ask(monkeypatch, value, raises):
    monkeypatch.setattr("minibert.model.load", broken(KeyError("x")))
    result = CliRunner(env={"MINIBERT_TRACEBACK": value}).invoke(
        main, ["fill-mask", "x", "a [MASK]"]
    )
    assert isinstance(result.exception, KeyError) == raises
    assert ("Error: " in result.output) != raises
