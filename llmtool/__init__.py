"""Local language models as a command-line toolbox and a function library.

    >>> import llmtool                                      # doctest: +SKIP
    >>> print(llmtool.generate("Name three rivers."))       # doctest: +SKIP

The functions use the configured model, loaded once; `llmtool.Toolbox(model=...)` has the same
methods on a model of one's own. Importing this package loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from llmtool.engine.types import Token
    from llmtool.errors import LlmtoolError
    from llmtool.tasks.results import Choice, Generation
    from llmtool.toolbox import Toolbox

__all__ = [
    "Choice",
    "Generation",
    "LlmtoolError",
    "Token",
    "Toolbox",
    "agenerate",
    "astream_generate",
    "generate",
    "stream_generate",
]

_HOMES = {
    "Choice": "llmtool.tasks.results",
    "Generation": "llmtool.tasks.results",
    "LlmtoolError": "llmtool.errors",
    "Token": "llmtool.engine.types",
    "Toolbox": "llmtool.toolbox",
}
_TASKS = ("generate", "stream_generate", "agenerate", "astream_generate")
_default: Toolbox | None = None


def __getattr__(name: str) -> Any:
    import importlib

    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _TASKS:
        return getattr(_default_toolbox(), name)
    raise AttributeError(f"module 'llmtool' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def _default_toolbox() -> Toolbox:
    """Return the toolbox of the package's functions, made when it is first needed."""
    global _default
    if _default is None:
        from llmtool.toolbox import Toolbox

        _default = Toolbox()
    return _default
