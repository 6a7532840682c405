"""Check a model file before llama.cpp loads it in this process.

A corrupt header can abort the process, and a truncated tensor kills it with SIGBUS. So our own
header reader reads a new file first, then a child process loads it and decodes one token. The
identity of a file that passes is recorded; later calls only compare it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import msgspec

from llmtool import files
from llmtool.cancellation import Cancellation
from llmtool.errors import LlmtoolError, ModelUnreadable

_POLL_SECONDS = 0.05
_CHILD = (
    "import sys; sys.path[:] = {path!r}; from llmtool.engine.llama.preflight import main; main()"
)
_FORMAT = 1  # raise it when the checks change


def preflight(
    path: Path,
    parts: tuple[Path, ...],
    *,
    cache_folder: Path,
    cancellation: Cancellation,
    trusted: bool = False,
) -> None:
    """Check a model once; later calls for an unchanged file only `stat` it.

    `trusted` skips the child process, for the model of an installed package.

    Raises:
        ModelNotFound, ModelUnreadable: with the reason.
        Cancelled: `cancellation` was set.
    """
    marker, content = _make_marker(parts, cache_folder)
    if marker is not None:
        with contextlib.suppress(OSError):
            if marker.read_bytes() == content:
                return
    from llmtool.models.gguf import check

    check.check(path)
    if not trusted:
        _load_in_child(path, cancellation)
    if marker is not None:
        with contextlib.suppress(LlmtoolError):  # a read-only cache: check each time
            files.write_atomically(marker, content)


def _make_marker(parts: tuple[Path, ...], cache_folder: Path) -> tuple[Path | None, bytes]:
    """Return the path and the content of the file that records a passed check."""
    try:
        identities = [files.identify(part) for part in parts]
    except OSError:
        return None, b""
    _, size, _, inode = identities[0]
    marker = cache_folder / "checked" / f"{inode:x}-{size:x}"
    return marker, msgspec.json.encode([_FORMAT, identities])


def _load_in_child(path: Path, cancellation: Cancellation) -> None:
    import subprocess

    child = subprocess.Popen(
        [sys.executable, "-I", "-c", _CHILD.format(path=sys.path), os.fspath(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    while True:
        try:
            _, stderr = child.communicate(timeout=_POLL_SECONDS)
            break
        except subprocess.TimeoutExpired:
            if cancellation.cancelled:
                child.kill()
                child.communicate()
                cancellation.check()
        except BaseException:
            child.kill()
            raise
    cancellation.check()
    if child.returncode == 0:
        return
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    reason = lines[-1] if lines else "llama.cpp gave no reason"
    if child.returncode < 0:
        if -child.returncode == signal.SIGINT:  # a terminal's Ctrl-C reaches the child as well
            raise KeyboardInterrupt
        name = signal.Signals(-child.returncode).name
        raise ModelUnreadable(f"{path} is damaged: llama.cpp crashed on it ({name}: {reason})")
    raise ModelUnreadable(reason)


def main() -> NoReturn:
    """Load the model `sys.argv[1]`, decode one token, and exit."""
    from llmtool.engine.llama.context import Context
    from llmtool.engine.llama.model import LlamaModel

    code = 0
    cancellation = Cancellation()
    try:
        weights = LlamaModel(Path(sys.argv[1]), n_gpu_layers=0, cancellation=cancellation)
        if not weights.is_encoder:
            context = Context(weights, n_ctx=64, n_threads=1, n_batch=8, cancellation=cancellation)
            context.prefill([max(0, weights.bos)])
    except LlmtoolError as exc:
        sys.stderr.write(f"{exc}\n")
        code = int(exc.exit_code)
    sys.stderr.flush()
    os._exit(code)  # skip freeing gigabytes of weights
