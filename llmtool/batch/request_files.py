"""Batch files in OpenAI's format: a request per line, and the results that answer them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from llmtool.batch.lines import LineSource, format_place
from llmtool.encoding import too_long
from llmtool.errors import InputError, LlmtoolError, format_json_error

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


_decoder = msgspec.json.Decoder(FileRequest)


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


def _reason(exc: msgspec.ValidationError) -> str:
    reason = str(exc).replace("`", "'").replace("$.", "")
    return reason[:1].lower() + reason[1:]
