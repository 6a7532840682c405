"""Masks as marks in the text that a model translates, and back from its reply.

A mark is a number in brackets that the text itself does not use. Replies are held to them in two
ways: whoever reads a reply counts its marks, and a second try can be held to a regular expression
in which they stand.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from llmtool.documents.types import Mask, Part

# Best first: the starter model kept the first most often (benchmarks/README.md). A text may have
# some itself; the first pair that it does not use is taken.
_BRACKETS = (("{", "}"), ("<", ">"), ("[", "]"), ("⟦", "⟧"), ("⟨", "⟩"), ("\ue000", "\ue001"))
_SPACE_AROUND = re.compile(r"(\s*)(.*?)(\s*)", re.DOTALL)


class Placeholders(msgspec.Struct, frozen=True, kw_only=True):
    """A passage as a model sees it: `text`, in which marks stand for `masks` (mark 1 is masks[0]).

    `lead` and `trail` are the white space and fixed masks around it, which no model has to keep.
    """

    text: str
    masks: tuple[Mask, ...]
    opens: str
    closes: str
    lead: tuple[Part, ...] = ()
    trail: tuple[Part, ...] = ()

    @property
    def plain(self) -> str:
        """The text without its marks."""
        return self._pattern.sub(" ", self.text) if self.masks else self.text

    @property
    def source(self) -> str:
        """The text as it stands in the document, with what the marks stand for."""
        return self._pattern.sub(lambda mark: self.masks[int(mark[1]) - 1].source, self.text)

    @property
    def marks(self) -> list[str]:
        return [f"{self.opens}{n}{self.closes}" for n in range(1, len(self.masks) + 1)]

    @property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(rf"{re.escape(self.opens)}\s?(\d+)\s?{re.escape(self.closes)}")

    def read(self, reply: str) -> tuple[Part, ...] | None:
        """Return the parts of a reply, None where its marks are not those of the text."""
        pieces = self._pattern.split(reply)
        numbers = [int(number) - 1 for number in pieces[1::2]]
        if sorted(numbers) != list(range(len(self.masks))):
            return None
        texts = pieces[0::2]
        if self.masks and any(self.opens in text or self.closes in text for text in texts):
            return None  # a mark that is broken
        return self._parts(texts, numbers)

    def cut(self, texts: Sequence[str]) -> list[tuple[Part, ...]]:
        """Return the parts of pieces of the text; joined, the pieces are the text."""
        found = []
        for text in texts:
            pieces = self._pattern.split(text)
            found.append(self._parts(pieces[0::2], [int(n) - 1 for n in pieces[1::2]]))
        return found

    def expression(self) -> str:
        """Return a regular expression for replies with the same lines and every mark in its turn.

        Example:
            >>> print(mark(("Run ", Mask("`ls`"), "!")).expression())
            ([^\\s\\{\\}][^\\n\\{\\}]*)?\\{1\\}[^\\n\\{\\}]*
        """
        brackets = re.escape(self.opens + self.closes) if self.masks else ""
        lines, number = [], 0
        for line in self.text.split("\n"):
            n_marks = len(self._pattern.findall(line)) if self.masks else 0
            marks = []
            for _ in range(n_marks):
                number += 1
                marks.append(re.escape(self.marks[number - 1]))
            start, other = rf"[^\s{brackets}]", rf"[^\n{brackets}]*"
            if marks:
                lines.append(f"({start}{other})?{other.join(marks)}{other}")
            else:
                lines.append(f"{start}{other}" if line.strip() else "")
        return r"\n".join(lines)

    def _parts(self, texts: Sequence[str], numbers: Sequence[int]) -> tuple[Part, ...]:
        parts: list[Part] = [texts[0]] if texts[0] else []
        for number, text in zip(numbers, texts[1:], strict=True):
            parts.append(self.masks[number])
            if text:
                parts.append(text)
        return tuple(parts)


def mark(parts: Sequence[Part]) -> Placeholders:
    """Return a passage with marks for its masks; neighbours, and what is between them, share one.

    Fixed masks at its ends have none.

    Example:
        >>> mark(("Run ", Mask("`ls`"), " in ", Mask("{dir}"), "!")).text
        'Run {1} in {2}!'
    """
    parts = merged(parts)
    fixed, parts = _cut_fixed(parts)
    ending, backwards = _cut_fixed(parts[::-1])
    parts = backwards[::-1]
    text = "".join(part for part in parts if isinstance(part, str))
    opens, closes = next(
        ((o, c) for o, c in _BRACKETS if o not in text and c not in text), _BRACKETS[-1]
    )
    masks = [part for part in parts if isinstance(part, Mask)]
    written, number = [], 0
    for part in parts:
        if isinstance(part, str):
            written.append(part)
        else:
            number += 1
            written.append(f"{opens}{number}{closes}")
    around = _SPACE_AROUND.fullmatch("".join(written))
    assert around is not None
    lead, inner, trail = around.groups()
    return Placeholders(
        text=inner,
        masks=tuple(masks),
        opens=opens,
        closes=closes,
        lead=(*fixed, lead),
        trail=(trail, *ending[::-1]),
    )


def _cut_fixed(parts: list[Part]) -> tuple[list[Part], list[Part]]:
    """Return the fixed masks that parts begin with, with the space before them, and the rest."""
    n = 0
    for i, part in enumerate(parts):
        if isinstance(part, Mask) and part.is_fixed:
            n = i + 1
        elif isinstance(part, Mask) or part.strip():
            break
    return parts[:n], parts[n:]


def _joined(mask: Mask, between: str, other: Mask) -> list[Part]:
    """Return two masks as one, unless only one of them is fixed."""
    if mask.is_fixed != other.is_fixed:
        return [mask, between, other] if between else [mask, other]
    return [Mask(mask.source + between + other.source, is_fixed=mask.is_fixed)]


def merged(parts: Sequence[Part]) -> list[Part]:
    """Return parts in which no text stands beside a text, and no mask beside one or a space."""
    found: list[Part] = []
    for part in parts:
        last = found[-1] if found else ""
        if part == "":
            continue
        if isinstance(part, str):
            found[-1:] = [last + part] if isinstance(last, str) else [last, part]
        elif isinstance(last, Mask):
            found[-1:] = _joined(last, "", part)
        elif len(found) > 1 and not last.strip():
            before = found[-2]
            assert isinstance(before, Mask)  # two texts are one
            found[-2:] = _joined(before, last, part)
        else:
            found.append(part)
    return found
