"""A model file is checked before llama.cpp maps it in this process.

A corrupt header can abort the process and a truncated tensor kills it with SIGBUS (llama.cpp
asserts where it should refuse). So a file that was never loaded before is read by our own header
reader, then loaded and run for one token in a child process. What passed is remembered by size and
time of change.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from llmtool.engine.types import Cancellation
from llmtool.errors import LlmtoolError, ModelUnreadable
from llmtool.models import gguf

_FORMAT = 1  # raise it when the checks change


def ensure_loadable(
    path: Path, parts: tuple[Path, ...], *, cache_folder: Path, trusted: bool = False
) -> None:
    """Check a model once; later calls for the unchanged file cost a `stat`.

    `trusted` leaves the child process out, for a file that ships with a package.

    Raises:
        ModelNotFound, ModelUnreadable: with the reason.
    """
    mark = _mark(parts, cache_folder)
    if mark is not None and mark.exists():
        return
    gguf.check(path)
    if not trusted:
        _load_in_child(path)
    if mark is not None:
        with contextlib.suppress(OSError):  # a read-only cache only costs the check each time
            mark.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            mark.touch(mode=0o600)


def _mark(parts: tuple[Path, ...], cache_folder: Path) -> Path | None:
    state = [str(_FORMAT)]
    try:
        for part in parts:
            real = os.path.realpath(part)
            stat = os.stat(real)
            state.append(f"{real}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ino}")
    except OSError:
        return None
    digest = hashlib.sha256("\0".join(state).encode("utf-8", "surrogateescape")).hexdigest()
    return cache_folder / "checked" / digest


def _load_in_child(path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-I", "-m", "llmtool.engine.safety", os.fspath(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    if child.returncode == 0:
        return
    lines = child.stderr.decode("utf-8", "replace").strip().splitlines()
    reason = lines[-1] if lines else "llama.cpp gave no reason"
    if child.returncode < 0:
        if -child.returncode in (signal.SIGINT, signal.SIGTERM):
            raise KeyboardInterrupt
        name = signal.Signals(-child.returncode).name
        raise ModelUnreadable(f"{path}: damaged: llama.cpp crashed on it ({name}: {reason})")
    raise ModelUnreadable(reason)


def _main() -> int:
    from llmtool.engine.llama import Context, Weights

    path = Path(sys.argv[1])
    cancellation = Cancellation()
    try:
        weights = Weights(path, n_gpu_layers=0, cancellation=cancellation)
        if not weights.is_encoder:
            context = Context(weights, n_ctx=64, n_threads=1, n_batch=8, cancellation=cancellation)
            context.decode([max(0, weights.bos)])
    except LlmtoolError as exc:
        sys.stderr.write(f"{exc}\n")
        return int(exc.exit_code)
    return 0


if __name__ == "__main__":
    # The process ends here: freeing gigabytes of weights one by one would only take time.
    code = _main()
    sys.stderr.flush()
    os._exit(code)
