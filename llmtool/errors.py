"""The tree of errors and the exit codes.

    LlmtoolError                1  runtime, write or memory error
    ├── UsageError              2  a flag, a value or the configuration is wrong
    ├── RecordsFailed           3  a batch finished, some records failed
    ├── ModelNotFound          10  no such model here
    ├── ModelUnreadable        11  the file is not a model that can be loaded
    ├── TemplateError          12  a prompt template or chat template is invalid
    ├── ContextOverflow        13  the input is longer than the context
    ├── InputError             14  the input is missing, empty or undecodable
    ├── LowConfidence          15  below the asked confidence, or a fail-on label was met
    ├── DownloadError          16  a download or its checksum failed
    ├── OutputValidationError          17  the output is invalid (schema, syntax, length)
    ├── LockedError            18  another process holds the lock, or the server failed
    ├── EngineError             1  llama.cpp could not decode or allocate
    ├── OutputError             1  the result could not be written
    └── Cancelled               1  stopped from outside; a signal ends in 128 + its number

An error says what failed, with which value, and what to do next, in one line. Its text never holds
the text of a prompt.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of the `llmtool` command: documented API, stable."""

    OK = 0
    ERROR = 1
    USAGE = 2
    RECORDS_FAILED = 3
    MODEL_NOT_FOUND = 10
    MODEL_UNREADABLE = 11
    TEMPLATE = 12
    CONTEXT = 13
    INPUT = 14
    CONFIDENCE = 15
    DOWNLOAD = 16
    INVALID_OUTPUT = 17
    LOCKED = 18
    HANGUP = 129
    INTERRUPT = 130
    PIPE = 141
    TERMINATED = 143


class LlmtoolError(Exception):
    """The root of every error that `llmtool` raises on purpose; `exit_code` is its exit code."""

    exit_code: ExitCode = ExitCode.ERROR


def format_json_error(exc: Exception) -> str:
    """Return what a decoder of JSON found wrong, in plain words.

    Example:
        >>> format_json_error(ValueError("JSON is malformed: invalid number (byte 6)"))
        'invalid number (byte 6)'
    """
    if isinstance(exc, RecursionError):
        return "nested too deeply"
    reason = str(exc).removeprefix("JSON is malformed: ")
    return "it ends too early" if "truncated" in reason else reason


def os_error_reason(exc: OSError) -> str:
    """Return the system's reason for a message, in lower case: `permission denied`."""
    return (exc.strerror or str(exc)).lower()


class UsageError(LlmtoolError):
    exit_code = ExitCode.USAGE


class RecordsFailed(LlmtoolError):
    exit_code = ExitCode.RECORDS_FAILED


class ModelNotFound(LlmtoolError):
    exit_code = ExitCode.MODEL_NOT_FOUND


class ModelUnreadable(LlmtoolError):
    exit_code = ExitCode.MODEL_UNREADABLE


class TemplateError(LlmtoolError):
    exit_code = ExitCode.TEMPLATE


class ContextOverflow(LlmtoolError):
    """The prompt and the reply do not fit: `needed` tokens against `available`."""

    exit_code = ExitCode.CONTEXT

    def __init__(self, message: str, *, needed: int, available: int) -> None:
        super().__init__(message)
        self.needed = needed
        self.available = available


class InputError(LlmtoolError):
    exit_code = ExitCode.INPUT


class LowConfidence(LlmtoolError):
    exit_code = ExitCode.CONFIDENCE


class DownloadError(LlmtoolError):
    exit_code = ExitCode.DOWNLOAD


class OutputValidationError(LlmtoolError):
    """What came out is not what was asked for; `result` is the task's result, if there is one."""

    exit_code = ExitCode.INVALID_OUTPUT

    def __init__(self, message: str, *, result: object = None) -> None:
        super().__init__(message)
        self.result = result


class LockedError(LlmtoolError):
    exit_code = ExitCode.LOCKED


class EngineError(LlmtoolError):
    exit_code = ExitCode.ERROR


class OutputError(LlmtoolError):
    exit_code = ExitCode.ERROR


class Cancelled(LlmtoolError):
    """Stopped from outside; `reason` is the number of the signal that did it, if one did."""

    exit_code = ExitCode.ERROR

    def __init__(self, message: str, *, reason: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
