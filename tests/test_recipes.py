"""What a recipe makes: optimizers, schedules; and how recipes of earlier versions are read."""

import json
from dataclasses import asdict, replace

import pytest
import torch
import transformers

from minibert.config import BertConfig
from minibert.model import BertForPreTraining
from minibert.pretraining.recipes import RECIPES, Recipe, make_optimizers, make_schedule
from minibert.pretraining.run import Run, read_run

FAST = RECIPES["fast"]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = BertConfig.preset("tiny", vocab_size=50, max_position_embeddings=16)
    return BertForPreTraining(config, next_sentence=False)


def steps_of(model, optimizers):
    """What one step with a gradient of ones changes: parameters by name."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    for optimizer in optimizers:
        optimizer.step()
    after = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(before[name])
    return before, {name: after[name] - before[name] for name in before}


def test_muon_and_adamw_have_their_own_rates(model):
    """AdamW's first step is its rate; Muon's, of a matrix of ones, has rank 1 and its rate."""
    recipe = replace(FAST, lr=1e-3, matrix_lr=0.02)
    before, change = steps_of(model, make_optimizers(recipe, model))
    bias = change["bert.encoder.layers.0.attention.query.bias"]
    torch.testing.assert_close(bias, torch.full_like(bias, -1e-3), rtol=1e-3, atol=0)
    words = before["bert.embeddings.word_embeddings.weight"]
    torch.testing.assert_close(
        change["bert.embeddings.word_embeddings.weight"], -1e-3 * (1 + 0.01 * words)
    )
    name = "bert.encoder.layers.0.attention.query.weight"
    update = change[name] + 0.02 * 0.01 * before[name]  # without the decay
    s = torch.linalg.svdvals(update)
    # Newton-Schulz's iteration comes within about 0.3 of an orthogonal update.
    assert s[0] == pytest.approx(0.02, rel=0.35) and s[1] < 1e-4


def test_muon_decays_its_matrices(model):
    """With no gradient nothing is left but the decay: lr x 0.01 of each weight."""
    muon, _ = make_optimizers(replace(FAST, matrix_lr=0.02), model)
    name = "bert.encoder.layers.1.feed_forward.output.weight"
    weight = dict(model.named_parameters())[name]
    before = weight.detach().clone()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    muon.step()
    torch.testing.assert_close(weight.detach(), before * (1 - 0.02 * 0.01), rtol=1e-5, atol=0)
    with torch.no_grad():
        weight.copy_(before)


@pytest.mark.parametrize("name", ["adam", "adamw", "muon"])
def test_adams_numbers_are_berts(model, name):
    adam = make_optimizers(replace(FAST, optimizer=name), model)[-1]
    for group in adam.param_groups:
        assert group["betas"] == (0.9, 0.999) and group["eps"] == 1e-6
        assert group["lr"] == FAST.lr
    assert [group["weight_decay"] for group in adam.param_groups] == [0.01, 0.0]


def test_muon_takes_as_many_iterations_as_the_recipe_says(model):
    muon, _ = make_optimizers(replace(FAST, ns_steps=3), model)
    assert muon.param_groups[0]["ns_steps"] == 3


@pytest.mark.parametrize("schedule", ["linear", "wsd"])
def test_a_recipe_has_the_schedule_that_it_names(schedule):
    """Hugging Face's, but for the jump of the original (see `linear`)."""
    factor = make_schedule(replace(FAST, schedule=schedule, warmup=0.1, decay=0.3))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    if schedule == "linear":
        theirs = transformers.get_linear_schedule_with_warmup(optimizer, 10, 100)
    else:
        theirs = transformers.get_wsd_schedule(
            optimizer, 10, 30, num_training_steps=100, decay_type="linear"
        )
    for step in range(100):
        wanted = theirs.get_last_lr()[0]
        if schedule == "linear" and step >= 10:
            wanted *= 0.9
        assert factor(step / 100) == pytest.approx(wanted), step
        optimizer.step()
        theirs.step()


def test_speedrun_is_fast_but_for_what_its_table_says():
    """`docs/recipes.md` lists the parts: start, softmax, share and kind of masks, iterations."""
    fast, speedrun = asdict(FAST), asdict(RECIPES["speedrun"])
    changed = {name for name in fast if fast[name] != speedrun[name]}
    assert changed == {"init", "positions", "sampled_softmax", "masking", "ns_steps"}


def test_recipes_of_earlier_versions_are_read():
    values = asdict(FAST)
    for is_wanted, objective in ((True, "mlm+nsp"), (False, "mlm")):
        old = {name: value for name, value in values.items() if name != "objective"}
        for newer in ("ns_steps", "sampled_softmax", "elsewhere"):
            del old[newer]
        old["next_sentence"] = is_wanted
        assert Recipe.from_dict(old) == replace(FAST, objective=objective)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"steps": "many"}, "steps must be"),
        ({"seed": None}, "seed must be"),
        ({"recipe": None}, ""),
        ({"recipe": []}, ""),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_run_file_of_other_types_is_refused_in_a_line(tmp_path, changes, says):
    values = {**asdict(Run("sotu", recipe=FAST)), **changes}
    (tmp_path / "run.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"run\.json is not a run of this minibert: .*{says}"):
        read_run(tmp_path)


@pytest.mark.parametrize("values", [{"lr": "x"}, {"masking": None}, {"masking": {"p": 1}}])
def test_a_recipe_of_other_types_is_refused_in_a_line(tmp_path, values):
    run = asdict(Run("sotu", recipe=FAST))
    run["recipe"] |= values
    (tmp_path / "run.json").write_text(json.dumps(run), encoding="utf-8")
    with pytest.raises(ValueError, match=r"run\.json is not a run of this minibert"):
        read_run(tmp_path)
