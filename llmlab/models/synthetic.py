"""GGUF models written from a seed: real files for a real server, with nothing downloaded.

A model is a Llama with random Q8_0 weights and a tokenizer of letters, so what it says is pronounceable
nonsense at the speed, memory and file size of a model of its shape. The bytes are the same on every machine:
the weights come straight from PCG64's raw 64-bit output (numpy promises that stream, NEP 19; it does not
promise `Generator.integers`), every scale is a power of two, and no float is computed.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

QK8_0 = 32  # weights in a Q8_0 block: one float16 scale, then 32 int8 (ggml-common.h, block_q8_0)
_CONTROL, _BYTE, _NORMAL, _UNKNOWN = 3, 6, 1, 2  # llama_token_type (llama.h)
_SPECIAL = ("<unk>", "<s>", "</s>")
_VOWELS = "aeiou"
_CONSONANTS = "bcdfghjklmnpqrstvwxyz"
_SPACE = "▁"  # SentencePiece's visible space


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a synthetic Llama. `scale` is the binary exponent of the weights' scale: weights have
    a standard deviation of about 73 × 2**-scale, near 1/sqrt(embedding), so that activations stay near 1."""

    seed: int
    context: int
    embedding: int
    feed_forward: int
    blocks: int
    heads: int
    heads_kv: int
    vocabulary: int
    scale: int

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of float16 KV cache one token takes: 2 (K and V) × blocks × heads_kv × head size × 2."""
        return 2 * self.blocks * self.heads_kv * (self.embedding // self.heads) * 2


SHAPES = {
    "tiny": Shape(1, 8192, 64, 192, 2, 2, 1, 1792, 9),
    "20m": Shape(20, 32768, 384, 1024, 10, 6, 2, 8192, 10),
    "200m": Shape(200, 32768, 1024, 2816, 16, 16, 4, 16384, 11),
}


def pieces() -> Iterator[str]:
    """Text pieces in the order of their merging: characters, then pairs, then pronounceable triples.

    Every pair is in any vocabulary that holds a triple, so that SentencePiece's pairwise merges reach it.
    """
    yield _SPACE
    yield from (c for c in string.printable if c.isprintable() and c != " ")
    letters = string.ascii_lowercase
    yield from (_SPACE + a for a in letters)
    yield from (a + b for a in letters for b in letters)
    yield from (_SPACE + a + b for a in letters for b in letters)
    v, c = _VOWELS, _CONSONANTS
    for first, second, third in ((c, v, c), (v, c, v), (c, c, v), (v, c, c), (v, v, c), (c, v, v)):
        yield from (x + y + z for x in first for y in second for z in third)
    for first, second, third in ((c, v, c), (v, c, v), (c, c, v), (v, c, c)):
        yield from (_SPACE + x + y + z for x in first for y in second for z in third)


def vocabulary(size: int) -> tuple[list[str], list[float], list[int]]:
    """Tokens, merge scores and token types of a SentencePiece-like vocabulary of exactly `size` tokens.

    :raises ValueError: when there are not that many pieces, or no room for the bytes and characters.
    """
    fixed = len(_SPECIAL) + 256
    text = [piece for piece, _ in zip(pieces(), range(size - fixed), strict=False)]
    if len(text) != size - fixed or len(text) < 95:
        raise ValueError(f"no vocabulary of {size} tokens")
    tokens = [*_SPECIAL, *(f"<0x{b:02X}>" for b in range(256)), *text]
    scores = [0.0] * fixed + [-float(n) for n in range(len(text))]
    kinds = [_UNKNOWN, _CONTROL, _CONTROL] + [_BYTE] * 256 + [_NORMAL] * len(text)
    return tokens, scores, kinds


def _tensors(shape: Shape) -> Iterator[tuple[str, int, int, int]]:
    """(name, rows, columns, binary exponent of the scale) in file order; rows 0 marks a norm of ones."""
    e, ff, kv = shape.embedding, shape.feed_forward, shape.heads_kv * (shape.embedding // shape.heads)
    yield "token_embd.weight", shape.vocabulary, e, 6
    yield "output_norm.weight", 0, e, 0
    yield "output.weight", shape.vocabulary, e, shape.scale - 1
    for n in range(shape.blocks):
        yield f"blk.{n}.attn_norm.weight", 0, e, 0
        yield f"blk.{n}.attn_q.weight", e, e, shape.scale
        yield f"blk.{n}.attn_k.weight", kv, e, shape.scale
        yield f"blk.{n}.attn_v.weight", kv, e, shape.scale
        yield f"blk.{n}.attn_output.weight", e, e, shape.scale
        yield f"blk.{n}.ffn_norm.weight", 0, e, 0
        yield f"blk.{n}.ffn_gate.weight", ff, e, shape.scale
        yield f"blk.{n}.ffn_up.weight", ff, e, shape.scale
        yield f"blk.{n}.ffn_down.weight", e, ff, shape.scale


def parameters(shape: Shape) -> int:
    """How many weights a model of this shape has."""
    return sum(max(rows, 1) * columns for _, rows, columns, _ in _tensors(shape))


def _q8_0(bits: np.random.PCG64, rows: int, columns: int, exponent: int) -> NDArray[np.uint8]:
    """Random Q8_0 blocks, shape (rows, columns / 32 × 34) bytes, all with the scale 2**-exponent."""
    count = rows * columns
    # "<u8" so that the order of the bytes does not follow the machine's
    raw: NDArray[np.int8] = np.asarray(bits.random_raw(count // 8)).astype("<u8", copy=False).view(np.int8)
    np.maximum(raw, -127, out=raw)  # Q8_0's own range; -128 is never written by ggml
    out = np.empty((count // QK8_0, 2 + QK8_0), dtype=np.uint8)
    out[:, 0] = 0
    out[:, 1] = (15 - exponent) << 2  # a float16 power of two: sign 0, exponent + bias 15, mantissa 0
    out[:, 2:] = raw.view(np.uint8).reshape(-1, QK8_0)
    return out.reshape(rows, -1)


def write(path: Path, shape: Shape, name: str, *, say: Callable[[str], None] | None = None) -> None:
    """Write the model of this shape to `path` (not atomic: the caller renames).

    Rows of the output matrix that belong to special and byte tokens are zero: with any top-k they are never
    among the best, so every token is printable text, a stream never ends early, and chunks equal tokens.
    """
    import gguf

    tokens, scores, kinds = vocabulary(shape.vocabulary)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(f"llmlab synthetic {name}")
    writer.add_license("apache-2.0")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.embedding)
    writer.add_block_count(shape.blocks)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads_kv)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    tensors = list(_tensors(shape))
    for tensor, rows, columns, _ in tensors:
        if rows == 0:
            writer.add_tensor_info(tensor, (columns,), np.dtype(np.float32), columns * 4)
        else:
            width = columns // QK8_0 * (2 + QK8_0)
            writer.add_tensor_info(
                tensor,
                (rows, width),
                np.dtype(np.uint8),
                rows * width,
                raw_dtype=gguf.GGMLQuantizationType.Q8_0,
            )
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        bits = np.random.PCG64(shape.seed)
        for done, (tensor, rows, columns, exponent) in enumerate(tensors, 1):
            if rows == 0:
                writer.write_tensor_data(np.ones(columns, dtype=np.float32))
                continue
            block = _q8_0(bits, rows, columns, exponent)
            if tensor == "output.weight":
                block[: len(_SPECIAL) + 256] = 0
            writer.write_tensor_data(block)
            if say is not None:
                say(f"writing {name}: {100 * done // len(tensors)} %")
    finally:
        writer.close()
