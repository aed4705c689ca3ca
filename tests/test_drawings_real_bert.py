"""The drawings of chapter 11 show where a file's tensors are, and the mean of real tokens."""

import json

import torch
from safetensors.torch import save

from minibert.viz.drawings.real_bert import draw_safetensors, draw_sentence_vector


def texts(picture):
    """What is written in a drawing."""
    return [text.get_text() for text in picture.figure.axes[0].texts]


def test_a_file_is_drawn_with_the_bytes_that_safetensors_wrote():
    raw = save({"a": torch.zeros(2, 3), "b": torch.zeros(4)})
    length = int.from_bytes(raw[:8], "little")
    entries = json.loads(raw[8 : 8 + length])
    written = texts(draw_safetensors(length, entries, len(raw)))
    assert f"{length:,} bytes" in written and "40 bytes of numbers" in written
    assert written[written.index("a") + 1] == "F32, 2 × 3, bytes 0 to 24"
    assert written[written.index("b") + 1] == "F32, 4, bytes 24 to 40"


def test_a_sentence_vector_leaves_padding_out():
    """By hand: (6, 0) and (0, 8) have the mean (3, 4), whose length is 5."""
    states = torch.tensor([[6.0, 0], [0, 8], [9, 9]])
    picture = draw_sentence_vector(["bank", "[SEP]", "[PAD]"], states)
    written = texts(picture)
    assert {"3.00", "4.00", "0.60", "0.80", "divided by its length, 5.00"} <= set(written)
    assert "The mean of the real tokens is (3.00, 4.00, …)" in picture.alt
    assert "[PAD] (9.0, 9.0, …), left out" in picture.alt
    assert [w for w in written if w in ("0", "1")] == ["1", "1", "0"]
