"""Run local language models from the command line and from Python.

    >>> import llmtool
    >>> print(llmtool.generate("Name three rivers."))
    The Nile, the Amazon and the Danube.

The functions use the model of the user's configuration, which is loaded once, on first use. To use
another model, create a `llmtool.Toolbox(model)` and call its methods of the same names. Importing
this package is cheap: modules are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtool._version import __version__

if TYPE_CHECKING:
    from llmtool.engine.types import Message, Token, TokenLogprob
    from llmtool.errors import (
        Cancelled,
        ClosedError,
        ContextOverflow,
        DownloadError,
        EngineError,
        InputError,
        LlmtoolError,
        LockedError,
        LowConfidence,
        ModelNotFound,
        ModelUnreadable,
        NoResult,
        OutputError,
        OutputValidationError,
        RecordsFailed,
        ServerError,
        TemplateError,
        TimeoutExpired,
        UnsatisfiableError,
        UsageError,
    )
    from llmtool.functions import (
        aclassify,
        agenerate,
        arun,
        astream_generate,
        astream_summarize,
        astream_translate,
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
        tune,
        write_code,
        write_tests,
    )
    from llmtool.sessions.types import Session, Turn
    from llmtool.tasks.chat.chat import Chat
    from llmtool.tasks.code.results import Code, CommitMessage, Finding, Fix, Review
    from llmtool.tasks.results import (
        Choice,
        Classification,
        Generation,
        Summary,
        TestRun,
        Translation,
    )
    from llmtool.tasks.streams import AsyncStream, Stream
    from llmtool.tasks.summarize.workflow import SummaryText
    from llmtool.tasks.translate.document import TranslationText
    from llmtool.toolbox import Toolbox
    from llmtool.tuning.results import Tuning

_CLASSES = {  # by module; the functions are in `llmtool.functions`
    "llmtool.engine.types": ("Message", "Token", "TokenLogprob"),
    "llmtool.errors": (
        "Cancelled",
        "ClosedError",
        "ContextOverflow",
        "DownloadError",
        "EngineError",
        "InputError",
        "LlmtoolError",
        "LockedError",
        "LowConfidence",
        "ModelNotFound",
        "ModelUnreadable",
        "NoResult",
        "OutputError",
        "OutputValidationError",
        "RecordsFailed",
        "ServerError",
        "TemplateError",
        "TimeoutExpired",
        "UnsatisfiableError",
        "UsageError",
    ),
    "llmtool.sessions.types": ("Session", "Turn"),
    "llmtool.tasks.chat.chat": ("Chat",),
    "llmtool.tasks.code.results": ("Code", "CommitMessage", "Finding", "Fix", "Review"),
    "llmtool.tasks.results": (
        "Choice",
        "Classification",
        "Generation",
        "Summary",
        "TestRun",
        "Translation",
    ),
    "llmtool.tasks.streams": ("AsyncStream", "Stream"),
    "llmtool.tasks.summarize.workflow": ("SummaryText",),
    "llmtool.tasks.translate.document": ("TranslationText",),
    "llmtool.toolbox": ("Toolbox",),
    "llmtool.tuning.results": ("Tuning",),
}

__all__ = [
    "AsyncStream",
    "Cancelled",
    "Chat",
    "Choice",
    "Classification",
    "ClosedError",
    "Code",
    "CommitMessage",
    "ContextOverflow",
    "DownloadError",
    "EngineError",
    "Finding",
    "Fix",
    "Generation",
    "InputError",
    "LlmtoolError",
    "LockedError",
    "LowConfidence",
    "Message",
    "ModelNotFound",
    "ModelUnreadable",
    "NoResult",
    "OutputError",
    "OutputValidationError",
    "RecordsFailed",
    "Review",
    "ServerError",
    "Session",
    "Stream",
    "Summary",
    "SummaryText",
    "TemplateError",
    "TestRun",
    "TimeoutExpired",
    "Token",
    "TokenLogprob",
    "Toolbox",
    "Translation",
    "TranslationText",
    "Tuning",
    "Turn",
    "UnsatisfiableError",
    "UsageError",
    "__version__",
    "aclassify",
    "agenerate",
    "arun",
    "astream_generate",
    "astream_summarize",
    "astream_translate",
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
    "tune",
    "write_code",
    "write_tests",
]


if not TYPE_CHECKING:  # so that a type checker reports unknown names

    def __getattr__(name):
        from importlib import import_module

        if name not in __all__:
            raise AttributeError(f"module 'llmtool' has no attribute {name!r}")
        for module, names in _CLASSES.items():
            if name in names:
                return getattr(import_module(module), name)
        return getattr(import_module("llmtool.functions"), name)


def __dir__() -> list[str]:
    return __all__
