"""Cache replies on disk, so that unchanged tests need no model.

The cache stores replies, not outcomes: assertions are checked on every run. One file contains the
replies of one template, model and set of options. But: files are rewritten as a whole, so that of
two concurrent processes, the last one overwrites the replies of the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from llmtool._version import __version__
from llmtool.evals.answers import Answer
from llmtool.evals.plan import hash_of
from llmtool.prompts.template import Template
from llmtool.tasks.options import GenerateOptions
from llmtool.tasks.pipeline.disk_cache import DiskCache
from llmtool.tasks.pipeline.prepare import identify

FOLDER = "tests"  # in the cache folder
LIMIT_BYTES = 64 << 20


class ReplyCache:
    """The cached replies of a model, in a folder that need not exist.

    Args:
        model: the identity of the model, which is the same on other machines.

    Example:
        >>> from pathlib import Path
        >>> from llmtool.evals.answers import Answer
        >>> from llmtool.prompts.library import Library
        >>> from llmtool.tasks.options import GenerateOptions
        >>> cache = ReplyCache(Path("replies"), model="starter")
        >>> case = Library().load("title"), GenerateOptions()
        >>> cache.add(*case, {"hash of the variables": Answer(seconds=0.5)})
        >>> cache.load(*case)["hash of the variables"].seconds
        0.5
    """

    def __init__(self, folder: Path, *, model: str, limit_bytes: int = LIMIT_BYTES) -> None:
        self._cache = DiskCache(folder, limit=None, limit_bytes=limit_bytes)
        self._model = model

    def load(self, template: Template, options: GenerateOptions) -> dict[str, Answer]:
        """Return the cached replies, by the hash of the variables of a case."""
        return self._cache.load(self._key(template, options), dict[str, Answer]) or {}

    def add(
        self, template: Template, options: GenerateOptions, answers: Mapping[str, Answer]
    ) -> None:
        """Add replies, except errors. A cache that cannot be written is left unchanged."""
        valid = {key: answer for key, answer in answers.items() if answer.error is None}
        if valid:
            replies = {**self.load(template, options), **valid}
            self._cache.try_to_save(self._key(template, options), replies)

    def _key(self, template: Template, options: GenerateOptions) -> str:
        versions = [__version__, metadata.version("llama-cpp-python")]
        return hash_of([*versions, self._model, options, identify(template).hex()])
