"""Replace protected spans with placeholders for the model, and restore them in its reply.

A placeholder is a number in brackets that do not occur in the text. Every reply must have the same
placeholders; a retry can be constrained to a regular expression that has them in order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

import msgspec

from llmtool.documents.accounting import protected_reason
from llmtool.documents.protected_spans import unpaired_tags
from llmtool.documents.types import Part, ProtectedSpan

# In order of preference: the starter model preserves the first pair most often
# (benchmarks/README.md). The first pair that does not occur in the text is used.
_BRACKETS = (("{", "}"), ("<", ">"), ("[", "]"), ("⟦", "⟧"), ("⟨", "⟩"), ("\ue000", "\ue001"))
_TAGS = re.compile(r"(\s*(?:</?[A-Za-z][^<>]*>)+\s*)")


class Placeholders(msgspec.Struct, frozen=True, kw_only=True):
    """A segment with placeholders: in `text`, placeholder 1 replaces `protected[0]`, and so on.

    `lead` and `trail` are the white space and fixed spans around it, which the model does not see.
    """

    text: str
    protected: tuple[ProtectedSpan, ...]
    opens: str
    closes: str
    lead: tuple[Part, ...] = ()
    trail: tuple[Part, ...] = ()

    @property
    def plain(self) -> str:
        """The text without placeholders."""
        return self._pattern.sub(" ", self.text) if self.protected else self.text

    @property
    def source(self) -> str:
        """The text with its protected spans."""
        return self._pattern.sub(lambda found: self.protected[int(found[1]) - 1].source, self.text)

    @property
    def all(self) -> list[str]:
        """The placeholders, in order."""
        return [f"{self.opens}{n}{self.closes}" for n in range(1, len(self.protected) + 1)]

    @property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(rf"{re.escape(self.opens)}\s?(\d+)\s?{re.escape(self.closes)}")

    def restore(self, reply: str) -> tuple[Part, ...] | None:
        """Return the parts of a reply, None if its placeholders differ from those of the text."""
        pieces = self._pattern.split(reply)
        numbers = [int(number) - 1 for number in pieces[1::2]]
        if sorted(numbers) != list(range(len(self.protected))):
            return None
        texts = pieces[0::2]
        if self.protected and any(self.opens in text or self.closes in text for text in texts):
            return None  # a malformed placeholder
        return self._parts(texts, numbers)

    def restore_pieces(self, texts: Sequence[str]) -> list[tuple[Part, ...]]:
        """Return the parts of consecutive pieces of the text."""
        found = []
        for text in texts:
            pieces = self._pattern.split(text)
            found.append(self._parts(pieces[0::2], [int(n) - 1 for n in pieces[1::2]]))
        return found

    def expression(self) -> str:
        """Return a regular expression for replies with the same number of lines and placeholders.

        Example:
            >>> from llmtool.documents.types import ProtectedSpan
            >>> print(make_placeholders(("Run ", ProtectedSpan("`ls`"), "!")).expression())
            ([^\\s\\{\\}][^\\n\\{\\}]*)?\\{1\\}[^\\n\\{\\}]*
        """
        brackets = re.escape(self.opens + self.closes) if self.protected else ""
        placeholders = map(re.escape, self.all)
        lines = []
        for line in self.text.split("\n"):
            n_placeholders = len(self._pattern.findall(line)) if self.protected else 0
            expressions = list(islice(placeholders, n_placeholders))
            start, other = rf"[^\s{brackets}]", rf"[^\n{brackets}]*"
            if expressions:
                lines.append(f"({start}{other})?{other.join(expressions)}{other}")
            else:
                lines.append(f"{start}{other}" if line.strip() else "")
        return r"\n".join(lines)

    def _parts(self, texts: Sequence[str], numbers: Sequence[int]) -> tuple[Part, ...]:
        parts: list[Part] = [texts[0]] if texts[0] else []
        for number, text in zip(numbers, texts[1:], strict=True):
            parts.append(self.protected[number])
            if text:
                parts.append(text)
        return tuple(parts)


def make_placeholders(parts: Sequence[Part]) -> Placeholders:
    """Replace the protected spans of a segment with placeholders.

    Adjacent spans share a placeholder, except for a tag without its other tag: `<h1>%s` has two.
    Fixed spans at the ends are not replaced.

    Example:
        >>> from llmtool.documents.types import ProtectedSpan
        >>> ls, folder = ProtectedSpan("`ls`"), ProtectedSpan("{dir}")
        >>> make_placeholders(("Run ", ls, " in ", folder, "!")).text
        'Run {1} in {2}!'
    """
    parts = [piece for part in merge_parts(parts) for piece in _split_at_tags(part)]
    fixed, parts = _split_fixed(parts)
    ending, backwards = _split_fixed(parts[::-1])
    parts = backwards[::-1]
    text = "".join(part for part in parts if isinstance(part, str))
    opens, closes = next(
        ((o, c) for o, c in _BRACKETS if o not in text and c not in text), _BRACKETS[-1]
    )
    protected = [part for part in parts if isinstance(part, ProtectedSpan)]
    text_parts, number = [], 0
    for part in parts:
        if isinstance(part, str):
            text_parts.append(part)
        else:
            number += 1
            text_parts.append(f"{opens}{number}{closes}")
    text = "".join(text_parts)
    inner = text.strip()
    lead = text[: len(text) - len(text.lstrip())]
    trail = text[len(lead) + len(inner) :]
    return Placeholders(
        text=inner,
        protected=tuple(protected),
        opens=opens,
        closes=closes,
        lead=(*fixed, lead),
        trail=(trail, *ending[::-1]),
    )


def _split_at_tags(part: Part) -> list[Part]:
    """Split the placeholders of a program from tags that begin or end outside of the span."""
    if isinstance(part, str) or part.is_fixed or "`" in part.source or not unpaired_tags([part]):
        return [part]
    pieces = [piece for piece in _TAGS.split(part.source) if piece]
    names = [protected_reason(piece.strip()) for piece in pieces if piece.strip()]
    if not {"tag", "placeholder"}.issuperset(names):
        return [part]
    return [ProtectedSpan(piece) if piece.strip() else piece for piece in pieces]


def _split_fixed(parts: list[Part]) -> tuple[list[Part], list[Part]]:
    """Split off the fixed spans at the start, with the space before them."""
    n = 0
    for i, part in enumerate(parts):
        if isinstance(part, ProtectedSpan) and part.is_fixed:
            n = i + 1
        elif isinstance(part, ProtectedSpan) or part.strip():
            break
    return parts[:n], parts[n:]


def _join_spans(span: ProtectedSpan, between: str, other: ProtectedSpan) -> list[Part]:
    """Join two spans, unless only one is fixed, or the second is a break.

    Placeholders of a program with a space between may need another order: {first} {last}.
    """
    is_order_free = between and protected_reason(span.source) == "placeholder"
    if (
        span.is_fixed != other.is_fixed
        or span.is_break
        or other.is_break
        or (is_order_free and protected_reason(other.source) == "placeholder")
    ):
        return [span, between, other] if between else [span, other]
    return [ProtectedSpan(span.source + between + other.source, is_fixed=span.is_fixed)]


def merge_parts(parts: Sequence[Part]) -> list[Part]:
    """Join adjacent texts, and protected spans with only white space between them."""
    found: list[Part] = []
    for part in parts:
        last = found[-1] if found else ""
        if part == "":
            continue
        if isinstance(part, str):
            found[-1:] = [last + part] if isinstance(last, str) else [last, part]
        elif isinstance(last, ProtectedSpan):
            found[-1:] = _join_spans(last, "", part)
        elif len(found) > 1 and not last.strip():
            before = found[-2]
            assert isinstance(before, ProtectedSpan)  # adjacent texts are joined
            found[-2:] = _join_spans(before, last, part)
        else:
            found.append(part)
    return found
