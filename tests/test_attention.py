"""Attention: two ways that agree, and padding that nobody sees."""

import pytest
import torch
from torch.testing import assert_close

import minibert
from minibert.attention import PooledQueryAttention, additive_mask, scaled_dot_product_attention


def test_equals_torch():
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 7, 5)
    mask = additive_mask(torch.tensor([[1] * 7, [1, 1, 1, 0, 0, 0, 0]]), query.dtype)
    ours, weights = scaled_dot_product_attention(query, key, value, mask)
    theirs = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask)
    assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert_close(weights.sum(-1), torch.ones(2, 4, 7))
    assert weights[1, :, :, 3:].abs().max() == 0


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_padding_changes_no_real_token(attention):
    torch.manual_seed(0)
    config = minibert.BertConfig.preset("tiny", vocab_size=50, attn_implementation=attention)
    model = minibert.BertModel(config).eval()
    ids = torch.randint(1, 50, (1, 6))
    alone = model(ids).last_hidden_state
    padded_ids = torch.cat([ids, torch.randint(1, 50, (1, 5))], dim=1)
    mask = torch.tensor([[1] * 6 + [0] * 5])
    padded = model(padded_ids, attention_mask=mask).last_hidden_state[:, :6]
    assert_close(padded, alone, rtol=1e-5, atol=1e-5)
    unmasked = model(padded_ids).last_hidden_state[:, :6]
    assert (unmasked - alone).abs().max() > 1e-3  # without the mask it would


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_fully_masked_row_is_finite(attention):
    config = minibert.BertConfig.preset("tiny", vocab_size=50, attn_implementation=attention)
    model = minibert.BertModel(config).eval()
    out = model(torch.ones(1, 4, dtype=torch.long), attention_mask=torch.zeros(1, 4))
    assert out.last_hidden_state.isfinite().all()


def test_pooled_query():
    torch.manual_seed(0)
    attention = PooledQueryAttention(12, 3)
    x = torch.randn(2, 5, 12)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    vector, weights = attention(x, mask)
    assert vector.shape == (2, 12) and weights.shape == (2, 3, 5)
    assert_close(attention(x[1:, :3])[0], vector[1:])  # padding is as if it were not there
    # By hand, head 1 of sequence 0.
    query, key = attention.query(x[0].mean(0))[4:8], attention.key(x[0])[:, 4:8]
    assert_close(weights[0, 1], (key @ query / 2).softmax(0))


def test_pooled_query_of_nothing_is_finite():
    torch.manual_seed(0)
    attention = PooledQueryAttention(12, 3)
    x = torch.randn(1, 5, 12, requires_grad=True)
    vector, weights = attention(x, torch.zeros(1, 5))
    vector.sum().backward()
    assert vector.isfinite().all() and weights.isfinite().all() and x.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(7,), (1, 1, 1, 7)])
def test_a_mask_of_another_shape_is_named(shape):
    config = minibert.BertConfig.preset("tiny", vocab_size=50)
    with pytest.raises(ValueError, match=r"it must be \(B, T\) or \(B, T, T\)"):
        minibert.BertModel(config)(torch.ones(1, 7, dtype=torch.long), torch.ones(shape))


def test_bad_ids_and_lengths_are_named():
    config = minibert.BertConfig.preset("tiny", vocab_size=50, max_position_embeddings=8)
    model = minibert.BertModel(config)
    with pytest.raises(ValueError, match=r"id 50, outside 0\.\.49"):
        model(torch.tensor([[50]]))
    with pytest.raises(ValueError, match="9 tokens but the model holds at most 8"):
        model(torch.zeros(1, 9, dtype=torch.long))
    with pytest.raises(ValueError, match="does not divide"):
        minibert.BertConfig(hidden_size=10, num_attention_heads=3)
    with pytest.warns(UserWarning, match="unknown config keys are ignored: hiden_size"):
        minibert.BertConfig.from_dict({"hiden_size": 3})
