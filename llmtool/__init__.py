"""Local language models as a command-line toolbox and a function library.

    >>> import llmtool                                      # doctest: +SKIP
    >>> print(llmtool.generate("Name three rivers."))       # doctest: +SKIP

The functions use the configured model, loaded once; `llmtool.Toolbox(model=...)` has the same
methods on a model of one's own. Importing this package loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmtool._version import __version__
from llmtool.functions import (
    aclassify,
    agenerate,
    arun,
    astream_generate,
    asummarize,
    atranslate,
    awrite_code,
    chat,
    classify,
    commit_message,
    complete_code,
    explain_code,
    fix_code,
    generate,
    review_code,
    run,
    run_each,
    stream_generate,
    stream_summarize,
    stream_translate,
    summarize,
    translate,
    write_code,
    write_tests,
)

if TYPE_CHECKING:
    from llmtool.engine.types import Token, TokenLogprob
    from llmtool.errors import LlmtoolError, OutputValidationError
    from llmtool.sessions.types import Session, Turn
    from llmtool.tasks.chat.chat import Chat
    from llmtool.tasks.chat.truncation import ChatNote
    from llmtool.tasks.code.results import Code, CommitMessage, Finding, Fix, Review
    from llmtool.tasks.results import Choice, Classification, Generation, Summary, Translation
    from llmtool.tasks.summarize.map_reduce import SummaryProgress, SummaryText
    from llmtool.tasks.translate.document import TranslationText
    from llmtool.toolbox import Toolbox

__all__ = [
    "Chat",
    "ChatNote",
    "Choice",
    "Classification",
    "Code",
    "CommitMessage",
    "OutputValidationError",
    "Finding",
    "Fix",
    "Generation",
    "LlmtoolError",
    "TranslationText",
    "Review",
    "Session",
    "Summary",
    "SummaryProgress",
    "SummaryText",
    "Token",
    "TokenLogprob",
    "Toolbox",
    "Translation",
    "Turn",
    "__version__",
    "aclassify",
    "agenerate",
    "arun",
    "astream_generate",
    "asummarize",
    "atranslate",
    "awrite_code",
    "chat",
    "classify",
    "commit_message",
    "complete_code",
    "explain_code",
    "fix_code",
    "generate",
    "review_code",
    "run",
    "run_each",
    "stream_generate",
    "stream_summarize",
    "stream_translate",
    "summarize",
    "translate",
    "write_code",
    "write_tests",
]

_HOMES = {
    "Chat": "llmtool.tasks.chat.chat",
    "ChatNote": "llmtool.tasks.chat.truncation",
    "Choice": "llmtool.tasks.results",
    "Classification": "llmtool.tasks.results",
    "Code": "llmtool.tasks.code.results",
    "CommitMessage": "llmtool.tasks.code.results",
    "OutputValidationError": "llmtool.errors",
    "Finding": "llmtool.tasks.code.results",
    "Fix": "llmtool.tasks.code.results",
    "Generation": "llmtool.tasks.results",
    "LlmtoolError": "llmtool.errors",
    "TranslationText": "llmtool.tasks.translate.document",
    "Review": "llmtool.tasks.code.results",
    "Session": "llmtool.sessions.types",
    "Summary": "llmtool.tasks.results",
    "SummaryProgress": "llmtool.tasks.summarize.map_reduce",
    "SummaryText": "llmtool.tasks.summarize.map_reduce",
    "Token": "llmtool.engine.types",
    "TokenLogprob": "llmtool.engine.types",
    "Toolbox": "llmtool.toolbox",
    "Translation": "llmtool.tasks.results",
    "Turn": "llmtool.sessions.types",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'llmtool' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
