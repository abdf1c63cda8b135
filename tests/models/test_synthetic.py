"""The synthetic models as files: shapes, tokenizer, finite weights, and what a server makes of them."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from llmlab import models
from llmlab.models.synthetic import SHAPES, parameters, vocabulary


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_are_what_llama_cpp_needs(name):
    shape = SHAPES[name]
    assert shape.embedding % shape.heads == 0
    assert shape.heads % shape.heads_kv == 0
    assert shape.embedding % 32 == shape.feed_forward % 32 == 0
    tokens, scores, kinds = vocabulary(shape.vocabulary)
    assert len(tokens) == len(set(tokens)) == len(scores) == len(kinds) == shape.vocabulary


def test_sizes_are_as_their_names_say():
    assert parameters(SHAPES["20m"]) == pytest.approx(22e6, rel=0.05)
    assert parameters(SHAPES["200m"]) == pytest.approx(214e6, rel=0.05)
    assert SHAPES["20m"].kv_bytes_per_token == 5 * 1024
    assert SHAPES["200m"].kv_bytes_per_token == 16 * 1024


def test_every_token_can_be_reached_by_merging_two_others():
    """SentencePiece merges pairs: a piece whose halves are no pieces could never appear."""
    tokens, _, kinds = vocabulary(SHAPES["200m"].vocabulary)
    text = {token for token, kind in zip(tokens, kinds, strict=True) if kind == 1}
    for token in text:
        if len(token) > 1:
            assert any(token[:n] in text and token[n:] in text for n in range(1, len(token)))


def test_no_vocabulary_of_an_impossible_size():
    for size in (100, 10_000_000):
        with pytest.raises(ValueError, match="no vocabulary"):
            vocabulary(size)


def test_weights_are_small_and_finite_and_specials_are_never_likely():
    reader = gguf.GGUFReader(models.get("tiny").path)
    weights = {tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
    for name, array in weights.items():
        assert np.isfinite(array).all(), name
        assert np.abs(array).max() < 4, name
    assert not weights["output.weight"][:259].any()
    assert weights["output.weight"][259:].any(axis=1).all()
