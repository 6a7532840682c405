"""Run local language models from the command line and from Python.

    >>> import llmtool                                      # doctest: +SKIP
    >>> print(llmtool.generate("Name three rivers."))       # doctest: +SKIP
    The Nile, the Amazon and the Danube.

The functions use the model of the user's configuration, which is loaded once, on first use. To use
another model, create a `llmtool.Toolbox(model)` and call its methods of the same names. Importing
this package is cheap: modules are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmtool._version import __version__

if TYPE_CHECKING:
    from llmtool.engine.types import Token, TokenLogprob
    from llmtool.errors import LlmtoolError, OutputValidationError
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
    from llmtool.sessions.types import Session, Turn
    from llmtool.tasks.chat.chat import Chat
    from llmtool.tasks.chat.truncation import ChatNote
    from llmtool.tasks.code.results import Code, CommitMessage, Finding, Fix, Review
    from llmtool.tasks.results import Choice, Classification, Generation, Summary, Translation
    from llmtool.tasks.summarize.map_reduce import SummaryProgress, SummaryText
    from llmtool.tasks.translate.document import TranslationText
    from llmtool.toolbox import Toolbox


_MODULES = {  # the modules of the classes; the functions are in llmtool.functions
    "Chat": "llmtool.tasks.chat.chat",
    "ChatNote": "llmtool.tasks.chat.truncation",
    "Choice": "llmtool.tasks.results",
    "Classification": "llmtool.tasks.results",
    "Code": "llmtool.tasks.code.results",
    "CommitMessage": "llmtool.tasks.code.results",
    "Finding": "llmtool.tasks.code.results",
    "Fix": "llmtool.tasks.code.results",
    "Generation": "llmtool.tasks.results",
    "LlmtoolError": "llmtool.errors",
    "OutputValidationError": "llmtool.errors",
    "Review": "llmtool.tasks.code.results",
    "Session": "llmtool.sessions.types",
    "Summary": "llmtool.tasks.results",
    "SummaryProgress": "llmtool.tasks.summarize.map_reduce",
    "SummaryText": "llmtool.tasks.summarize.map_reduce",
    "Token": "llmtool.engine.types",
    "TokenLogprob": "llmtool.engine.types",
    "Toolbox": "llmtool.toolbox",
    "Translation": "llmtool.tasks.results",
    "TranslationText": "llmtool.tasks.translate.document",
    "Turn": "llmtool.sessions.types",
}

__all__ = [
    "Chat",
    "ChatNote",
    "Choice",
    "Classification",
    "Code",
    "CommitMessage",
    "Finding",
    "Fix",
    "Generation",
    "LlmtoolError",
    "OutputValidationError",
    "Review",
    "Session",
    "Summary",
    "SummaryProgress",
    "SummaryText",
    "Token",
    "TokenLogprob",
    "Toolbox",
    "Translation",
    "TranslationText",
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


def __getattr__(name: str) -> Any:
    import importlib

    if name not in __all__:
        raise AttributeError(f"module 'llmtool' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES.get(name, "llmtool.functions")), name)


def __dir__() -> list[str]:
    return __all__
