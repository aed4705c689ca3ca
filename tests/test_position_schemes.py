"""A position scheme is added from outside, and everything that needs positions knows of it."""

import pytest
import torch
from torch.testing import assert_close

import minibert
from minibert.attention import POSITION_SCHEMES
from minibert.distillation.losses import attention_scores
from minibert.distillation.objective import run_model
from minibert.viz import AttentionData

IDS = torch.tensor([[5, 6, 7, 8, 9, 5]])


class Rotary(torch.nn.Module):
    """RoPE (Su et al., 2021): the two halves of a head as real and imaginary parts, turned."""

    def __init__(self, config):
        super().__init__()
        size = config.head_size // 2
        self.speeds = 10000.0 ** (-torch.arange(size) / size)

    def forward(self, x, position_ids):
        angles = position_ids[:, None, :, None] * self.speeds  # (B, 1, T, K / 2)
        turn = torch.polar(torch.ones_like(angles), angles)
        real, imaginary = x.chunk(2, -1)
        turned = torch.complex(real, imaginary) * turn
        return torch.cat([turned.real, turned.imag], -1)


@pytest.fixture
def config(monkeypatch):
    """Of a small BERT with rotary positions."""
    monkeypatch.setitem(POSITION_SCHEMES, "rotary", Rotary)
    torch.manual_seed(1)
    return minibert.BertConfig.preset(
        "tiny",
        vocab_size=97,
        max_position_embeddings=20,
        initializer_range=0.2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        position_embedding_type="rotary",
    )


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_only_distances_count(tmp_path, config, attention):
    """Shifted positions change nothing, stretched ones do; saved and loaded, the same states."""
    config = minibert.BertConfig(**{**config.to_dict(), "attn_implementation": attention})
    model = minibert.BertModel(config).eval()
    assert not any("position_embeddings" in name for name in model.state_dict())
    ids = torch.arange(6)[None]
    state = model(IDS).last_hidden_state
    assert_close(model(IDS, position_ids=ids + 7).last_hidden_state, state, rtol=1e-4, atol=1e-4)
    assert (model(IDS, position_ids=2 * ids).last_hidden_state - state).abs().max() > 1e-2
    model.save_pretrained(tmp_path)
    again = minibert.BertModel.from_pretrained(tmp_path, attn_implementation=attention)
    assert torch.equal(again(IDS).last_hidden_state, state)


def weights_of(queries, keys):
    """Attention weights (B, H, T, T) by hand."""
    return (queries @ keys.transpose(-2, -1) / queries.shape[-1] ** 0.5).softmax(-1)


def test_views_have_the_queries_and_keys_that_were_compared(config):
    """Their product gives the weights that the model itself reports."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary += [chr(97 + i) for i in range(26)] + [f"w{i}" for i in range(66)]
    tokenizer = minibert.BertTokenizer(vocabulary)
    model = minibert.BertForPreTraining(config).eval()
    data = AttentionData.from_model(model, tokenizer, "a b c d e", queries_and_keys=True)
    assert data.num_layers == 2
    for queries, keys, weights in zip(data.queries, data.keys, data.attentions, strict=True):
        assert_close(weights_of(queries, keys), weights, rtol=1e-4, atol=1e-5)


def test_a_student_is_shown_the_scores_that_attention_had(config):
    model = minibert.BertForPreTraining(config).eval()
    labels = torch.full_like(IDS, -100)
    seen = run_model(model, {"input_ids": IDS, "labels": labels}, ("query", "key", "value"))
    attentions = model(IDS, output_attentions=True).attentions
    for layer, weights in enumerate(attentions):
        query, key = seen.vectors["query"][layer], seen.vectors["key"][layer]
        scores = attention_scores(query, key, config.num_attention_heads)
        assert_close(scores.softmax(-1), weights, rtol=1e-4, atol=1e-5)
