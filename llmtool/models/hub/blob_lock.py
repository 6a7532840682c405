"""The lock of one blob in the Hub's cache, the same that huggingface_hub takes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from llmtool.errors import Cancelled, DownloadError
from llmtool.models.hub import cache
from llmtool.models.hub.callbacks import OnNote, never, no_note
from llmtool.models.hub.client import load_library

_POLL_SECONDS: Final = 0.2


@contextlib.contextmanager
def lock_blob(
    hub_cache: Path,
    repo: str,
    digest: str,
    *,
    on_note: OnNote = no_note,
    cancelled: Callable[[], bool] = never,
) -> Iterator[None]:
    """Hold the lock that `hf_hub_download` takes for this blob.

    Args:
        on_note: receives one line of text before a wait.

    Raises:
        DownloadError: the lock file cannot be written.
        Cancelled: `cancelled` returned true while another process holds the lock.
    """
    import filelock

    library = load_library()
    path = hub_cache / ".locks" / cache.repo_folder(hub_cache, repo).name / f"{digest}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise DownloadError(f"{path.parent}: cannot be written: {exc.strerror}") from exc
    is_first = True
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(library.WeakFileLock(path, timeout=_POLL_SECONDS))
                break
            except filelock.Timeout:
                if is_first:
                    on_note(f"{repo}: another process is fetching this file, waiting for it")
                is_first = False
                if cancelled():
                    raise Cancelled(f"{repo}: stopped while waiting") from None
            except OSError as exc:
                raise DownloadError(f"{path}: cannot be locked: {exc.strerror}") from exc
        yield
