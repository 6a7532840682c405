"""Cache replies on disk, so that unchanged tests need no model.

The cache stores replies, not outcomes: assertions are checked on every run. One file contains the
replies of one template, model and set of options. But: files are rewritten as a whole, so that of
two concurrent processes, the last one overwrites the replies of the other.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import msgspec

from llmtool import files
from llmtool._version import __version__
from llmtool.errors import OutputError
from llmtool.evals.answers import Answer
from llmtool.evals.plan import hash_of
from llmtool.prompts.template import Template
from llmtool.tasks.options import GenerateOptions
from llmtool.tasks.pipeline.prepare import identify

FOLDER = "tests"  # in the cache folder
LIMIT_BYTES = 64 << 20
_SUFFIX = ".json"


class ReplyCache:
    """The cached replies of a model, in a folder that need not exist.

    The least recently used files are evicted.

    Args:
        model: the identity of each file of the model.

    Example:
        >>> model = [files.identify(path)]  # doctest: +SKIP
        >>> cache = ReplyCache(folders.cache / FOLDER, model=model)  # doctest: +SKIP
        >>> replies = cache.load(template, {"seed": 0})  # doctest: +SKIP
    """

    def __init__(
        self, folder: Path, *, model: Sequence[files.FileIdentity], limit_bytes: int = LIMIT_BYTES
    ) -> None:
        self.folder = folder
        self._model = list(model)
        self._limit_bytes = limit_bytes

    def load(self, template: Template, options: GenerateOptions) -> dict[str, Answer]:
        """Return the cached replies, by the hash of the variables of a case."""
        path = self._path(template, options)
        try:
            if path.stat().st_size > self._limit_bytes:
                return {}
            answers = msgspec.json.decode(path.read_bytes(), type=dict[str, Answer])
            os.utime(path)
        except (OSError, msgspec.DecodeError):
            return {}
        return answers

    def add(
        self, template: Template, options: GenerateOptions, answers: Mapping[str, Answer]
    ) -> None:
        """Add replies, except errors. A cache that cannot be written is left unchanged."""
        valid = {key: answer for key, answer in answers.items() if answer.error is None}
        if not valid:
            return
        data = msgspec.json.encode({**self.load(template, options), **valid})
        if len(data) > self._limit_bytes:
            return
        with contextlib.suppress(OutputError):
            files.write_atomically(self._path(template, options), data)
            evict(self.folder, self._limit_bytes)

    def _path(self, template: Template, options: GenerateOptions) -> Path:
        versions = [__version__, metadata.version("llama-cpp-python")]
        key = hash_of([*versions, self._model, options, identify(template).hex()])
        return self.folder / f"{key}{_SUFFIX}"


def evict(folder: Path, limit_bytes: int) -> None:
    """Remove the least recently used files, until the total size is within the limit."""
    found = sorted(cached_files(folder), key=lambda each: -each[1].st_mtime_ns)
    total = 0
    for path, state in found:
        total += state.st_size
        if total > limit_bytes:
            with contextlib.suppress(OSError):
                path.unlink()


def clear(folder: Path, *, dry_run: bool = False) -> tuple[int, int]:
    """Remove all cached replies; return the number of files and bytes.

    Raises:
        OutputError: a file cannot be removed.
    """
    found = cached_files(folder)
    with files.write_errors(str(folder)):
        for path, _ in found:
            if not dry_run:
                path.unlink(missing_ok=True)
    return len(found), sum(state.st_size for _, state in found)


def cached_files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """Return the files of a cache with their status."""
    found = []
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.suffix == _SUFFIX and len(path.stem) == 64 and path.is_file():
                found.append((path, path.stat()))
    return found
