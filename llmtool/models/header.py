"""Read the header of a GGUF file by hand, within bounds, before llama.cpp maps it.

The layout is the one of the GGUF specification (versions 2 and 3, little-endian), read as strictly
as llama.cpp's own reader does. But: large arrays (the vocabulary) are walked and not kept; their
strings are read on request. A mapping would die of SIGBUS when a file shrinks, so bytes are read.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from llmtool.errors import ModelNotFound, ModelUnreadable

MAX_HEADER_BYTES: Final = 256 * 1024 * 1024
MAX_KEYS: Final = 65_536
MAX_TENSORS: Final = 262_144
MAX_KEY_BYTES: Final = 65_535
MAX_STRING_BYTES: Final = 16 * 1024 * 1024
MAX_KEPT_VALUES: Final = 4096  # longer arrays stay in the file
_MAX_NAME_BYTES = 63
_WINDOW = 1024 * 1024

_STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS = {
    0: struct.Struct("<B"), 1: struct.Struct("<b"), 2: struct.Struct("<H"),
    3: struct.Struct("<h"), 4: struct.Struct("<I"), 5: struct.Struct("<i"),
    6: struct.Struct("<f"), 7: struct.Struct("<B"), 10: struct.Struct("<Q"),
    11: struct.Struct("<q"), 12: struct.Struct("<d"),
}  # fmt: skip
_U32, _U64 = _SCALARS[4], _SCALARS[10]

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

# general.file_type -> quant label
_FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0",
    38: "MXFP4_MOE", 39: "NVFP4", 40: "Q1_0", 41: "Q2_0",
}  # fmt: skip


class Array(msgspec.Struct, frozen=True, kw_only=True):
    """An array of the metadata. `values` is None when it is long: see `read_strings`."""

    is_text: bool
    count: int
    offset: int  # of its first element in the file
    end: int
    values: tuple[int | float | str, ...] | None = None


Value = int | float | bool | str | Array


class Tensor(msgspec.Struct, frozen=True):
    """A tensor's place: `offset` counts from the start of the data, `shape` is innermost first."""

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    size_bytes: int

    @property
    def n_elements(self) -> int:
        total = 1
        for n in self.shape:
            total *= n
        return total


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What one GGUF file says about itself."""

    version: int
    metadata: dict[str, Value]
    tensors: tuple[Tensor, ...]
    data_offset: int
    size_bytes: int  # of the file

    def integer(self, key: str) -> int | None:
        """Return an integer of the architecture's own keys, such as `block_count`."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def per_layer(self, key: str) -> tuple[int, ...] | None:
        """Return a key that is one number for all layers or a list with one for each."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        if isinstance(value, Array):
            return tuple(int(v) for v in value.values or () if not isinstance(v, str))
        number = self.integer(key)
        return None if number is None else (number,) * (self.block_count or 0)

    def text(self, key: str) -> str | None:
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None

    @property
    def architecture(self) -> str:
        return self.text("general.architecture") or ""

    @property
    def name(self) -> str | None:
        return self.text("general.name")

    @property
    def licence(self) -> str | None:
        return self.text("general.license")

    @property
    def context_length(self) -> int | None:
        return self.integer("context_length")

    @property
    def block_count(self) -> int | None:
        return self.integer("block_count")

    @property
    def embedding_length(self) -> int | None:
        return self.integer("embedding_length")

    @property
    def head_count(self) -> tuple[int, ...] | None:
        return self.per_layer("attention.head_count")

    @property
    def head_count_kv(self) -> tuple[int, ...] | None:
        return self.per_layer("attention.head_count_kv") or self.head_count

    @property
    def key_length(self) -> int | None:
        return self.integer("attention.key_length") or self._head_size()

    @property
    def value_length(self) -> int | None:
        return self.integer("attention.value_length") or self._head_size()

    def _head_size(self) -> int | None:
        heads = max(self.head_count or (0,))
        return self.embedding_length // heads if self.embedding_length and heads else None

    @property
    def n_vocab(self) -> int | None:
        tokens = self.metadata.get("tokenizer.ggml.tokens")
        return tokens.count if isinstance(tokens, Array) else self.integer("vocab_size")

    @property
    def n_params(self) -> int:
        return sum(t.n_elements for t in self.tensors)

    @property
    def weights_bytes(self) -> int:
        return sum(t.size_bytes for t in self.tensors)

    @property
    def quant(self) -> str | None:
        """The label of the file's type, else the type that most of its weights have."""
        number = self.metadata.get("general.file_type")
        if isinstance(number, int) and number in _FILE_TYPES:
            return _FILE_TYPES[number]
        sizes: dict[str, int] = {}
        for tensor in self.tensors:
            sizes[tensor.type] = sizes.get(tensor.type, 0) + tensor.n_elements
        return max(sizes, key=lambda t: sizes[t]) if sizes else None

    @property
    def chat_template(self) -> str | None:
        return self.text("tokenizer.chat_template")

    @property
    def chat_templates(self) -> dict[str, str]:
        """Every chat template by its name; the main one is `default`."""
        prefix = "tokenizer.chat_template"
        found = {"default": self.chat_template} if self.chat_template else {}
        for key, value in self.metadata.items():
            if key.startswith(f"{prefix}.") and isinstance(value, str):
                found[key[len(prefix) + 1 :]] = value
        return found

    @property
    def special_tokens(self) -> dict[str, int]:
        """Roles (`bos`, `eos`, `eot`, `padding`, …) and their token ids."""
        prefix, suffix = "tokenizer.ggml.", "_token_id"
        return {
            key[len(prefix) : -len(suffix)]: value
            for key, value in self.metadata.items()
            if key.startswith(prefix) and key.endswith(suffix) and isinstance(value, int)
        }

    @property
    def split_count(self) -> int:
        count = self.metadata.get("split.count")
        return count if isinstance(count, int) and count > 1 else 1


def read_header(path: Path) -> Header:
    """Read and check the header of a GGUF file.

    Raises:
        ModelNotFound: there is no such file.
        ModelUnreadable: it is not a whole, well-formed GGUF file; the message says why.
    """
    with open_model(path) as file:
        size = os.fstat(file.fileno()).st_size
        return _Reader(file, size, path).header()


def read_strings(path: Path, array: Array) -> list[bytes]:
    """Read the strings of an array that `read_header` found in this file, as they are stored."""
    with open_model(path) as file:
        file.seek(array.offset)
        body = file.read(array.end - array.offset)
    strings, position, unpack = [], 0, _U64.unpack_from
    try:
        for _ in range(array.count):
            start = position + 8
            position = start + unpack(body, position)[0]
            strings.append(body[start:position])
    except struct.error as exc:
        raise ModelUnreadable(f"{path}: changed while it was read") from exc
    return strings


def open_model(path: Path) -> BinaryIO:
    """Open a regular file for reading; never blocks on a FIFO or a device.

    Raises:
        ModelNotFound: there is no such file.
        ModelUnreadable: it is a directory or a device, or reading it is not allowed.
    """
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            file = os.fdopen(descriptor, "rb", buffering=0)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return file
            file.close()
    except (FileNotFoundError, NotADirectoryError) as exc:
        link = " (a link whose target is gone)" if os.path.islink(path) else ""
        raise ModelNotFound(f"{path}: no such file{link}") from exc
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "not a file name"
        raise ModelUnreadable(f"{path}: cannot be read: {reason}") from exc
    kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
    raise ModelUnreadable(f"{path}: is {kind}; a model is one .gguf file")


class _Reader:
    """A cursor over the first bytes of a file; the window grows as the header needs it."""

    def __init__(self, file: BinaryIO, size: int, path: Path) -> None:
        self.file, self.size, self.path = file, size, path
        self.window, self.position = bytearray(), 0

    def fail(self, reason: str) -> ModelUnreadable:
        return ModelUnreadable(f"{self.path}: {reason}")

    def reach(self, end: int) -> None:
        """Have the bytes up to `end` in the window."""
        if end <= len(self.window):
            return
        if end > self.size:
            raise self.fail(f"is truncated: the header goes on past its {self.size} bytes")
        if end > MAX_HEADER_BYTES:
            raise self.fail(f"has a header of more than {MAX_HEADER_BYTES >> 20} MiB: damaged")
        wanted = min(max(end, 2 * len(self.window), _WINDOW), self.size, MAX_HEADER_BYTES)
        while len(self.window) < wanted:
            chunk = self.file.read(wanted - len(self.window))
            if not chunk:
                raise self.fail("is truncated: it shrank while it was read")
            self.window += chunk

    def number(self, form: struct.Struct) -> int:
        self.reach(self.position + form.size)
        value: int = form.unpack_from(self.window, self.position)[0]
        self.position += form.size
        return value

    def string(self, limit: int, what: str) -> str:
        length = self.number(_U64)
        if length > limit:
            raise self.fail(f"{what} is {length} bytes long, more than {limit}: damaged")
        self.reach(self.position + length)
        text = bytes(self.window[self.position : self.position + length])
        self.position += length
        return text.decode("utf-8", "replace")

    def header(self) -> Header:
        self.reach(min(self.size, 24))
        start = bytes(self.window[:512])
        if start[:4] != b"GGUF":
            raise self.fail(describe_start(start, self.size))
        self.position = 4
        version = self.number(_U32)
        if version & 0xFFFF == 0:
            raise self.fail("is a big-endian GGUF file; fetch a little-endian one")
        if version not in (2, 3):
            raise self.fail(f"has GGUF version {version}; versions 2 and 3 can be read")
        n_tensors, n_keys = self.number(_U64), self.number(_U64)
        room = self.size - self.position
        if n_tensors > MAX_TENSORS or n_keys > MAX_KEYS or n_keys * 13 + n_tensors * 24 > room:
            raise self.fail(f"claims {n_keys} keys and {n_tensors} tensors: damaged or truncated")
        metadata = dict(self.items(n_keys))
        if len(metadata) != n_keys:
            raise self.fail("has the same key twice: damaged")
        alignment = self.alignment(metadata)
        tensors = tuple(self.tensors(n_tensors, alignment))
        data_offset = -(-self.position // alignment) * alignment
        if tensors:
            end = data_offset + tensors[-1].offset + tensors[-1].size_bytes
            if end > self.size:
                raise self.fail(
                    f"is truncated: {self.size} of {end} bytes are there; fetch it again"
                )
        return Header(
            version=version,
            metadata=metadata,
            tensors=tensors,
            data_offset=data_offset,
            size_bytes=self.size,
        )

    def alignment(self, metadata: dict[str, Value]) -> int:
        value = metadata.get("general.alignment", 32)
        if not isinstance(value, int) or value <= 0 or value & (value - 1) or value > 1 << 30:
            raise self.fail(f"has alignment {value!r}, which is no power of two: damaged")
        return value

    def items(self, count: int) -> Iterator[tuple[str, Value]]:
        for index in range(count):
            key = self.string(MAX_KEY_BYTES, f"the name of key {index}")
            if not key or "\0" in key:
                raise self.fail(f"key {index} has the name {key!r}: damaged")
            yield key, self.value(key)

    def value(self, key: str) -> Value:
        kind = self.number(_U32)
        if kind == _STRING:
            return self.string(MAX_STRING_BYTES, f"the value of {key!r}")
        if kind == _ARRAY:
            return self.array(key)
        if kind not in _SCALARS:
            raise self.fail(f"key {key!r} has the unknown type {kind}: damaged")
        number = self.number(_SCALARS[kind])
        if kind == _BOOL and number > 1:
            raise self.fail(f"key {key!r} has the truth value {number}: damaged")
        return bool(number) if kind == _BOOL else number

    def array(self, key: str) -> Array:
        kind, count = self.number(_U32), self.number(_U64)
        start = self.position
        if kind != _STRING and kind not in _SCALARS:
            raise self.fail(f"the array {key!r} has the type {kind}, which cannot be read: damaged")
        width = 8 if kind == _STRING else _SCALARS[kind].size
        if count * width > self.size - start:
            raise self.fail(f"the array {key!r} claims {count} values: damaged or truncated")
        values: tuple[int | float | str, ...] | None = None
        if kind == _STRING:
            self.walk_strings(count)
            if count <= 64 and self.position - start <= MAX_KEPT_VALUES:
                end, self.position = self.position, start
                values = tuple(self.string(MAX_STRING_BYTES, key) for _ in range(count))
                self.position = end
        else:
            self.position += count * width
            self.reach(self.position)
            if count <= MAX_KEPT_VALUES:
                body = self.window[start : self.position]
                values = tuple(v for (v,) in _SCALARS[kind].iter_unpack(body))
        return Array(
            is_text=kind == _STRING, count=count, offset=start, end=self.position, values=values
        )

    def walk_strings(self, count: int) -> None:
        """Step over strings. The hot loop: 300,000 steps for a 152,000-token vocabulary."""
        position, left, unpack = self.position, count, _U64.unpack_from
        while left:
            window = self.window
            try:
                while left:
                    position += 8 + unpack(window, position)[0]
                    left -= 1
            except (struct.error, OverflowError, IndexError):
                self.reach(position + 8)
        self.position = position
        self.reach(position)

    def tensors(self, count: int, alignment: int) -> Iterator[Tensor]:
        names: set[str] = set()
        expected = 0
        for index in range(count):
            name = self.string(_MAX_NAME_BYTES, f"the name of tensor {index}")
            if name in names or "\0" in name:
                raise self.fail(f"has the tensor {name!r} twice or misspelt: damaged")
            names.add(name)
            n_dims = self.number(_U32)
            if n_dims > 4:
                raise self.fail(f"tensor {name!r} has {n_dims} dimensions: damaged")
            shape = tuple(self.number(_U64) for _ in range(n_dims))
            kind, offset = self.number(_U32), self.number(_U64)
            if kind not in TENSOR_TYPES:
                raise self.fail(
                    f"tensor {name!r} has the unknown type {kind}; llama.cpp may be old"
                )
            label, block, width = TENSOR_TYPES[kind]
            n_elements = 1
            for n in shape:
                n_elements *= n
            if not 0 < n_elements < 1 << 62 or (shape[0] if shape else 1) % block:
                raise self.fail(f"tensor {name!r} has the shape {shape} for {label}: damaged")
            if offset != expected:
                raise self.fail(f"tensor {name!r} starts at {offset}, not at {expected}: damaged")
            size = n_elements // block * width
            expected += -(-size // alignment) * alignment
            yield Tensor(name, shape, label, offset, size)


def describe_start(start: bytes, size: int) -> str:
    """Say what a file is that does not begin with GGUF, from its first bytes."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if size == 0:
        return "is empty; fetch it again"
    if text.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the model; run `git lfs pull` or `llmtool models pull`"
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
        return "is an HTML page, not a model; a login or error page was saved in its place"
    if text.startswith((b"{", b"[")):
        return "is JSON text, not a model"
    if start[8:9] == b"{":
        return "is a safetensors file; fetch the model's GGUF version"
    if start[:2] == b"PK":
        return "is a ZIP or PyTorch file; fetch the model's GGUF version"
    if start[:4] in (b"lmgg", b"fmgg", b"tjgg", b"algg"):
        return "is in the old GGML format; fetch the model's GGUF version"
    return f"is not a GGUF file: it begins with {start[:4]!r}"
