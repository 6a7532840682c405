"""The lock of a blob in the Hub cache, shared with huggingface_hub."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from llmtool.errors import Cancelled, DownloadError, os_error_reason
from llmtool.models.hub import cache
from llmtool.models.hub.callbacks import NO_CALLBACKS, Callbacks
from llmtool.models.hub.client import load_library
from llmtool.models.hub.environment import name_path

_POLL_SECONDS: Final = 0.2


@contextlib.contextmanager
def lock_blob(
    hub_cache: Path, repo: str, digest: str, callbacks: Callbacks = NO_CALLBACKS
) -> Iterator[None]:
    """Hold the lock that `hf_hub_download` uses for this blob.

    Raises:
        DownloadError: the lock file is not writable.
        Cancelled: `cancelled` returned true while another process held the lock.
    """
    import filelock

    library = load_library()
    path = hub_cache / ".locks" / cache.repo_folder(hub_cache, repo).name / f"{digest}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        problem = f"cannot write to {path.parent}: {os_error_reason(exc)}"
        raise DownloadError(name_path(path, problem)) from exc
    is_first = True
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(library.WeakFileLock(path, timeout=_POLL_SECONDS))
                break
            except filelock.Timeout:
                if is_first:
                    callbacks.on_note(f"{repo}: another process is downloading this file; waiting")
                is_first = False
                if callbacks.cancelled():
                    raise Cancelled(f"{repo}: cancelled while waiting for the lock") from None
            except OSError as exc:
                raise DownloadError(f"cannot lock {path}: {os_error_reason(exc)}") from exc
        yield
