"""Batch files in OpenAI's format: a request per line, and the results that answer them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from llmtool.batch.lines import LineSource, format_place
from llmtool.encoding import too_long
from llmtool.errors import (
    InputError,
    LlmtoolError,
    format_json_error,
    os_error_reason,
)

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


class FileRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a batch file; `body` is JSON."""

    custom_id: str
    method: str = "POST"
    url: str
    body: msgspec.Raw


class FileResult(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a file with results: a response, or why there is none."""

    id: str = ""
    custom_id: str | None
    response: FileResponse | None
    error: Any = None


class FileResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The response of the API to a request; vLLM omits the body of an error."""

    status_code: int
    request_id: str = ""
    body: msgspec.Raw = msgspec.Raw(b"null")


class _ResultHead(msgspec.Struct):
    """What decides which of several results of a request counts."""

    custom_id: str | None
    response: _ResponseHead | None
    error: Any = None


class _ResponseHead(msgspec.Struct):
    status_code: int


_decoder = msgspec.json.Decoder(FileRequest)
_head_decoder = msgspec.json.Decoder(_ResultHead)
_result_decoder = msgspec.json.Decoder(FileResult)


def read_requests(source: LineSource) -> Iterator[FileRequest | LlmtoolError | None]:
    """Yield the requests of a file, an error for an invalid line, and None while a pipe is empty.

    Example:
        >>> import tempfile
        >>> from llmtool.batch.lines import LineSource
        >>> with tempfile.NamedTemporaryFile("w") as file:
        ...     line = '{"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {}}'
        ...     _ = file.write(line + "\\nx\\n")
        ...     file.flush()
        ...     [str(getattr(each, "url", "error")) for each in read_requests(LineSource(file.name))
        ...         if each]
        ['/v1/completions', 'error']
    """
    for line in source:
        if line is None:
            yield None
            continue
        data = line.data.strip()
        if not data:
            continue
        place = format_place(source.name, line.number)
        try:
            if line.is_too_long:
                raise too_long(place)
            yield _decoder.decode(data)
        except msgspec.ValidationError as exc:
            yield InputError(f"{place}: not a request of a batch file: {_reason(exc)}")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            yield InputError(f"{place}: not JSON: {format_json_error(exc)}")
        except LlmtoolError as exc:
            yield exc


class Place(msgspec.Struct, frozen=True):
    """Where a result is: the number of its file, and its offset; whether it is an error."""

    file: int
    offset: int
    has_failed: bool


class FoundResults(msgspec.Struct, kw_only=True):
    """The results in files, by the id of their request.

    `n_invalid` lines are not results, and `n_repeated` of them belong to a request with a result.
    """

    paths: Sequence[str]
    places: dict[str, Place] = {}
    n_invalid: int = 0
    n_repeated: int = 0

    def name(self, custom_id: str) -> str:
        """Return the name of the file with a result."""
        return os.path.basename(self.paths[self.places[custom_id].file])

    def read(self, custom_id: str) -> FileResult | None:
        """Return the result of a request, if there is one.

        Raises:
            InputError: the file has changed, or cannot be read.
        """
        place = self.places.get(custom_id)
        if place is None:
            return None
        path = self.paths[place.file]
        with _input_errors(path), open(path, "rb") as file:
            file.seek(place.offset)
            line = file.readline()
        try:
            result = _result_decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            result = None
        if result is None or result.custom_id != custom_id:
            raise InputError(f"{path} has changed; run the command again")
        return result


def find_results(paths: Sequence[str]) -> FoundResults:
    """Return where the results of files are.

    Of several results of a request, the first one counts that is not an error, or else the first.

    Raises:
        InputError: a file cannot be read, or has no result.
    """
    found = FoundResults(paths=paths)
    for number, path in enumerate(paths):
        offset = n_results = 0
        with _input_errors(path), open(path, "rb") as file:
            for line in file:
                start, offset = offset, offset + len(line)
                if not line.strip():
                    continue
                try:
                    head = _head_decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    found.n_invalid += 1
                    continue
                n_results += 1
                response = head.response
                has_failed = response is None or response.status_code != 200 or bool(head.error)
                if head.custom_id is None:  # the result of an invalid line
                    continue
                known = found.places.get(head.custom_id)
                found.n_repeated += known is not None
                if known is None or (known.has_failed and not has_failed):
                    found.places[head.custom_id] = Place(number, start, has_failed)
        if offset and not n_results:
            raise InputError(f"{path}: not the results of a batch file")
    return found


@contextmanager
def _input_errors(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise InputError(f"cannot read {path}: {os_error_reason(exc)}") from exc


def _reason(exc: msgspec.ValidationError) -> str:
    reason = str(exc).replace("`", "'").replace("$.", "")
    return reason[:1].lower() + reason[1:]
