"""The handles of llama.cpp: token bytes, contexts, interrupts, and the import of the bindings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy  # noqa: F401  # so that `most_likely` uses it
import pytest

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.context import Context
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.llama.sampler import Sampler
from llmtool.engine.reply import Reply
from llmtool.engine.types import Sampling
from llmtool.errors import Cancelled


def load(path: Path, cancellation: Cancellation | None = None) -> LlamaModel:
    return LlamaModel(path, n_gpu_layers=0, cancellation=cancellation or Cancellation())


@pytest.mark.parametrize("kind", ["plain", "spm", "starter"])
def test_streamed_tokens_join_to_the_whole_text(
    kind: str, tiny: Path, tiny_spm: Path, starter: Path
) -> None:
    model = load({"plain": tiny, "spm": tiny_spm, "starter": starter}[kind])
    pieces = [model.piece(token) for token in range(model.n_vocab)]
    reply = Reply(0, 0)
    events = [event for piece in pieces for event in reply.push(piece)]
    text = "".join(event.text for event in [*events, *reply.finish()])
    assert text == b"".join(pieces).decode("utf-8", "replace")
    ordinary = [t for t in range(model.n_vocab) if model.kind(t) == "ordinary"]
    assert all(model.render_piece(t, special=False) for t in ordinary)


def test_long_tokens_are_not_truncated(tiny: Path) -> None:
    model = load(tiny)
    long = [t for t in range(model.n_vocab) if len(model.piece(t)) > 32]
    assert long, "the tiny model has such a token"
    for token in long:
        # Byte-level BPE writes a space as U+0120 in the vocabulary.
        assert len(model.piece(token)) == len(model.token_text(token))


def test_control_tokens_add_no_text(tiny: Path) -> None:
    model = load(tiny)
    controls = [t for t in range(model.n_vocab) if model.kind(t) == "control"]
    assert controls and all(model.piece(t) == b"" for t in controls)
    assert all(model.render_piece(t, special=True) for t in controls)


def test_numpy_finds_the_same_tokens_as_the_greedy_sampler(tiny: Path) -> None:
    model = load(tiny)
    context = Context(
        model, n_ctx=512, n_threads=1, n_seq=6, n_outputs=7, cancellation=Cancellation()
    )
    for seq, text in enumerate((b"one", b"two three", b"", b"a b", b"x", b"hello there")):
        tokens = [model.bos, *model.tokenize(text, add_special=False, parse_special=False)]
        context.batch.add(tokens, seq=seq, pos=0, n_outputs=1 + (seq == 5))
    context.decode()
    rows = list(context.batch.rows)

    def sample(row: int) -> int:
        return int(model._lib.llama_sampler_sample(model.greedy_chain, context._ctx, row))

    logits = [model._lib.llama_get_logits_ith(context._ctx, row) for row in rows]
    logits[1][7] = logits[1][9] = 1e9  # equal ones: the first
    logits[2][3] = float("nan")
    logits[4][0] = float("nan")
    assert len(rows) == 7 and len({sample(row) for row in rows}) > 2
    found = [context.most_likely(row) for row in rows]
    assert found[1] == 7 and found[2] is found[4] is None
    assert [found[i] for i in (0, 1, 3, 5, 6)] == [sample(rows[i]) for i in (0, 1, 3, 5, 6)]
    context.batch.clear()
    context.batch.add([model.bos], seq=0, pos=context.length(0), n_outputs=1)
    context.decode()
    assert context.most_likely(0) is None  # of one row


def test_same_seed_samples_the_same_tokens(tiny: Path) -> None:
    model = load(tiny)

    def sample(seed: int) -> list[int]:
        context = Context(model, n_ctx=256, n_threads=1, cancellation=Cancellation())
        sampler = Sampler(model, Sampling(temperature=1.5), seed=seed)
        context.prefill(model.tokenize(b"hello", add_special=True, parse_special=False))
        tokens = []
        for _ in range(20):
            tokens.append(sampler.sample(context))
            context.prefill(tokens[-1:], pos=context.length(0))
        context.close()
        return tokens

    assert sample(0) == sample(0)
    assert sample(0) != sample(1)


def test_cancellation_aborts_a_decode(tiny: Path) -> None:
    cancellation = Cancellation()
    context = Context(load(tiny), n_ctx=512, n_threads=1, cancellation=cancellation)
    cancellation.cancel()
    with pytest.raises(Cancelled):
        context.prefill([1] * 200)
    cancellation.reset()
    context.clear()
    context.prefill([1] * 200)


def test_cancellation_aborts_loading(starter: Path) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(Cancelled):
        load(starter, cancellation)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal wakeup pipe")
def test_ctrl_c_interrupts_a_long_prefill(starter: Path) -> None:
    context = Context(load(starter), n_ctx=4096, n_threads=1, cancellation=Cancellation())
    ids = [1] * 256
    begin = time.perf_counter()
    context.prefill(ids)
    whole = time.perf_counter() - begin
    threading.Timer(whole / 4, os.kill, (os.getpid(), signal.SIGINT)).start()
    begin = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        for _ in range(4):
            context.prefill(ids, pos=context.length(0))
    assert time.perf_counter() - begin < whole * 0.25 + 0.3


def test_real_llama_cpp_package_can_be_imported(starter: Path) -> None:
    program = (
        "import sys\n"
        "from llmtool.engine.llama.bindings import bindings\n"
        "ours = bindings()\n"
        "assert 'llama_cpp' not in sys.modules, 'the placeholder package is removed'\n"
        "assert 'numpy' not in sys.modules\n"
        "import llama_cpp\n"
        "assert llama_cpp.Llama and llama_cpp.llama_cpp.llama_decode\n"
        "print(ours.llama_max_devices() == llama_cpp.llama_max_devices())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr


def test_invalid_file_is_reported_after_import_of_the_real_package(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF")
    program = (
        "import sys, pathlib, llama_cpp\n"
        "from llmtool.engine.llama.model import LlamaModel\n"
        "from llmtool.cancellation import Cancellation\n"
        "from llmtool.errors import ModelUnreadable\n"
        "try:\n"
        "    LlamaModel(pathlib.Path(sys.argv[1]), cancellation=Cancellation())\n"
        "except ModelUnreadable as exc:\n"
        "    print('unreadable')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "bad.gguf"], capture_output=True, text=True
    )
    assert done.stdout.strip() == "unreadable", done.stderr


def test_bindings_can_be_imported_while_another_thread_imports() -> None:
    program = (
        "import sys, threading, types\n"
        "from llmtool.engine.llama.bindings import _import_bindings, bindings\n"
        "sys.setswitchinterval(1e-6)\n"
        "def churn():\n"
        "    while True:\n"
        "        for n in range(2000): sys.modules[f'churned_{n}'] = types\n"
        "        for n in range(2000): del sys.modules[f'churned_{n}']\n"
        "threading.Thread(target=churn, daemon=True).start()\n"
        "for _ in range(10):\n"
        "    _import_bindings.cache_clear()\n"
        "    bindings()\n"
        "print('imported')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "imported\n", done.stderr
