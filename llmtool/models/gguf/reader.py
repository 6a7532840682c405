"""Read the header of a GGUF file, with bounds checks, before llama.cpp maps it.

Follows the GGUF specification (versions 2 and 3, little-endian) as strictly as llama.cpp's reader.
But: large arrays, such as the vocabulary, are skipped; `read_strings` reads them on demand.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from llmtool.errors import ModelUnreadable
from llmtool.models.gguf.cursor import U32, U64, Cursor, open_model
from llmtool.models.gguf.header import Array, Header, Tensor, Value

MAX_KEYS: Final = 65_536
MAX_TENSORS: Final = 262_144
MAX_KEY_BYTES: Final = 65_535
MAX_STRINGS: Final = 1 << 21  # of all arrays; Gemma 3 has 800,000 tokens and merges
MAX_STRING_BYTES: Final = 16 * 1024 * 1024
MAX_LOADED_VALUES: Final = 4096  # longer arrays are skipped
_MAX_NAME_BYTES = 63

_STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS = {
    0: struct.Struct("<B"), 1: struct.Struct("<b"), 2: struct.Struct("<H"),
    3: struct.Struct("<h"), 4: U32, 5: struct.Struct("<i"), 6: struct.Struct("<f"),
    7: struct.Struct("<B"), 10: U64, 11: struct.Struct("<q"), 12: struct.Struct("<d"),
}  # fmt: skip

# Tensor types: number -> (name, values per block, bytes per block)
TENSOR_TYPES: Final[dict[int, tuple[str, int, int]]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2),
    26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18), 42: ("Q2_0", 64, 18),
}  # fmt: skip


def read_header(path: Path) -> Header:
    """Read and check the header of a GGUF file.

    Raises:
        ModelNotFound: the file does not exist.
        ModelUnreadable: not a complete and well-formed GGUF file.
    """
    with open_model(path) as file:
        size = os.fstat(file.fileno()).st_size
        return _read_header(Cursor(file, size, path))


def read_strings(path: Path, array: Array) -> list[bytes]:
    """Read the strings of an array from `read_header` of the same file, as bytes.

    Raises:
        ModelUnreadable: the file has changed since.
    """
    with open_model(path) as file:
        file.seek(array.offset)
        body = file.read(array.end - array.offset)
    strings, position, unpack = [], 0, U64.unpack_from
    try:
        for _ in range(array.count):
            start = position + 8
            position = start + unpack(body, position)[0]
            strings.append(body[start:position])
    except struct.error as exc:
        raise ModelUnreadable(f"{path}: changed while it was being read") from exc
    return strings


def _read_header(cursor: Cursor) -> Header:
    cursor.reach(min(cursor.size, 24))
    start = bytes(cursor.window[:512])
    if start[:4] != b"GGUF":
        raise cursor.fail(describe_start(start, cursor.size))
    cursor.position = 4
    version = cursor.number(U32)
    if version & 0xFFFF == 0:
        raise cursor.fail("big-endian GGUF is not supported; download a little-endian file")
    if version not in (2, 3):
        raise cursor.fail(f"GGUF version {version} is not supported; use version 2 or 3")
    n_tensors, n_keys = cursor.number(U64), cursor.number(U64)
    remaining = cursor.size - cursor.position
    if n_tensors > MAX_TENSORS or n_keys > MAX_KEYS or n_keys * 13 + n_tensors * 24 > remaining:
        raise cursor.fail(f"damaged or truncated: declares {n_keys} keys and {n_tensors} tensors")
    metadata = dict(_read_items(cursor, n_keys))
    if len(metadata) != n_keys:
        raise cursor.fail("damaged: duplicate key")
    alignment = _find_alignment(cursor, metadata)
    tensors = tuple(_read_tensors(cursor, n_tensors, alignment))
    data_offset = -(-cursor.position // alignment) * alignment
    if tensors:
        end = data_offset + tensors[-1].offset + tensors[-1].size_bytes
        if end > cursor.size:
            raise cursor.fail(f"truncated: {cursor.size} of {end} bytes; download it again")
    return Header(
        version=version,
        metadata=metadata,
        tensors=tensors,
        data_offset=data_offset,
        size_bytes=cursor.size,
    )


def _find_alignment(cursor: Cursor, metadata: dict[str, Value]) -> int:
    value = metadata.get("general.alignment", 32)
    if not isinstance(value, int) or value <= 0 or value & (value - 1) or value > 1 << 30:
        raise cursor.fail(f"damaged: alignment {value!r} is not a power of two")
    return value


def _read_items(cursor: Cursor, count: int) -> Iterator[tuple[str, Value]]:
    for index in range(count):
        key = cursor.string(MAX_KEY_BYTES, f"the name of key {index}")
        if not key or "\0" in key:
            raise cursor.fail(f"damaged: key {index} has the invalid name {key!r}")
        yield key, _read_value(cursor, key)


def _read_value(cursor: Cursor, key: str) -> Value:
    kind = cursor.number(U32)
    if kind == _STRING:
        return cursor.string(MAX_STRING_BYTES, f"the value of {key!r}")
    if kind == _ARRAY:
        return _read_array(cursor, key)
    if kind not in _SCALARS:
        raise cursor.fail(f"damaged: key {key!r} has unknown type {kind}")
    number = cursor.number(_SCALARS[kind])
    if kind == _BOOL and number > 1:
        raise cursor.fail(f"damaged: key {key!r} has boolean value {number}")
    return bool(number) if kind == _BOOL else number


def _read_array(cursor: Cursor, key: str) -> Array:
    kind, count = cursor.number(U32), cursor.number(U64)
    start = cursor.position
    if kind != _STRING and kind not in _SCALARS:
        raise cursor.fail(f"damaged: array {key!r} has unsupported type {kind}")
    width = 8 if kind == _STRING else _SCALARS[kind].size
    if count * width > cursor.size - start:
        raise cursor.fail(f"damaged or truncated: array {key!r} declares {count} values")
    if kind == _STRING:
        cursor.n_strings += count
    if cursor.n_strings > MAX_STRINGS:
        raise cursor.fail(f"damaged: more than {MAX_STRINGS} strings, with {count} in {key!r}")
    values: tuple[int | float | str, ...] | None = None
    if kind == _STRING:
        cursor.skip_strings(count)
        if count <= 64 and cursor.position - start <= MAX_LOADED_VALUES:
            end, cursor.position = cursor.position, start
            values = tuple(cursor.string(MAX_STRING_BYTES, key) for _ in range(count))
            cursor.position = end
    else:
        cursor.position += count * width
        cursor.reach(cursor.position)
        if count <= MAX_LOADED_VALUES:
            body = cursor.window[start : cursor.position]
            values = tuple(v for (v,) in _SCALARS[kind].iter_unpack(body))
    return Array(
        is_text=kind == _STRING, count=count, offset=start, end=cursor.position, values=values
    )


def _read_tensors(cursor: Cursor, count: int, alignment: int) -> Iterator[Tensor]:
    names: set[str] = set()
    expected = 0
    for index in range(count):
        name = cursor.string(_MAX_NAME_BYTES, f"the name of tensor {index}")
        if name in names or "\0" in name:
            raise cursor.fail(f"damaged: tensor name {name!r} is duplicate or invalid")
        names.add(name)
        n_dims = cursor.number(U32)
        if n_dims > 4:
            raise cursor.fail(f"damaged: tensor {name!r} has {n_dims} dimensions")
        shape = tuple(cursor.number(U64) for _ in range(n_dims))
        kind, offset = cursor.number(U32), cursor.number(U64)
        if kind not in TENSOR_TYPES:
            raise cursor.fail(
                f"tensor {name!r} has unknown type {kind}; it may need a newer llama.cpp"
            )
        label, block, width = TENSOR_TYPES[kind]
        n_elements = 1
        for n in shape:
            n_elements *= n
        if not 0 < n_elements < 1 << 62 or (shape[0] if shape else 1) % block:
            raise cursor.fail(f"damaged: tensor {name!r} has shape {shape}, invalid for {label}")
        if offset != expected:
            raise cursor.fail(f"damaged: tensor {name!r} starts at {offset}, expected {expected}")
        size = n_elements // block * width
        expected += -(-size // alignment) * alignment
        yield Tensor(name, shape, label, offset, size)


def describe_start(start: bytes, size: int) -> str:
    """Describe a file that is not GGUF by its first bytes."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if size == 0:
        return "empty file; download it again"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not a model; run `git lfs pull` or `llmtool models pull`"
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
        return "an HTML page, not a model; probably a login or error page"
    if text.startswith((b"{", b"[")):
        return "JSON, not a model"
    if start[8:9] == b"{":
        return "a safetensors file; download the GGUF version of the model"
    if start[:2] == b"PK":
        return "a ZIP or PyTorch file; download the GGUF version of the model"
    if start[:4] in (b"lmgg", b"fmgg", b"tjgg", b"algg"):
        return "old GGML format; download the GGUF version of the model"
    return f"not a GGUF file: it starts with {start[:4].decode('latin-1')!r}; use a .gguf file"
