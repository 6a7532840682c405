"""Check a model file before llama.cpp loads it in this process.

A corrupt header can abort the process, and a truncated tensor kills it with SIGBUS. So our own
header reader reads a new file first, then a child process, with limits of time and memory, does
with it what a run does. `PassedCheck` records the identity of a file that passes; later calls only
compare it.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.bindings import bindings, library_version
from llmtool.engine.llama.passed_check import PassedCheck
from llmtool.errors import LlmtoolError, ModelUnreadable
from llmtool.machine import resident_bytes

if TYPE_CHECKING:
    from llmtool.engine.llama.model import LlamaModel

_POLL_SECONDS = 0.05
_CHILD = (
    "import sys; sys.path[:] = {path!r}; from llmtool.engine.llama.preflight import main; main()"
)
_MEMORY_BYTES, _MAX_MEMORY_BYTES = 400 << 20, 1 << 30  # besides two copies of the weights
# llama.cpp reserves memory for each tensor of its graph, and a larger file may have more of them.
_MEMORY_PER_BYTE = 32
_GPU_MEMORY_BYTES = 600 << 20  # of its driver
_SECONDS, _CPU_SECONDS, _BYTES_PER_SECOND = 60, 8, 20_000_000  # a slow disk or processor
_N_BATCH = 16


def preflight(
    path: Path,
    parts: tuple[Path, ...],
    *,
    cache_folder: Path,
    cancellation: Cancellation,
    trusted: bool = False,
) -> PassedCheck:
    """Check a model once; later calls for an unchanged file only identify it.

    `trusted` skips the child process, for the model of an installed package. After the model is
    loaded, `check_unchanged` tells whether it is the one that was checked.

    Raises:
        ModelNotFound, ModelUnreadable: with the reason.
        Cancelled: `cancellation` was set.
    """
    record = PassedCheck(cache_folder / "checked", parts, build=library_version())
    if record.exists():
        return record
    from llmtool.models.gguf import check

    check.check(path)
    if not trusted:
        _load_in_child(path, sum(part.stat().st_size for part in parts), cancellation)
    check_unchanged(path, record)
    record.write()
    return record


def check_unchanged(path: Path, record: PassedCheck) -> None:
    """Check that a model is still the one that `preflight` checked.

    Raises:
        ModelUnreadable: another process replaced or changed it.
    """
    if not record.is_current():
        text = f"{path} was changed or removed while it was loaded; run the command again"
        raise ModelUnreadable(text)


def preflight_adapter(
    adapter: Path,
    path: Path,
    parts: tuple[Path, ...],
    *,
    cache_folder: Path,
    cancellation: Cancellation,
) -> None:
    """Check a LoRA adapter once with a model that has passed `preflight`.

    Raises:
        ModelUnreadable: the adapter is damaged, or does not fit the model.
        Cancelled: `cancellation` was set.
    """
    record = PassedCheck(cache_folder / "checked", [*parts, adapter], build=library_version())
    if record.exists():
        return
    size_bytes = sum(file.stat().st_size for file in (*parts, adapter))
    _load_in_child(path, size_bytes, cancellation, adapter=adapter)
    check_unchanged(adapter, record)
    record.write()


def _load_in_child(
    path: Path, size_bytes: int, cancellation: Cancellation, *, adapter: Path | None = None
) -> None:
    import subprocess

    seconds = _SECONDS + size_bytes / _BYTES_PER_SECOND
    limit = time.monotonic() + seconds
    code = _CHILD.format(path=sys.path)
    new = [] if adapter is None else [os.fspath(adapter)]
    checked = adapter or path
    child = subprocess.Popen(
        [sys.executable, "-I", "-c", code, os.fspath(path), str(size_bytes), *new],
        env={**os.environ, "GGML_NO_BACKTRACE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    peak = 0  # sampled while waiting
    while True:
        try:
            _, stderr = child.communicate(timeout=_POLL_SECONDS)
            break
        except subprocess.TimeoutExpired:
            peak = max(peak, resident_bytes(child.pid) or 0)
            if cancellation.cancelled or time.monotonic() > limit:
                child.kill()
                child.communicate()
                cancellation.check()
                text = f"{checked} is damaged: llama.cpp needs more than {seconds:.0f} s to load it"
                raise ModelUnreadable(text) from None
        except BaseException:
            child.kill()
            raise
    cancellation.check()
    if child.returncode == 0:
        return
    lines = stderr.decode("utf-8", "replace").strip().split("\n")
    reason = lines[-1] or "llama.cpp gave no reason"
    if peak - size_bytes > _memory_bytes(size_bytes) // 2:  # without the mapped weights
        reason += "; perhaps because of the memory limit of this check"
    if child.returncode < 0:
        if -child.returncode == signal.SIGINT:  # a terminal's Ctrl-C reaches the child as well
            raise KeyboardInterrupt
        if -child.returncode == getattr(signal, "SIGXCPU", 0):
            text = f"{checked} is damaged: llama.cpp needs too much processor time to load it"
            raise ModelUnreadable(text)
        name = signal.Signals(-child.returncode).name
        raise ModelUnreadable(f"{checked} is damaged: llama.cpp crashed on it ({name}: {reason})")
    raise ModelUnreadable(reason)


def main() -> NoReturn:
    """Load the model `sys.argv[1]`, use it as a run does, and exit.

    A LoRA adapter, `sys.argv[3]`, is used with it.
    """
    from llmtool.engine.llama.model import LlamaModel

    path, code = Path(sys.argv[1]), 0
    cancellation = Cancellation()
    try:
        _set_limits(int(sys.argv[2]))
        weights = LlamaModel(path, n_gpu_layers=0, cancellation=cancellation)
        if len(sys.argv) > 3:
            _decode(weights, cancellation, adapter=Path(sys.argv[3]))
        elif not weights.is_encoder:
            _use_tokenizer(weights)
            _decode(weights, cancellation)
    except LlmtoolError as exc:
        sys.stderr.write(" ".join(str(exc).split()) + "\n")
        code = int(exc.exit_code)
    sys.stderr.flush()
    os._exit(code)  # skip freeing gigabytes of weights


def _memory_bytes(size_bytes: int) -> int:
    """Return the limit of memory without a GPU."""
    reserve = min(_MEMORY_BYTES + _MEMORY_PER_BYTE * size_bytes, _MAX_MEMORY_BYTES)
    return reserve + 2 * size_bytes


def _set_limits(size_bytes: int) -> None:
    """Limit time and allocated memory; the mapped weights do not count, a repacked copy does."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # no limits, or lower ones
        import resource

        driver_bytes = _GPU_MEMORY_BYTES if bindings().llama_supports_gpu_offload() else 0
        limits = {
            resource.RLIMIT_CPU: math.ceil(
                time.process_time() + _CPU_SECONDS + size_bytes / _BYTES_PER_SECOND
            ),
            resource.RLIMIT_DATA: _memory_bytes(size_bytes) + driver_bytes,
        }
        for kind, limit in limits.items():
            resource.setrlimit(kind, (limit, resource.getrlimit(kind)[1]))


def _use_tokenizer(weights: LlamaModel) -> None:
    """Tokenize all bytes, alone and together, and detokenize every token."""
    every_byte = bytes(range(1, 256))
    for text in (
        every_byte,
        every_byte.decode("latin-1").encode(),
        *(b"%c" % n for n in every_byte),
    ):
        for is_special in (False, True):
            weights.tokenize(text, add_special=is_special, parse_special=is_special)
    for token in range(weights.n_vocab):
        weights.piece(token)
        weights.is_end(token)
        weights.is_special(token)


def _decode(
    weights: LlamaModel, cancellation: Cancellation, *, adapter: Path | None = None
) -> None:
    """Decode a prompt, then a batch, and check the logits.

    Raises:
        ModelUnreadable: the logits are not numbers.
    """
    from llmtool.engine.llama.context import ActiveAdapters, Context

    used = ActiveAdapters()
    if adapter is not None:
        used = ActiveAdapters(((weights.load_adapter(adapter), 1.0),), ((adapter, 1.0),))
    tokens = weights.tokenize(b"The quick brown fox", add_special=True, parse_special=False)
    tokens = tokens[:_N_BATCH] or [max(0, weights.bos)]
    context = Context(
        weights,
        n_ctx=4 * _N_BATCH,
        n_threads=1,
        n_batch=_N_BATCH,
        n_seq=2,
        cancellation=cancellation,
    )
    context.use_adapters(used)
    context.prefill(tokens)
    context.copy(0, 1)
    context.batch.clear()
    rows = [context.batch.add(tokens[-1:], seq=seq, pos=len(tokens), n_outputs=1) for seq in (0, 1)]
    context.decode()
    for (row,) in rows:
        logits = weights._lib.llama_get_logits_ith(context._ctx, row)
        if not all(map(math.isfinite, logits[: weights.n_vocab])):
            damaged = adapter or weights.path
            raise ModelUnreadable(f"{damaged} is damaged: its logits are not finite numbers")
