"""The header of a GGUF file: metadata, tensors, and derived values."""

from __future__ import annotations

import msgspec

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
    """A metadata array. `values` is None for long arrays; see `read_strings`."""

    is_text: bool
    count: int
    offset: int  # in the file, of the first element
    end: int
    values: tuple[int | float | str, ...] | None = None


Value = int | float | bool | str | Array


class Tensor(msgspec.Struct, frozen=True):
    """A tensor. `offset` is in bytes from the start of the data, `shape` is innermost first."""

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
    """The header of one GGUF file."""

    version: int
    metadata: dict[str, Value]
    tensors: tuple[Tensor, ...]
    data_offset: int
    size_bytes: int  # of the file

    def integer(self, key: str) -> int | None:
        """Return an integer from the keys of the architecture, such as `block_count`."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def per_layer(self, key: str) -> tuple[int, ...] | None:
        """Return the value of a key for each layer; the file has one value or a list."""
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
    def block_count(self) -> int | None:
        return self.integer("block_count")

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
        width = self.integer("embedding_length")
        return width // heads if width and heads else None

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
        """The quant label of the file type, or else the most frequent tensor type by weights."""
        number = self.metadata.get("general.file_type")
        if isinstance(number, int) and number in _FILE_TYPES:
            return _FILE_TYPES[number]
        sizes: dict[str, int] = {}
        for tensor in self.tensors:
            sizes[tensor.type] = sizes.get(tensor.type, 0) + tensor.n_elements
        return max(sizes, key=lambda t: sizes[t]) if sizes else None

    @property
    def special_tokens(self) -> dict[str, int]:
        """Token ids by role: `bos`, `eos`, `eot`, `padding`, …"""
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
