"""The command, as a user types it: help, results, and one line for whatever goes wrong."""

import json
import math
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import run

from minibert.cli.group import GROUPS
from minibert.tokenizer import BertTokenizer

COMMANDS = [name for names in GROUPS.values() for name in names]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["pretrain", "--help"], ["pretrain", "x"]])
def test_help_needs_nothing_that_takes_seconds_to_import(arguments):
    code = (
        f"import sys; sys.argv = ['minibert', *{arguments}]\n"
        "from minibert.cli import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if arguments[-1:] == ["x"]:
        assert shown.returncode == 2 and shown.stderr.startswith("Error: Missing option '-o'")
    else:
        assert shown.returncode == 0 and "Usage: minibert" in shown.stdout, shown.stderr


def test_help_lists_every_command_in_a_line_of_its_own():
    shown = run("--help")
    assert shown == run()
    lines = [line.split(maxsplit=1) for line in shown.split("Start here:")[1].splitlines()]
    listed = {words[0]: words[1] for words in lines if len(words) == 2 and words[0] in COMMANDS}
    assert list(listed) == COMMANDS
    assert all(summary.endswith(".") and "..." not in summary for summary in listed.values())


def test_every_file_is_a_command_or_a_part_of_the_frame():
    folder = Path(__file__).parents[1] / "minibert" / "cli"
    files = {file.stem.replace("_", "-") for file in folder.glob("*.py")}
    frame = {"--init--", "group", "terminal", "options", "outputs", "models", "finetuning-options"}
    assert files - frame == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples_that_name_real_options(command):
    shown = run(command, "--help")
    examples = shown.split("Examples:")[1].strip().splitlines()
    assert examples
    for example in examples:
        if command != "prepare":  # which shows what comes after it
            assert example.strip().startswith(f"minibert {command}")
        for word in example.split():
            if word.startswith("-") and example.strip().startswith(f"minibert {command}"):
                assert word in shown.split("Examples:")[0]


def test_presets_recipes_and_objectives_are_the_packages():
    from minibert.cli import pretrain
    from minibert.config import PRESETS
    from minibert.pretraining.objectives import OBJECTIVES
    from minibert.pretraining.recipes import RECIPES

    assert tuple(PRESETS) == pretrain.PRESETS
    assert tuple(RECIPES) == pretrain.RECIPES
    assert tuple(OBJECTIVES) == pretrain.OBJECTIVES


def test_fill_mask(model):
    shown = run("fill-mask", model, "The [MASK] sees a [MASK].", "--top-k", 2)
    first, second = shown.splitlines()
    assert first.startswith("[MASK] 1: ") and second.startswith("[MASK] 2: ")
    assert first.count("%") == 2


METHODS = ("left-to-right", "gibbs", "mask-predict", "ancestral", "confidence")


@pytest.mark.parametrize("method", METHODS)
def test_generate(model, method):
    options = ("--method", method, "--temperature", 1, "--top-k", 20, "--top-p", 0.9)
    frame = "The [MASK] sees a [MASK]."
    shown = run("generate", model, frame, *options, "--samples", 4)
    assert len(shown.splitlines()) == 4 and len(set(shown.splitlines())) > 1
    for line in shown.splitlines():
        assert line.startswith("the") and line.endswith(".") and "[MASK]" not in line
    # Sample n is the text of seed n.
    assert run("generate", model, frame, *options, "--seed", 2) == f"{shown.splitlines()[2]}\n"


@pytest.mark.parametrize(
    ("method", "options", "steps"),
    [
        ("left-to-right", (), 3),
        ("gibbs", ("--steps", 7), 7),
        ("mask-predict", ("--passes", 2), 2),
        ("ancestral", ("--steps", 2), 2),
        ("confidence", (), 3),
    ],
)
def test_generate_shows_the_steps(model, method, options, steps):
    shown = run("generate", model, "The", "--length", 3, "--method", method, *options, "--show")
    lines = shown.splitlines()
    assert lines[0].endswith(f", {steps} steps") and lines[1] == "0  the ___ ___ ___ ."
    assert len(lines) == steps + 3 and lines[-2].startswith(f"{steps}  the ")
    assert run("generate", model, "The", "--length", 3, "--method", method, *options) == (
        f"{lines[-1]}\n"
    )


def test_generate_is_the_packages(model):
    from minibert.inference import generation
    from minibert.model import load

    bert, tokenizer = load(model)
    frame = generation.make_frame("", 5)
    made = generation.left_to_right(bert, tokenizer, frame, generation.Sampling(), seed=3)
    assert run("generate", model, "--length", 5, "--seed", 3) == f"{made.text}\n"
    made = generation.mask_predict(bert, tokenizer, frame)  # greedy, as it is by default
    shown = run("generate", model, "--length", 5, "--method", "mask-predict", "--seed", 3)
    assert shown == f"{made.text}\n"


def test_perplexity(model, tmp_path):
    texts = ["The cat sees a dog.", "Dog a sees cat the.", "A"]
    shown = run("perplexity", model, *texts).splitlines()
    assert [line.split(maxsplit=3)[3] for line in shown] == [*texts, "all 3 texts"]
    values = [float(line.split()[0]) for line in shown]
    assert [int(line.split()[1]) for line in shown] == [6, 6, 1, 13]
    total = sum(n * math.log(value) for n, value in zip((6, 6, 1), values, strict=False))
    assert values[3] == pytest.approx(math.exp(total / 13), rel=1e-3)
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(["", texts[0], "  ", texts[1], "", texts[2], ""]), encoding="utf-8")
    assert run("perplexity", model, "--file", file).splitlines() == shown


def test_a_line_that_cannot_be_scored_is_named(model, tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("The cat.\n\nThe [MASK].\n", encoding="utf-8")
    shown = run("perplexity", model, "--file", file, expect=2)
    assert "texts.txt, line 3: there is a [MASK] in the text" in shown


def test_a_model_without_the_head_cannot_write(model, tmp_path):
    from minibert.model import BertModel

    BertModel.from_pretrained(model).save_pretrained(
        tmp_path / "body", BertTokenizer.from_pretrained(model)
    )
    for command in (
        ("generate", tmp_path / "body", "a [MASK]"),
        ("perplexity", tmp_path / "body", "a"),
    ):
        assert "no head that guesses masked words" in run(*command, expect=2)


def test_info(model):
    shown = run("info", model)
    tokenizer = BertTokenizer.from_pretrained(model)
    assert f"vocabulary    {tokenizer.vocab_size}, uncased" in shown
    assert "trained       3 steps" in shown and "held out" in shown


def test_info_is_about_the_end_of_training(model, tmp_path):
    run_folder = shutil.copytree(model, tmp_path / "run")
    lines = [
        {"step": 2, "seconds": 3.2, "loss": 4.0, "held_out": {"mlm_accuracy": 0.25}},
        {"step": 4, "seconds": 6.4, "loss": 3.0, "held_out": {"mlm_accuracy": 0.5}},
        {"step": 5, "seconds": 8.6, "loss": 2.0},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run_folder / "history.jsonl").write_text(text, encoding="utf-8")
    shown = run("info", run_folder)
    assert "trained       5 steps, 9 s\n" in shown
    assert re.search(r"held out      50\.0% .*, after 4 steps\n", shown)


def test_the_shipped_checkpoint_goes_by_its_name(tmp_path):
    assert "door" in run("fill-mask", "mini", "He opened the [MASK] and looked inside.")
    assert "4 of 64" in run("info", "mini")
    run("attention", "mini", "The Union", "-o", tmp_path / "page.html")


def test_info_of_a_run_that_has_no_history_yet(model, tmp_path):
    young = tmp_path / "young"
    shutil.copytree(model, young)
    (young / "history.jsonl").unlink()
    shown = run("info", young)
    assert "corpus" in shown and "trained" not in shown


def test_resume_remembers_its_options(texts, model, tmp_path):
    out = tmp_path / "run"
    run("pretrain", texts, "-o", out, "--steps", 3, "--recipe", "fast", "--vocab-size", 80)
    run("pretrain", texts, "-o", out, "--resume")
    wrong = run("pretrain", texts, "-o", out, "--resume", "--seed", 4, expect=2)
    assert "seed was 0, now 4" in wrong
    wrong = run("pretrain", texts, "-o", out, "--resume", "--recipe", "original", expect=2)
    assert "recipe" in wrong and "optimizer" in wrong
    assert json.loads((out / "run.json").read_text())["seed"] == 0


@pytest.mark.long
def test_a_killed_command_resumes_bitwise(texts, tmp_path):
    """kill -9 at any moment, while the data is prepared, in training or in a save."""
    options = ("--steps", "700", "--recipe", "fast", "--vocab-size", "80")
    options += ("--batch-size", "8", "--max-length", "24")
    run("pretrain", texts, "-o", tmp_path / "quiet", *options)
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "minibert", "pretrain", str(texts), "-o", str(out)]
    rng = random.Random(0)

    def start():
        more = ["--resume"] if (out / "run.json").exists() else options
        return subprocess.Popen(
            [*command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    for _ in range(5):
        with start() as process:
            process.stdout.readline()  # it has begun
            time.sleep(rng.uniform(0, 4))
            process.kill()
    with start() as process:
        _, errors = process.communicate()
    assert process.returncode == 0, errors
    for name in ("model.safetensors", "config.json", "vocab.txt", "run.json"):
        assert (out / name).read_bytes() == (tmp_path / "quiet" / name).read_bytes(), name


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fill-mask", "{model}", "no blank"], "no [MASK]"),
        (["fill-mask", "no/such/model", "a [MASK]"], "is not a directory"),
        (["fill-mask", "no/such/model", "a [MASK]"], "The package comes with mini"),
        (["fill-mask", "{texts}", "a [MASK]"], "model directory"),
        (["fill-mask", "{model}", "the " * 80 + "[MASK]"], "at most 64"),
        (["generate", "{model}", "no blank"], "no [MASK] in the text"),
        (["generate", "{model}"], "nothing to fill"),
        (["generate", "{model}", ""], "nothing to fill"),
        (["generate", "{model}", " "], "the text is empty"),
        (["generate", "{model}", "a [MASK] [SEP] b"], "a [SEP] in the text"),
        (["generate", "{model}", "a", "--length", "80"], "82 tokens long and 62 fit"),
        (["generate", "{model}", "a", "--length", "0"], "0 is not in the range"),
        (
            ["generate", "{model}", "a [MASK]", "--temperature", "-1"],
            "temperature must be",
        ),
        (
            ["generate", "{model}", "a [MASK]", "--top-k", "0"],
            "top_k must be",
        ),
        (
            ["generate", "{model}", "a [MASK]", "--top-p", "0"],
            "top_p must be",
        ),
        (
            ["generate", "{model}", "a [MASK]", "--top-p", "1.1"],
            "top_p must be",
        ),
        (["generate", "{model}", "a [MASK]", "--steps", "9"], "--steps is for --method gibbs"),
        (["generate", "{model}", "a [MASK]", "--passes", "9"], "for --method mask-predict"),
        (
            ["generate", "{model}", "[MASK] [MASK]", "--method", "gibbs", "--steps", "1"],
            "steps is 1: the 2 masks",
        ),
        (["generate", "no/such/model", "a [MASK]"], "is not a directory"),
        (["perplexity", "{model}"], "either texts or --file"),
        (["perplexity", "{model}", "a", "--file", "{one}"], "either texts or --file"),
        (["perplexity", "{model}", "a", ""], "text 2: the text is empty"),
        (["perplexity", "{model}", "caf\udce9"], r"caf\udce9 is not UTF-8"),
        (["perplexity", "{model}", "the " * 80], "text 1: the text is 80 tokens long and 62 fit"),
        (["perplexity", "{model}", "--file", "{empty}"], "holds no text"),
        (["perplexity", "{model}", "--file", "{latin}"], "not UTF-8"),
        (["perplexity", "{model}", "--file", "{new}"], "does not exist"),
        (["attention", "{model}", "the " * 80, "-o", "{new}/x.html"], "80 tokens long and 62 fit"),
        (["attention", "{model}", " ", "-o", "{new}/x.html"], "the text is empty"),
        (["attention", "{model}", "the", "--pair", "", "-o", "{new}/x.html"], "the text is empty"),
        (["attention", "{model}", "the", "--layer", "2", "-o", "{new}/x.html"], "no layer 2"),
        (["attention", "{model}", "the", "--head", "9", "-o", "{new}/x.html"], "no head 9"),
        (["attention", "{model}", "the cat", "-o", "{new}/x.png"], "must end in .html"),
        (
            ["attention", "{model}", "a", "--view", "neuron", "--head", "9", "-o", "{new}/x.html"],
            "no head 9",
        ),
        (["info", "{texts}"], "model directory"),
        (["pretrain", "nowhere", "-o", "{new}", "--steps", "2"], "no corpus 'nowhere'"),
        (["pretrain", "{texts}", "-o", "{new}"], "--steps or --minutes"),
        (["pretrain", "{texts}", "-o", "{new}", "--steps", "2", "--minutes", "1"], "either"),
        (["pretrain", "{texts}", "-o", "{new}", "--steps", "0"], "0"),
        (["pretrain", "{texts}", "-o", "{new}", "--steps", "2", "--preset", "huge"], "huge"),
        (["pretrain", "{texts}", "-o", "{new}", "--steps", "2", "--vocab-size", "9"], "too small"),
        (["pretrain", "{texts}", "-o", "{texts}", "--steps", "2"], "holds other files"),
        (["pretrain", "{texts}", "-o", "{model}", "--steps", "2"], "--resume"),
        (["pretrain", "{texts}", "-o", "{new}", "--resume"], "no run"),
        (
            ["pretrain", "{latin}", "-o", "{new}", "--steps", "2"],
            "not UTF-8: byte 0xe9 at offset 3",
        ),
        (["pretrain", "{empty}", "-o", "{new}", "--steps", "2"], "empty"),
        (["pretrain", "{one}", "-o", "{new}", "--steps", "2"], "two documents"),
        (["nonsense"], "No such command 'nonsense'"),
        (["options"], "No such command 'options'"),  # a file of the frame, and no command
        (["info"], "Missing argument 'MODEL' (see main info --help)"),
    ],
)
def test_one_line_says_what_is_wrong(arguments, says, model, texts, tmp_path):
    places = {"model": model, "texts": texts, "new": tmp_path / "new"}
    for name, data in (("latin", b"caf\xe9"), ("empty", b" \n"), ("one", b"A b. C d. " * 40)):
        places[name] = tmp_path / f"{name}.txt"
        places[name].write_bytes(data)
    vocab = ["--vocab-size", "80"] if "pretrain" in arguments and "9" not in arguments else []
    shown = run(*(a.format(**places) for a in arguments), *vocab, expect=2)
    assert says in shown


@pytest.mark.parametrize(
    ("file", "data", "says"),
    [
        ("config.json", b"{", "config.json is not JSON"),
        ("config.json", b"[]", "config.json does not hold a JSON object"),
        (
            "config.json",
            b'{"hidden_size": 9, "num_attention_heads": 2}',
            "config.json: hidden_size",
        ),
        ("config.json", None, "config.json"),
        ("vocab.txt", b"\xff", "vocab.txt is not UTF-8"),
        ("vocab.txt", b"a\n", "vocab.txt lacks [PAD]"),
        ("tokenizer_config.json", b"}", "tokenizer_config.json is not JSON"),
        ("model.safetensors", b"short", "model.safetensors is not a whole safetensors file"),
        ("run.json", b"{}", "run.json is not a run"),
        ("history.jsonl", b'{"step": 1, "seconds": 1}\n{\n', "history.jsonl, line 2:"),
    ],
)
def test_a_damaged_model_says_which_file(file, data, says, model, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(model, damaged)
    if data is None:
        (damaged / file).unlink()
    else:
        (damaged / file).write_bytes(data)
    assert says in run("info", damaged, expect=2)


def test_a_refusal_leaves_nothing_in_the_way(tmp_path, texts):
    """Found only when the corpus is read: the folder is free for another try."""
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "1.txt").write_text("Good text.")
    (bad / "2.txt").write_bytes(b"caf\xe9")
    out = tmp_path / "out"
    run("pretrain", bad, "-o", out, "--steps", 1, expect=2)
    run("pretrain", bad / "1.txt", "-o", out, "--steps", 1, "--vocab-size", 80, expect=2)
    fast = ("--steps", 1, "--vocab-size", 80, "--recipe", "fast")
    assert "too few for one" in run("pretrain", bad / "1.txt", "-o", out, *fast, expect=2)
    run("pretrain", texts, "-o", out, "--steps", 1, "--vocab-size", 80)


@pytest.mark.long
def test_demo(tmp_path, monkeypatch):
    """All of it, on the real corpus, with a few seconds of training."""
    out = tmp_path / "demo"
    shown = run("demo", "--minutes", 0.05, "-o", out)
    for text in ("Pretraining", "neighbours", "most frequent", "attention.html", "That took"):
        assert text in shown
    accuracies = json.loads((out / "demo.json").read_text())
    assert accuracies["neighbours"] == pytest.approx(0.33, abs=0.02)
    assert accuracies["most_frequent"] == pytest.approx(0.073, abs=0.01)
    assert f"{accuracies['minibert']:.1%}" in shown
    # Three seconds are less than counting needs to be passed: it starts well, and says so.
    assert 0.15 < accuracies["minibert"] < accuracies["neighbours"]
    assert "minibert demo --minutes 0.1" in shown
    for name in ("bert.html", "attention.html", "attention.png"):
        assert (out / name).exists() and name in shown
    run("fill-mask", out, "The [MASK] of the Union")
