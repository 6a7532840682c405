"""Protect what matches a user's regular expressions.

Python's engine takes exponential time on some patterns and cannot be interrupted, so the search
runs in the child process of `worker`, within its limits. llguidance's engine for `--regex` takes
linear time, but it only tests whether a whole text matches.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from types import NoneType

import msgspec

from llmtool import worker
from llmtool.documents.types import Document, Part, ProtectedSpan
from llmtool.errors import InputError, UsageError
from llmtool.option_names import option

_CHECK_SECONDS = 2  # of processor time


def check_patterns(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return regular expressions unchanged.

    Raises:
        UsageError: one is invalid, or matches the empty text.
    """
    patterns = tuple(patterns)
    for pattern in patterns:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # "Possible nested set"
                re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as exc:
            raise UsageError(f"{option('protect', pattern)}: not a valid regex: {exc}") from exc
        try:  # in the child, as this also takes exponential time
            worker.call(check_empty_match, pattern, returns=NoneType, seconds=_CHECK_SECONDS)
        except UsageError as exc:
            raise UsageError(f"{option('protect', pattern)}: {exc}") from exc
        except InputError as exc:
            reason = "takes too much time or memory; simplify the regex"
            raise UsageError(f"{option('protect', pattern)}: {reason}") from exc
    return patterns


def check_empty_match(pattern: str) -> None:
    """Reject a pattern that matches the empty text, for `worker`.

    Raises:
        UsageError: it matches.
    """
    if re.fullmatch(pattern, "") is not None:
        raise UsageError("matches the empty text")


def protect(
    document: Document,
    patterns: Sequence[str],
    *,
    check: Callable[[], object] = lambda: None,
) -> None:
    """Protect the matches in the text of a document's segments.

    `check` is polled; it raises to stop.

    Raises:
        UsageError: the search takes too long.

    Example:
        >>> from llmtool.documents.plain import PlainText
        >>> document = PlainText("Order ACME-12 today.")
        >>> protect(document, [r"ACME-\\d+"])
        >>> document.segments[0].parts
        ('Order ', ProtectedSpan(source='ACME-12'), ' today.')
    """
    if not patterns:
        return
    runs = [_join_texts(segment.parts) for segment in document.segments]
    texts = dict.fromkeys(part for run in runs for part in run if isinstance(part, str))
    ranges = dict(zip(texts, _search(patterns, list(texts), check), strict=True))
    document.segments = tuple(
        msgspec.structs.replace(
            segment,
            parts=tuple(
                piece
                for part in run
                for piece in (
                    _split(part, ranges[part], document.escape)
                    if isinstance(part, str)
                    else (part,)
                )
            ),
        )
        for segment, run in zip(document.segments, runs, strict=True)
    )


def _join_texts(parts: Sequence[Part]) -> list[Part]:
    """Join adjacent texts, such as those around a character reference."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, str) and isinstance(last, str):
            joined[-1] = last + part
        else:
            joined.append(part)
    return joined


def _search(
    patterns: Sequence[str], texts: Sequence[str], check: Callable[[], object]
) -> list[list[tuple[int, int]]]:
    """Return the ranges of all matches in each text."""
    arguments = json.dumps(patterns), json.dumps(texts)
    try:
        return worker.call(
            find_matches, *arguments, returns=list[list[tuple[int, int]]], check=check
        )
    except InputError as exc:
        names = " ".join(option("protect", pattern) for pattern in patterns)
        raise UsageError(
            f"{names}: takes too much time or memory on this document; simplify the regex"
        ) from exc


def find_matches(patterns: str, texts: str) -> list[list[tuple[int, int]]]:
    """Return the ranges of all matches in each text; both arguments are JSON, for `worker`."""
    compiled = [re.compile(each) for each in json.loads(patterns)]
    return [
        [found.span() for pattern in compiled for found in pattern.finditer(text)]
        for text in json.loads(texts)
    ]


def _split(text: str, ranges: list[tuple[int, int]], escape: Callable[[str], str]) -> list[Part]:
    parts: list[Part] = []
    at = 0
    for start, end in sorted(ranges, key=lambda each: (each[0], -each[1])):
        if start < at or start == end:
            continue
        if start > at:
            parts.append(text[at:start])
        parts.append(ProtectedSpan(escape(text[start:end])))
        at = end
    return [*parts, text[at:]] if at < len(text) else parts
