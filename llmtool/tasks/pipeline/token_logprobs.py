"""Select the tokens of the visible text of a reply, without stop strings and reasoning tags."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

import msgspec

from llmtool.engine.types import TokenLogprob


def tokens_of(text: str, tokens: Sequence[TokenLogprob]) -> tuple[TokenLogprob, ...]:
    """Return the tokens whose joined bytes are `text`.

    If a stop string begins within a token, the token is truncated there, with its log-probability
    unchanged. Invalid UTF-8 corresponds to U+FFFD in the text.

    Example:
        >>> from llmtool.engine.types import TokenLogprob
        >>> def token(text):
        ...     return TokenLogprob(token=text, bytes=tuple(text.encode()), logprob=-1.0)
        >>> [each.token for each in tokens_of("a b", [token("a"), token(" b."), token(" c")])]
        ['a', ' b']
    """
    whole, edges = _decode(b"".join(bytes(token.bytes) for token in tokens))
    first = max(0, whole.find(text))
    begin, end = edges[first], edges[min(first + len(text), len(whole))]
    selected, at = [], 0
    for token in tokens:
        raw = bytes(token.bytes)
        part = raw[max(0, begin - at) : max(0, end - at)]
        at += len(raw)
        if part and part != raw:
            visible = part.decode("utf-8", "replace")
            token = msgspec.structs.replace(token, token=visible, bytes=tuple(part))
        if part:
            selected.append(token)
    return tuple(selected)


def _decode(raw: bytes) -> tuple[str, list[int]]:
    """Return the text of UTF-8 bytes, and the byte offsets of its characters and its end."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text, edges = "", [0]
    for at in range(len(raw)):
        found = decoder.decode(raw[at : at + 1])
        pending, _ = decoder.getstate()
        # A byte that ends an invalid sequence can start the next character.
        edges += [at + 1 - len(pending) - later for later in reversed(range(len(found)))]
        text += found
    rest = decoder.decode(b"", final=True)
    return text + rest, edges + [len(raw)] * len(rest)
