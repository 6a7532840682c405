"""Read the requests of a stream ahead."""

from __future__ import annotations

import time
from collections.abc import Iterator

from llmtool.engine.types import Failed, Request, ScoreRequest

AnyRequest = Request | ScoreRequest
_WAIT_SECONDS = 0.05  # for more requests of a source that is slow


def read_available(
    source: Iterator[AnyRequest | Failed | None], limit: int
) -> tuple[list[AnyRequest], list[Failed], bool]:
    """Return at most `limit` requests that are available, failures, and whether these are the last.

    Example:
        >>> from llmtool.engine.types import Prompt, Request
        >>> request = Request(prompt=Prompt(text="a"))
        >>> requests, failed, is_end = read_available(iter([request, None, request]), 64)
        >>> len(requests), failed, is_end
        (1, [], False)
    """
    requests: list[AnyRequest] = []
    failed: list[Failed] = []
    end = time.monotonic() + _WAIT_SECONDS
    while len(requests) < limit and time.monotonic() < end:
        try:
            request = next(source)
        except StopIteration:
            return requests, failed, True
        if request is None:
            break
        if isinstance(request, Failed):
            failed.append(request)
        else:
            requests.append(request)
    return requests, failed, False
