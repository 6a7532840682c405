import os
import random
import struct
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models.gguf_bytes import METADATA, VOCABULARY, build, item, tensor, text

from llmtool.errors import LlmtoolError, ModelNotFound, ModelUnreadable
from llmtool.models.gguf import reader
from llmtool.models.gguf.check import check
from llmtool.models.gguf.header import Array
from llmtool.models.gguf.reader import read_header, read_strings


def test_header_fields_are_read(write):
    header = read_header(write(build()))
    assert header.architecture == "llama"
    assert header.text("general.name") == "Hand made"
    assert header.text("general.license") == "apache-2.0"
    assert header.block_count == 2
    assert header.integer("context_length") == 512
    assert header.integer("embedding_length") == 64
    assert (header.head_count, header.head_count_kv) == ((4, 4), (2, 2))
    assert (header.key_length, header.value_length) == (16, 16)
    assert header.text("tokenizer.chat_template") == "{{ messages }}"
    assert header.special_tokens == {"bos": 1, "eos": 2}
    assert header.n_params == 64 * 5 + 64
    assert header.weights_bytes == 4 * header.n_params
    assert (header.quant, header.n_vocab) == ("F32", 5)


def test_array_strings_are_read_on_demand(write):
    path = write(build())
    tokens = read_header(path).metadata["tokenizer.ggml.tokens"]
    assert read_strings(path, tokens) == [token.encode() for token in VOCABULARY]


def test_head_count_can_differ_per_layer(write):
    changes = {"llama.attention.head_count_kv": ("[u32]", [2, 0])}
    assert read_header(write(build(changes))).head_count_kv == (2, 0)


def test_long_arrays_are_not_loaded(write):
    changes = {"x.scores": ("[f32]", [0.0] * 5000), "x.few": ("[i32]", [1, -2])}
    metadata = read_header(write(build(changes))).metadata
    assert isinstance(metadata["x.scores"], Array)
    assert (metadata["x.scores"].count, metadata["x.scores"].values) == (5000, None)
    assert metadata["x.few"].values == (1, -2)


@pytest.mark.parametrize(
    "kind", ["plain", "spm", "hybrid", pytest.param("starter", marks=pytest.mark.long)]
)
def test_header_matches_gguf_package(kind, tiny_model, starter):
    from gguf import GGUFReader

    path = starter if kind == "starter" else tiny_model(kind)  # its vocabulary takes seconds
    theirs, ours = GGUFReader(path), read_header(path)
    assert {f.name: f.contents() for f in theirs.fields.values() if _is_scalar(f)} == {
        k: v for k, v in ours.metadata.items() if not isinstance(v, Array)
    }
    assert [(t.name, list(t.shape), t.data_offset, int(t.n_bytes)) for t in theirs.tensors] == [
        (t.name, list(t.shape), ours.data_offset + t.offset, t.size_bytes) for t in ours.tensors
    ]


def _is_scalar(field):
    return field.types[0].name != "ARRAY" and not field.name.startswith("GGUF.")


def test_vocabulary_is_skipped_with_one_call_per_string(write):
    tokens = [f"token {i}" for i in range(20_000)]
    changes = {
        "tokenizer.ggml.tokens": ("[str]", tokens),
        "tokenizer.ggml.merges": ("[str]", tokens),
        "tokenizer.ggml.token_type": ("[i32]", [1] * len(tokens)),
    }
    path = write(build(changes))
    n_calls = 0

    def count(frame, event, argument):
        nonlocal n_calls
        n_calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        header = read_header(path)
    finally:
        sys.setprofile(None)
    assert header.n_vocab == 20_000
    assert n_calls < 1.1 * 2 * 20_000


BAD = {
    "empty": (b"", "empty file"),
    "one byte": (b"G", "not a GGUF file"),
    "magic only": (b"GGUF", "truncated"),
    "html": (b"\n <!DOCTYPE html><html><title>Sign in</title>", "HTML page"),
    "lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
    "json": (b'{"error": "not found"}', "JSON"),
    "safetensors": (b"\x10\0\0\0\0\0\0\0" + b'{"x":1}', "safetensors"),
    "pytorch": (b"PK\x03\x04" + bytes(60), "PyTorch"),
    "old ggml": (b"tjgg" + bytes(60), "old GGML"),
    "not gguf": (bytes(range(64)), "not a GGUF file"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
    "version 1": (build(version=1), "version 1"),
    "version 4": (build(version=4), "version 4"),
    "absurd keys": (build(n_items=2**63), "declares"),
    "absurd tensors": (build(n_tensors=2**40), "declares"),
    "more keys declared than stored": (build(n_items=16), "damaged|truncated"),
    "duplicate key": (build(items=[item("a", "u8", 1)] * 2), "duplicate key"),
    "empty key name": (build(items=[item("", "u8", 1)]), "invalid name ''"),
    "key as long as the file": (build(items=[struct.pack("<Q", 2**62)]), "truncated|bytes, limit"),
    "unknown value type": (build(items=[text("k") + struct.pack("<II", 99, 0)]), "unknown type 99"),
    "array of arrays": (
        build(items=[text("k") + struct.pack("<IIQ", 9, 9, 1) + struct.pack("<IQ", 4, 0)]),
        "type 9",
    ),
    "absurd array": (build(items=[text("k") + struct.pack("<IIQ", 9, 8, 2**61)]), "declares"),
    "absurd string in an array": (
        build(items=[text("k") + struct.pack("<IIQQ", 9, 8, 2, 2**63)]),
        "truncated",
    ),
    "boolean value 2": (build(items=[text("k") + struct.pack("<IB", 7, 2)]), "boolean value"),
    "alignment 3": (build({"general.alignment": ("u32", 3)}), "power of two"),
    "alignment 0": (build({"general.alignment": ("u32", 0)}), "power of two"),
    "alignment as a string": (build({"general.alignment": ("str", "32")}), "power of two"),
    "duplicate tensor name": (
        build(tensors=[tensor("t", (8,), 0, 0), tensor("t", (8,), 0, 32)]),
        "duplicate",
    ),
    "long tensor name": (build(tensors=[tensor("t" * 64, (8,), 0, 0)]), "has 64 bytes, limit 63"),
    "five dimensions": (build(tensors=[tensor("t", (1,) * 5, 0, 0)]), "5 dimensions"),
    "zero dimension": (build(tensors=[tensor("t", (0,), 0, 0)]), "shape"),
    "overflowing shape": (build(tensors=[tensor("t", (2**40, 2**40), 0, 0)]), "shape"),
    "incomplete block": (build(tensors=[tensor("t", (33,), 2, 0)]), "shape"),
    "removed tensor type": (build(tensors=[tensor("t", (32,), 4, 0)]), "unknown type 4"),
    "misplaced tensor": (build(tensors=[tensor("t", (32,), 0, 64)]), "starts at 64"),
    "overlapping tensors": (
        build(tensors=[tensor("t", (32,), 0, 0), tensor("u", (32,), 0, 0)]),
        "starts at 0",
    ),
    "tensor past the end": (build(data_bytes=1000), "truncated: .* of .* bytes"),
    "header past the end": (build()[:300], "truncated|damaged"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_invalid_file_is_rejected_with_reason(write, content, message):
    with pytest.raises(ModelUnreadable, match=message) as caught:
        read_header(write(content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", range(1, 100, 7))
def test_file_truncated_anywhere_is_rejected(write, share):
    whole = build()
    with pytest.raises(ModelUnreadable):
        read_header(write(whole[: len(whole) * share // 100]))


@pytest.mark.parametrize("counts", [(30_000_000,), (5, 1)], ids=str)
def test_strings_of_all_arrays_are_bounded(tmp_path, monkeypatch, counts):
    """A sparse file has millions of empty strings, at eight bytes each."""
    monkeypatch.setattr(reader, "MAX_STRINGS", 5)
    path = tmp_path / "sparse.gguf"
    with path.open("wb") as file:
        file.write(struct.pack("<4sIQQ", b"GGUF", 3, 0, len(counts)))
        for i, count in enumerate(counts):
            file.write(text(f"k{i}") + struct.pack("<IIQ", 9, 8, count))
            file.seek(8 * count, os.SEEK_CUR)
        file.write(bytes(100))
    with pytest.raises(ModelUnreadable, match="damaged: more than 5 strings"):
        read_header(path)


@pytest.mark.parametrize(
    ("n_tensors", "n_keys"), [(reader.MAX_TENSORS + 1, 0), (0, reader.MAX_KEYS + 1)]
)
def test_numbers_of_keys_and_tensors_are_bounded(tmp_path, n_tensors, n_keys):
    path = tmp_path / "sparse.gguf"
    with path.open("wb") as file:
        file.write(struct.pack("<4sIQQ", b"GGUF", 3, n_tensors, n_keys))
        file.truncate(100 << 20)
    with pytest.raises(ModelUnreadable, match=f"declares {n_keys} keys and {n_tensors} tensors"):
        read_header(path)


def test_random_bytes_are_rejected(write):
    rng = random.Random(7)
    for _ in range(50):
        with pytest.raises(LlmtoolError):
            read_header(write(b"GGUF\3\0\0\0" + rng.randbytes(4000)))


VALID = build()


@settings(max_examples=400, suppress_health_check=list(HealthCheck))
@given(
    flips=st.lists(
        st.tuples(st.integers(4, len(VALID) - 1537), st.integers(0, 255)), min_size=1, max_size=6
    )
)
def test_corrupt_bytes_raise_only_llmtool_errors(tmp_path_factory, flips):
    content = bytearray(VALID)
    for position, value in flips:
        content[position] = value
    path = tmp_path_factory.getbasetemp() / "flipped.gguf"
    path.write_bytes(content)
    try:
        check(path)
    except LlmtoolError as exc:
        assert "\n" not in str(exc)


@pytest.mark.parametrize("key", METADATA)
def test_unexpected_value_types_raise_only_llmtool_errors(write, key):
    for kind, value in (("str", "x"), ("i64", -1), ("f64", float("nan")), ("[str]", ["x"])):
        try:
            check(write(build({key: (kind, value)})))
        except (ModelUnreadable, ModelNotFound):
            continue
