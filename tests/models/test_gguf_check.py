import os
import subprocess
import sys

import pytest
from models.gguf_bytes import build, item

from llmtool.errors import ModelNotFound, ModelUnreadable
from llmtool.models.gguf.check import check
from llmtool.models.quants import list_parts


def test_sound_models_pass(write, tiny_model, starter):
    assert check(write(build())).architecture == "llama"
    assert check(starter).architecture == "llama"
    for kind in ("plain", "spm", "base", "swa", "recurrent", "hybrid", "encoder"):
        check(tiny_model(kind))


def test_a_missing_file(tmp_path):
    with pytest.raises(ModelNotFound, match="no such file"):
        check(tmp_path / "none.gguf")


def test_a_dangling_link(tmp_path):
    (tmp_path / "m.gguf").symlink_to("gone")
    with pytest.raises(ModelNotFound, match="a dangling link"):
        check(tmp_path / "m.gguf")


def test_a_directory(tmp_path):
    with pytest.raises(ModelUnreadable, match="is a directory"):
        check(tmp_path)


@pytest.mark.timeout(5)
def test_a_fifo_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "m.gguf")
    with pytest.raises(ModelUnreadable, match="not a regular file"):
        check(tmp_path / "m.gguf")


@pytest.mark.timeout(5)
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device(tmp_path, device):
    with pytest.raises(ModelUnreadable, match="not a regular file"):
        check(type(tmp_path)(device))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(write):
    path = write(build())
    path.chmod(0)
    with pytest.raises(ModelUnreadable, match="Permission denied"):
        check(path)


def test_an_invalid_file_name(tmp_path):
    with pytest.raises(ModelUnreadable, match="cannot be read"):
        check(tmp_path / ("x" * 300))


ARCH = "llama"
BAD_VALUES = {
    "no architecture": ({"general.architecture": None}, "architecture"),
    "projector": ({"general.architecture": ("str", "clip")}, "projector"),
    "adapter": ({"general.type": ("str", "adapter")}, "LoRA"),
    "no layers": ({"llama.block_count": ("u32", 0)}, "block_count 0"),
    "too many layers": ({"llama.block_count": ("u32", 513)}, "block_count 513"),
    "layers as text": ({"llama.block_count": ("str", "2")}, "block_count None"),
    "no width": ({"llama.embedding_length": ("u32", 0)}, "embedding_length 0"),
    "absurd width": ({"llama.embedding_length": ("u32", 2**32 - 1)}, "embedding_length"),
    "no context": ({"llama.context_length": ("u32", 0)}, "context_length 0"),
    "no heads": ({"llama.attention.head_count": ("u32", 0)}, "no attention heads"),
    "heads missing": (
        {"llama.attention.head_count": None, "llama.attention.head_count_kv": None},
        "no attention heads",
    ),
    "uneven heads": ({"llama.attention.head_count": ("u32", 5)}, "5 heads"),
    "uneven width": (
        {
            "llama.attention.head_count": ("u32", 6),
            "llama.attention.head_count_kv": ("u32", 6),
        },
        "splits 64 values over 6 heads",
    ),
    "heads for too many layers": (
        {"llama.attention.head_count_kv": ("[u32]", [2, 2, 2])},
        "3 of its 2 layers",
    ),
    "negative heads": ({"llama.attention.head_count_kv": ("i32", -2)}, "heads"),
    "no key length": ({"llama.attention.key_length": ("u32", 0)}, "key_length 0"),
    "long rotation": ({"llama.rope.dimension_count": ("u32", 1000)}, "rope.dimension_count"),
    "unknown rope scaling": ({"llama.rope.scaling.type": ("str", "x")}, "rope scaling 'x'"),
    "negative epsilon": (
        {"llama.attention.layer_norm_rms_epsilon": ("f32", -1.0)},
        "epsilon -1.0",
    ),
    "no-number epsilon": (
        {"llama.attention.layer_norm_rms_epsilon": ("f32", float("nan"))},
        "epsilon nan",
    ),
    "more experts used than there": ({"llama.expert_used_count": ("u32", 2)}, "2 of 0 experts"),
    "too many experts": ({"llama.expert_count": ("u32", 5000)}, "experts"),
    "no tokenizer": ({"tokenizer.ggml.model": None}, "no tokenizer"),
    "no vocabulary": ({"tokenizer.ggml.model": ("str", "none")}, "no vocabulary"),
    "no tokens": ({"tokenizer.ggml.tokens": None}, "no tokens"),
    "double token": ({"tokenizer.ggml.tokens": ("[str]", ["a", "b", "a"])}, "same token twice"),
    "double token behind a NUL": (
        {"tokenizer.ggml.tokens": ("[str]", ["a", "a\0b"])},
        "same token twice",
    ),
}


@pytest.mark.parametrize(("changes", "says"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_rejects_values_that_would_crash_llama_cpp(write, changes, says):
    with pytest.raises(ModelUnreadable, match=says):
        check(write(build(changes)))


def split(write, count=3, *, keep=None, numbers=None):
    """Write a split model; each part after the first is a header with the number alone."""
    paths = []
    for index in range(count):
        number = (numbers or range(count))[index]
        keys = {"split.no": ("u16", number), "split.count": ("u16", count)}
        items = None if index == 0 else [item(key, *value) for key, value in keys.items()]
        content = build(keys if index == 0 else None, items=items)
        name = f"m-{index + 1:05}-of-{count:05}.gguf"
        if keep is None or index in keep:
            paths.append(write(content, name))
    return paths


def test_a_split_model_needs_all_parts(write):
    first = split(write)[0]
    assert check(first).split_count == 3
    assert [part.name[2:7] for part in list_parts(first)] == ["00001", "00002", "00003"]
    assert list_parts(first.with_name("m-00003-of-00003.gguf")) == list_parts(first)


def test_a_missing_part(write):
    first = split(write, keep={0, 1})[0]
    with pytest.raises(ModelNotFound, match="1 of 3 parts are missing, first m-00003"):
        check(first)


def test_rejects_a_later_part(write):
    with pytest.raises(ModelUnreadable, match="give its first part, m-00001-of-00003.gguf"):
        check(split(write)[1])


def test_rejects_a_part_with_the_wrong_number(write):
    with pytest.raises(ModelUnreadable, match="is not part 2 of 3"):
        check(split(write, numbers=[0, 2, 1])[0])


def test_a_renamed_first_part(write):
    first = split(write)[0]
    with pytest.raises(ModelUnreadable, match="1 of 3 parts, but its name says 1"):
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
def test_accepted_files_do_not_crash_llama_cpp(tmp_path, tiny_model, kind):
    flip_and_load(tiny_model(kind), tmp_path, count=60)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["plain", "spm", "base", "swa", "recurrent", "hybrid"])
def test_thousands_of_flips_do_not_crash_llama_cpp(tmp_path, tiny_model, kind):
    flip_and_load(tiny_model(kind), tmp_path, count=5000)


def flip_and_load(model, folder, *, count):
    """Flip bytes of a header at random; let llama.cpp, in a child, load what `check` lets by."""
    import random

    from llmtool.errors import LlmtoolError
    from llmtool.models.gguf.header import Array
    from llmtool.models.gguf.reader import read_header

    rng = random.Random(count)
    good, header = model.read_bytes(), read_header(model)
    large = [v for v in header.metadata.values() if isinstance(v, Array) and v.count > 64]
    places = [
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
                at = rng.choice(places) if rng.random() < 0.95 else rng.randrange(8, places[-1])
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
