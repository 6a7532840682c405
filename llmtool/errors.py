"""Errors and exit codes.

    LlmtoolError                1  runtime, write or memory error
    ├── UsageError              2  an option, a value or the configuration is invalid
    ├── RecordsFailed           3  a batch finished, but some records failed
    ├── ModelNotFound          10  the model is unknown or not installed
    ├── ModelUnreadable        11  the file is damaged or not a model that can be loaded
    ├── TemplateError          12  a prompt template or chat template is invalid
    ├── ContextOverflow        13  prompt and reply do not fit in the context
    ├── InputError             14  the input is missing, empty, cannot be decoded, or takes too much
    │   │                          time or memory to parse
    │   └── NoResult            14  a batch file has no result of a request
    ├── LowConfidence          15  the confidence is too low, or --fail-on or --fail-under applies
    ├── DownloadError          16  a download or its checksum failed
    ├── OutputValidationError  17  the output is invalid (schema, syntax, length)
    │   └── UnsatisfiableError 17  no text satisfies a schema, regex or grammar; also a UsageError
    ├── LockedError            18  another process holds the lock
    ├── ServerError            20  a model server or Ray cluster cannot be reached, or failed
    ├── EngineError             1  llama.cpp could not decode or allocate memory
    ├── OutputError             1  the result could not be written
    ├── ClosedError             1  the Toolbox, and so its model, was closed
    └── Cancelled               1  stopped by the caller; a signal exits with 128 + its number
        └── TimeoutExpired     19  the time limit was reached; also Python's TimeoutError

A message is one line: what is wrong, with the value, then what to do. It does not contain the text
of a prompt.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from llmtool.option_names import show_names


class ExitCode(IntEnum):
    """The exit codes of the `llmtool` command, which are stable."""

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
    TIMEOUT = 19
    SERVER = 20
    HANGUP = 129
    INTERRUPT = 130
    PIPE = 141
    TERMINATED = 143


class LlmtoolError(Exception):
    """The base class of the errors raised by `llmtool`.

    `exit_code` is the exit code of the command for this error.
    """

    exit_code: ExitCode = ExitCode.ERROR

    def __str__(self) -> str:
        return show_names(super().__str__())

    def __reduce__(self) -> tuple[object, ...]:
        # By default, a process that receives the error calls the class without its keywords.
        return _rebuild, (type(self), self.args), self.__dict__


def _rebuild(kind: type[LlmtoolError], args: tuple[object, ...]) -> LlmtoolError:
    error = kind.__new__(kind, *args)
    error.args = args  # OSError sets them in __init__
    return error


def format_json_error(exc: Exception) -> str:
    """Return the reason why a JSON decoder failed.

    Example:
        >>> format_json_error(ValueError("JSON is malformed: invalid number (byte 6)"))
        'invalid number (byte 6)'
    """
    if isinstance(exc, RecursionError):
        return "nested too deeply"
    if isinstance(exc, UnicodeDecodeError) or "Invalid UTF-8" in str(exc):  # of msgspec 0.23
        return "not UTF-8"
    reason = str(exc).removeprefix("JSON is malformed: ")
    return "ends too early" if "truncated" in reason else reason


def invalid_unicode(exc: UnicodeEncodeError) -> InputError:
    """Return the error for a text with one half of a surrogate pair, which UTF-8 cannot encode.

    Example:
        >>> invalid_unicode(UnicodeEncodeError("utf-8", "a\\ud83d", 1, 2, "surrogates not allowed"))
        InputError('the text is not valid Unicode: it has U+D83D, half of a pair; remove it')
    """
    code = ord(exc.object[exc.start])
    return InputError(
        f"the text is not valid Unicode: it has U+{code:04X}, half of a pair; remove it"
    )


def os_error_reason(exc: OSError) -> str:
    """Return the system's reason for a message, in lower case: `permission denied`."""
    return (exc.strerror or str(exc)).lower()


class UsageError(LlmtoolError):
    """An argument, an option or a setting is invalid (exit code 2).

    `option` is the name of the argument in Python, if it is a single one.
    """

    exit_code = ExitCode.USAGE

    def __init__(self, *args: object, option: str | None = None) -> None:
        super().__init__(*args)
        self.option = option


@contextmanager
def about_option(name: str) -> Iterator[None]:
    """Set the `option` of a `UsageError` that has none.

    Example:
        >>> try:
        ...     with about_option("length"):
        ...         raise UsageError("invalid length 'x'")
        ... except UsageError as exc:
        ...     exc.option
        'length'
    """
    try:
        yield
    except UsageError as exc:
        exc.option = exc.option or name
        raise


def missing_extra(subject: str, extra: str) -> UsageError:
    """Return the error for an optional dependency that is not installed.

    Example:
        >>> str(missing_extra("PDF support", "pdf")).partition(" pip")[0]
        'PDF support is not installed; run'
    """
    return UsageError(f"{subject} is not installed; run {install_command(extra)}")


def install_command(extra: str) -> str:
    """Return the command that installs an extra from where the package itself was installed.

    Source: PEP 610, the file `direct_url.json` of a package that is not from an index.

    Example:
        >>> install_command("pdf").startswith("pip install ")
        True
    """
    import json
    import os
    import shlex
    from importlib import metadata
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    try:
        source = json.loads(metadata.distribution("llmtool").read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        source = {}
    url, place = source.get("url", ""), f"llmtool[{extra}]"
    if "vcs_info" in source:
        place += f" @ {source['vcs_info']['vcs']}+{url}"
    elif "dir_info" in source and os.path.isdir(path := url2pathname(urlsplit(url).path)):
        option = "-e " if source["dir_info"].get("editable") else ""
        return f"pip install {option}{shlex.quote(f'{path}[{extra}]')}"
    elif "archive_info" in source:
        place += f" @ {url}"
    return f"pip install {shlex.quote(place)}"


class RecordsFailed(LlmtoolError):
    """A batch has finished, but some of its records failed (exit code 3)."""

    exit_code = ExitCode.RECORDS_FAILED


class ModelNotFound(LlmtoolError):
    """The model is unknown, or not installed and `offline` is set (exit code 10)."""

    exit_code = ExitCode.MODEL_NOT_FOUND


class ModelUnreadable(LlmtoolError):
    """The model file is damaged, or the engine does not support it (exit code 11)."""

    exit_code = ExitCode.MODEL_UNREADABLE


class TemplateError(LlmtoolError):
    """A prompt template or chat template is not found or invalid (exit code 12)."""

    exit_code = ExitCode.TEMPLATE


class ContextOverflow(LlmtoolError):
    """Prompt and reply need `needed` tokens; only `available` fit in the context (exit code 13)."""

    exit_code = ExitCode.CONTEXT

    def __init__(self, message: str, *, needed: int, available: int) -> None:
        super().__init__(message)
        self.needed = needed
        self.available = available


class InputError(LlmtoolError):
    """The input is missing, empty, or invalid in its format (exit code 14)."""

    exit_code = ExitCode.INPUT


class NoResult(InputError):
    """A batch file has no result of a request, which may follow from a reply (exit code 14)."""


class LowConfidence(LlmtoolError):
    """The score of a label is too low, or a label or metric fails the command (exit code 15)."""

    exit_code = ExitCode.CONFIDENCE


class DownloadError(LlmtoolError):
    """A download failed, or its checksum is wrong (exit code 16)."""

    exit_code = ExitCode.DOWNLOAD


class OutputValidationError(LlmtoolError):
    """The output is invalid; `result` is the result of the task, if there is one (exit code 17)."""

    exit_code = ExitCode.INVALID_OUTPUT

    def __init__(self, message: str, *, result: object = None) -> None:
        super().__init__(message)
        self.result = result


class UnsatisfiableError(UsageError, OutputValidationError):
    """No text satisfies a constraint on the output (exit code 17)."""

    exit_code = ExitCode.INVALID_OUTPUT


class LockedError(LlmtoolError):
    """Another process has a session or file open (exit code 18)."""

    exit_code = ExitCode.LOCKED


class ServerError(LlmtoolError):
    """A model server or Ray cluster cannot be reached, or failed (exit code 20)."""

    exit_code = ExitCode.SERVER


class EngineError(LlmtoolError):
    """llama.cpp failed, memory is short, or a stream is still open (exit code 1)."""

    exit_code = ExitCode.ERROR


class OutputError(LlmtoolError):
    """A file cannot be written (exit code 1)."""

    exit_code = ExitCode.ERROR


class ClosedError(LlmtoolError):
    """The `Toolbox`, and so its model, was closed (exit code 1)."""

    exit_code = ExitCode.ERROR


class Cancelled(LlmtoolError):
    """The operation was cancelled; `reason` is the number of the signal, if one caused it."""

    def __init__(self, message: str, *, reason: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason


class TimeoutExpired(Cancelled, TimeoutError):
    """The operation took longer than its time limit of `seconds` (exit code 19)."""

    exit_code = ExitCode.TIMEOUT

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds
