"""BERT in a page: what is in the file, what it refuses, and its snapshots."""

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hostile import HOSTILE_TOKENS
from node import node
from small_page import NEAR, PAIR, TEXT, TOKENIZER, answer, look, small
from torch.testing import assert_close

from minibert.heads import BertForTokenClassification
from minibert.tokenizer import SPECIAL_TOKENS, BertTokenizer
from minibert.viz import page
from minibert.viz.page.page import _chosen

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def test_what_cannot_be_read_is_said_in_a_line():
    made = page(small(), TOKENIZER)
    empty, long, pair, good = answer(
        made,
        {"text": "  "},
        {"text": "cat " * 19},
        {"text": "cat " * 9, "pair": "dog " * 9},
        {"text": "cat " * 18},
    )
    assert empty["error"] == "Write at least one word."
    assert "19 tokens" in long["error"] and "at most 18" in long["error"]
    assert "18 tokens" in pair["error"] and "at most 17" in pair["error"]
    assert good["error"] == "" and len(good["tokens"]) == 20


def test_the_largest_are_in_order_and_the_first_of_equals_is_first():
    numbers = np.random.default_rng(0).integers(0, 20, 100).tolist()
    got = node(
        """const { largest } = await load("answer");
        return [largest(given, 8), largest([], 3), largest([1], 3)];""",
        numbers,
    )
    assert got == [np.argsort(-np.array(numbers), kind="stable")[:8].tolist(), [], [0]]


def test_a_page_is_the_same_each_time_and_asks_for_nothing():
    first, second = (page(small(), TOKENIZER, TEXT).html for _ in range(2))
    assert first == second
    assert "http://" not in first.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in first and "import" not in first.split('id="code">')[1].split("\n")[0]


def test_the_script_of_a_page_gives_what_its_modules_give():
    """In the page the modules are one script, which also runs in a thread of its own."""
    made = page(small(), TOKENIZER, TEXT)
    script = made.html.split('<script id="code">')[1].split("</script>")[0]
    request = {"seq": 0, "text": TEXT, "pair": PAIR, "off": [[0, 1]]}
    run = "return new Function(given.script + '\\nreturn [answer.Answerer, answer.finish];')"
    given = {"script": script, "data": made.data, "request": request}
    got = node(
        f"""const [Answerer, finish] = (() => {{ {run}(); }})();
        return finish(new Answerer(given.data).answer(given.request));""",
        given,
    )
    assert [got] == answer(made, request)


def test_hostile_words_end_no_script():
    tokenizer = BertTokenizer([*SPECIAL_TOKENS, *HOSTILE_TOKENS, *map(str, range(97 - 38))])
    made = page(small(), tokenizer, HOSTILE_TOKENS[0])
    assert made.html.count("<script") == made.html.count("</script>") == 4
    assert not [token for token in HOSTILE_TOKENS if "<" in token and token in made.html]


def test_other_models_are_refused():
    for model, words in (
        (small().bert, "a BertModel gives vectors only: minibert.load"),
        (small(BertForTokenClassification), "labels single tokens: `minibert predict`"),
        (torch.nn.Linear(1, 1), "a Linear is not a BERT of minibert: minibert.load"),
    ):
        with pytest.raises(ValueError, match=words):
            page(model, TOKENIZER)
    model = small()
    model.config = replace(model.config, position_embedding_type="rope")
    with pytest.raises(ValueError, match=r"of the kind 'rope': .* minibert\.viz\.explore"):
        page(model, TOKENIZER)


@pytest.mark.parametrize("course", ["javascript:alert(1)", "data:text/html,x", "file:///etc"])
def test_only_an_address_of_pages_is_linked_to(course):
    with pytest.raises(ValueError, match="course is"):
        page(small(), TOKENIZER, course=course)


def test_every_stop_names_a_chapter_that_is_there():
    stops = node("""const { STOPS } = await load("walk_stops");
        return STOPS.map(({ chapter, file }) => [chapter, file]);""", None)  # fmt: skip
    chapters = {path.stem: path for path in NOTEBOOKS.glob("*.ipynb")}
    assert len(stops) == 10
    for chapter, file in stops:
        assert int(chapter.split(",")[0]) == int(file[:2])
        assert file in chapters


def test_the_size_of_a_page_is_said(monkeypatch, tmp_path):
    model = small()
    size = page(model, TOKENIZER).size
    assert page(model, TOKENIZER).save(tmp_path / "a" / "bert.html").stat().st_size == size
    with pytest.raises(ValueError, match=r"must end in \.html"):
        page(model, TOKENIZER).save(tmp_path / "bert.htm")
    module = importlib.import_module("minibert.viz.page.page")
    monkeypatch.setattr(module, "LARGE", size - 1)
    with pytest.warns(UserWarning, match=r"the page has \d+ MB: it opens slowly"):
        page(model, TOKENIZER)
    monkeypatch.setattr(module, "TOO_LARGE", size - 1)
    with pytest.raises(ValueError, match=r"the page has \d+ MB, and browsers .* smaller model$"):
        page(model, TOKENIZER)
    with pytest.raises(ValueError, match=r"leave exact out"):
        page(model, TOKENIZER, exact=True)


def test_at_most_five_snapshots_are_kept(monkeypatch):
    kept = {
        number: list(_chosen({step: step for step in range(number)})) for number in (1, 2, 5, 6, 12)
    }
    assert kept == {
        1: [0], 2: [0, 1], 5: [0, 1, 2, 3, 4], 6: [0, 1, 2, 4, 5], 12: [0, 3, 6, 8, 11]
    }  # fmt: skip


def test_a_page_with_snapshots_answers_with_each(tmp_path):
    """The folder of a run, whose models differ."""
    models = {}
    for step, folder in ((0, "snapshots/step-000000000"), (10, "snapshots/step-000000010")):
        models[step] = small()
        torch.manual_seed(step)
        with torch.no_grad():
            models[step].mlm_head.decoder.bias.normal_()
        models[step].save_pretrained(tmp_path / folder)
        (tmp_path / folder / "vocab.txt").write_text("\n".join(TOKENIZER.tokens), "utf-8")
    made = page(small(), TOKENIZER, snapshots=tmp_path)
    assert made.data["steps"] == [0, 10]
    replies = answer(made, {"text": TEXT, "snapshot": 0}, {"text": TEXT, "snapshot": 1})
    (by_step,) = answer(made, {"text": TEXT, "snapshot": 1, "stepsOf": 7})
    for reply, model, then in zip(replies, models.values(), by_step["byStep"], strict=True):
        want = look(model, pair=None).prediction_logits[0, 7].softmax(-1)
        assert_close(torch.tensor(reply["guesses"][0]["shares"]), want, **NEAR)
        assert_close(torch.tensor(then), want, **NEAR)
