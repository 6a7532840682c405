"""Replies on disk, so that a test whose template, model and cases are the same runs no model.

What is kept is what a model said; what holds for it is judged anew every time. One file has the
replies of one template on one model, with one set of options. But: a file is rewritten as a whole,
and of two processes that end at once the later wins; what is lost costs only time.
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
    """The replies of one model in a folder, which need not exist.

    The least recently used files make room for new ones.

    Args:
        model: one identity for each file of the model.

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
        """Return what is kept, by the hash of a case's variables."""
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
        """Keep replies beside those that are there; a cache that cannot be written stays as is."""
        sound = {key: answer for key, answer in answers.items() if answer.error is None}
        if not sound:
            return
        data = msgspec.json.encode({**self.load(template, options), **sound})
        if len(data) > self._limit_bytes:
            return
        with contextlib.suppress(OutputError):
            files.write_atomically(self._path(template, options), data)
            make_room(self.folder, self._limit_bytes)

    def _path(self, template: Template, options: GenerateOptions) -> Path:
        versions = [__version__, metadata.version("llama-cpp-python")]
        key = hash_of([*versions, self._model, options, identify(template).hex()])
        return self.folder / f"{key}{_SUFFIX}"


def make_room(folder: Path, limit_bytes: int) -> None:
    """Remove the files that were not used for longest, until the rest is within the limit."""
    found = sorted(kept_files(folder), key=lambda each: -each[1].st_mtime_ns)
    total = 0
    for path, state in found:
        total += state.st_size
        if total > limit_bytes:
            with contextlib.suppress(OSError):
                path.unlink()


def clear(folder: Path, *, dry_run: bool = False) -> tuple[int, int]:
    """Remove all that is kept; return files and bytes.

    Raises:
        OutputError: a file cannot be removed.
    """
    found = list(kept_files(folder))
    with files.write_errors(str(folder)):
        for path, _ in found:
            if not dry_run:
                path.unlink(missing_ok=True)
    return len(found), sum(state.st_size for _, state in found)


def kept_files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """Return the files of a cache and what the system says of them."""
    found = []
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.suffix == _SUFFIX and len(path.stem) == 64 and path.is_file():
                found.append((path, path.stat()))
    return found
