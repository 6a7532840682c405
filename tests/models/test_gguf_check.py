import os
import subprocess
import sys

import pytest
from models.gguf_bytes import build, item

from llmtool.errors import ModelNotFound, ModelUnreadable
from llmtool.models.gguf.check import check
from llmtool.models.quants import list_parts


def test_valid_models_pass(write, tiny_model, starter):
    assert check(write(build())).architecture == "llama"
    assert check(starter).architecture == "llama"
    for kind in ("plain", "spm", "base", "swa", "recurrent", "hybrid", "encoder"):
        check(tiny_model(kind))


def test_missing_file_is_not_found(tmp_path):
    with pytest.raises(ModelNotFound, match="none.gguf: no such file"):
        check(tmp_path / "none.gguf")


def test_dangling_link_is_not_found(tmp_path):
    (tmp_path / "m.gguf").symlink_to("gone")
    with pytest.raises(ModelNotFound, match="dangling link"):
        check(tmp_path / "m.gguf")


def test_directory_is_rejected(tmp_path):
    with pytest.raises(ModelUnreadable, match="is a directory"):
        check(tmp_path)


@pytest.mark.timeout(5)
def test_fifo_is_rejected_without_blocking(tmp_path):
    os.mkfifo(tmp_path / "m.gguf")
    with pytest.raises(ModelUnreadable, match="not a regular file"):
        check(tmp_path / "m.gguf")


@pytest.mark.timeout(5)
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_device_is_rejected(tmp_path, device):
    with pytest.raises(ModelUnreadable, match="not a regular file"):
        check(type(tmp_path)(device))


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read all files")
def test_unreadable_file_is_rejected(write):
    path = write(build())
    path.chmod(0)
    with pytest.raises(ModelUnreadable, match="permission denied"):
        check(path)


def test_invalid_file_name_is_rejected(tmp_path):
    with pytest.raises(ModelUnreadable, match="cannot read"):
        check(tmp_path / ("x" * 300))


ARCH = "llama"
BAD_VALUES = {
    "no architecture": ({"general.architecture": None}, "architecture"),
    "projector": ({"general.architecture": ("str", "clip")}, "projector"),
    "adapter": ({"general.type": ("str", "adapter")}, "LoRA"),
    "no layers": ({"llama.block_count": ("u32", 0)}, "block_count is 0"),
    "too many layers": ({"llama.block_count": ("u32", 513)}, "block_count is 513"),
    "layers as a string": ({"llama.block_count": ("str", "2")}, "block_count is None"),
    "no width": ({"llama.embedding_length": ("u32", 0)}, "embedding_length is 0"),
    "absurd width": ({"llama.embedding_length": ("u32", 2**32 - 1)}, "embedding_length"),
    "no context": ({"llama.context_length": ("u32", 0)}, "context_length is 0"),
    "context of 2^31": (
        {"llama.context_length": ("u32", 2**31)},
        "context_length is 2147483648",
    ),
    "no heads": ({"llama.attention.head_count": ("u32", 0)}, "no attention heads"),
    "missing heads": (
        {"llama.attention.head_count": None, "llama.attention.head_count_kv": None},
        "no attention heads",
    ),
    "indivisible heads": ({"llama.attention.head_count": ("u32", 5)}, "5 heads"),
    "indivisible width": (
        {
            "llama.attention.head_count": ("u32", 6),
            "llama.attention.head_count_kv": ("u32", 6),
        },
        "64 is not divisible by 6 heads",
    ),
    "head counts for too many layers": (
        {"llama.attention.head_count_kv": ("[u32]", [2, 2, 2])},
        "2 and 3 head counts for 2 layers",
    ),
    "negative heads": ({"llama.attention.head_count_kv": ("i32", -2)}, "heads"),
    "no key length": ({"llama.attention.key_length": ("u32", 0)}, "key_length is 0"),
    "rope dimensions beyond the head": (
        {"llama.rope.dimension_count": ("u32", 1000)},
        "rope.dimension_count",
    ),
    "unknown rope scaling": ({"llama.rope.scaling.type": ("str", "x")}, "rope scaling 'x'"),
    "negative epsilon": (
        {"llama.attention.layer_norm_rms_epsilon": ("f32", -1.0)},
        "epsilon is -1.0",
    ),
    "epsilon not a number": (
        {"llama.attention.layer_norm_rms_epsilon": ("f32", float("nan"))},
        "epsilon is nan",
    ),
    "more experts used than exist": ({"llama.expert_used_count": ("u32", 2)}, "2 of 0 experts"),
    "too many experts": ({"llama.expert_count": ("u32", 5000)}, "experts"),
    "no tokenizer": ({"tokenizer.ggml.model": None}, "no tokenizer"),
    "no vocabulary": ({"tokenizer.ggml.model": ("str", "none")}, "no vocabulary"),
    "no tokens": ({"tokenizer.ggml.tokens": None}, "no tokens"),
    "duplicate token": ({"tokenizer.ggml.tokens": ("[str]", ["a", "b", "a"])}, "duplicate token"),
    "duplicate token before a NUL": (
        {"tokenizer.ggml.tokens": ("[str]", ["a", "a\0b"])},
        "duplicate token",
    ),
}


@pytest.mark.parametrize(("changes", "message"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_values_that_crash_llama_cpp_are_rejected(write, changes, message):
    with pytest.raises(ModelUnreadable, match=message):
        check(write(build(changes)))


def split(write, count=3, *, written=None, numbers=None):
    """Write a split model; the later parts are headers with only the part number."""
    paths = []
    for index in range(count):
        number = (numbers or range(count))[index]
        keys = {"split.no": ("u16", number), "split.count": ("u16", count)}
        items = None if index == 0 else [item(key, *value) for key, value in keys.items()]
        content = build(keys if index == 0 else None, items=items)
        name = f"m-{index + 1:05}-of-{count:05}.gguf"
        if written is None or index in written:
            paths.append(write(content, name))
    return paths


def test_complete_split_model_passes(write):
    first = split(write)[0]
    assert check(first).split_count == 3
    assert [part.name[2:7] for part in list_parts(first)] == ["00001", "00002", "00003"]
    assert list_parts(first.with_name("m-00003-of-00003.gguf")) == list_parts(first)


def test_missing_part_is_reported(write):
    first = split(write, written={0, 1})[0]
    with pytest.raises(ModelNotFound, match="1 of 3 parts not found, first m-00003"):
        check(first)


def test_later_part_is_rejected(write):
    with pytest.raises(ModelUnreadable, match="not the first part .*; use m-00001-of-00003.gguf"):
        check(split(write)[1])


def test_part_with_wrong_number_is_rejected(write):
    with pytest.raises(ModelUnreadable, match="is not part 2 of 3"):
        check(split(write, numbers=[0, 2, 1])[0])


def test_renamed_first_part_is_rejected(write):
    first = split(write)[0]
    with pytest.raises(ModelUnreadable, match="part 1 of 3, but its name says 1 of 1"):
        check(first.rename(first.with_name("m.gguf")))


LOAD = """
import ctypes, sys
import llama_cpp.llama_cpp as llama
silent = llama.llama_log_callback(lambda level, text, data: None)
llama.llama_log_set(silent, ctypes.c_void_p(0))
llama.llama_backend_init()
tokens = (llama.llama_token * 64)()
for line in sys.stdin:
    options = llama.llama_model_default_params()
    model = llama.llama_model_load_from_file(line.strip().encode(), options)
    if model:
        params = llama.llama_context_default_params()
        params.n_ctx, params.n_threads, params.n_threads_batch = 256, 1, 1
        context = llama.llama_init_from_model(model, params)
        if context:
            vocab = llama.llama_model_get_vocab(model)
            n = llama.llama_tokenize(vocab, b"hello world", 11, tokens, 64, True, True)
            if n > 0:
                llama.llama_decode(context, llama.llama_batch_get_one(tokens, n))
            llama.llama_free(context)
        llama.llama_model_free(model)
    print("alive", flush=True)
"""


@pytest.mark.parametrize("kind", ["plain", "spm", "swa", "recurrent", "hybrid"])
def test_corrupt_headers_that_pass_do_not_crash_llama_cpp(tmp_path, tiny_model, kind):
    flip_and_load(tiny_model(kind), tmp_path, count=60)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["plain", "spm", "base", "swa", "recurrent", "hybrid"])
def test_thousands_of_corrupt_headers_do_not_crash_llama_cpp(tmp_path, tiny_model, kind):
    flip_and_load(tiny_model(kind), tmp_path, count=5000)


def flip_and_load(model, folder, *, count):
    """Corrupt random header bytes; load the files that pass `check` in a child process."""
    import random

    from llmtool.errors import LlmtoolError
    from llmtool.models.gguf.header import Array
    from llmtool.models.gguf.reader import read_header

    rng = random.Random(count)
    good, header = model.read_bytes(), read_header(model)
    large = [v for v in header.metadata.values() if isinstance(v, Array) and v.count > 64]
    positions = [
        i for i in range(8, header.data_offset) if not any(a.offset <= i < a.end for a in large)
    ]
    child = subprocess.Popen(
        [sys.executable, "-c", LOAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.PIPE, env={**os.environ, "GGML_NO_BACKTRACE": "1"},
    )  # fmt: skip
    with child:
        for _ in range(count):
            bad = bytearray(good)
            for _ in range(rng.choice((1, 1, 2, 4))):
                at = (
                    rng.choice(positions)
                    if rng.random() < 0.95
                    else rng.randrange(8, positions[-1])
                )
                bad[at] = rng.choice((bad[at] ^ 1 << rng.randrange(8), 0, 255, rng.randrange(256)))
            path = folder / "flipped.gguf"
            path.write_bytes(bad)
            try:
                check(path)
            except LlmtoolError:
                continue
            child.stdin.write(f"{path}\n")
            child.stdin.flush()
            assert child.stdout.readline() == "alive\n", child.stderr.read()[-500:]
        child.stdin.close()
        assert child.wait(30) == 0
