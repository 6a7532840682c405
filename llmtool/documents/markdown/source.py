"""A Markdown text, parsed: its tokens, lines, link references and headings."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import ChainMap, Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from llmtool.documents.markdown import anchors, front_matter
from llmtool.documents.markdown.dialects import constructs_of
from llmtool.documents.markdown.inline import (
    collapsed_labels,
    normalize,
    show_pipes,
    split_inline,
)
from llmtool.documents.markdown.parser import InlineElements, parse_markdown, skeleton
from llmtool.documents.types import Dialect, Part, ProtectedSpan

if TYPE_CHECKING:
    from markdown_it.token import Token

References = dict[str, dict[str, Any]]  # the definition of each label


class MarkdownSource:
    """A parsed text: `original` as it is in the file, `text` with LF line ends and without BOM."""

    def __init__(self, original: str, dialect: Dialect) -> None:
        self.original = original
        self.text = normalized(original)
        self.newline = "\r\n" if "\r\n" in original else "\n"
        self.constructs = constructs_of(dialect, original)
        self.has_front = front_matter.find_front_matter(self.text) > 0
        self.starts = _line_starts(original)
        self.lines = [line.rstrip("\r").replace("\r", " ") for line in original.split("\n")]
        self._bom = original.startswith("\ufeff")
        self._text_starts = _line_starts(self.text)
        self._output: tuple[str, list[Token], References] = ("", [], {})  # the last one parsed
        self._elements = InlineElements(self.constructs)
        env: dict[str, Any] = {}
        self.tokens = self.parse(self.text, env)
        self.references: References = env.get("references", {})
        self.duplicate_references: list[dict[str, Any]] = env.get("duplicate_refs", [])
        self.labels = {normalize(show_pipes(label)) for label in self.references}
        self.collapsed = collapsed_labels(self.text)
        self.headings = anchors.heading_texts(self.tokens)
        links = set(re.findall(r"#([^\s)>\"']+)", original)) if self.headings else ()
        self.rule = anchors.choose_rule(map(unquote, links), self.headings)
        self.slugs = anchors.slugs(self.headings, self.rule)
        self.known_slugs = set(self.slugs)
        self.titles = {text for text, _ in self.headings}

    def parse(self, text: str, env: dict[str, Any], *, front: bool = True) -> list[Token]:
        return parse_markdown(text, env, self.constructs, front=front)

    def parse_part(self, text: str, *, front: bool = False) -> list[Token]:
        """Return the tokens of a part of a translation, which may refer to other parts."""
        references = ChainMap({}, self.references)  # a part does not add its own
        return self.parse(text, {"references": references}, front=front)

    def parse_output(self, output: str) -> tuple[list[Token], References]:
        """Return the tokens and link references of a translation; those of the last are cached."""
        if self._output[0] != output:
            env: dict[str, Any] = {}
            # A text that begins with a thematic break has no front matter after its translation.
            tokens = self.parse(normalized(output), env, front=self.has_front)
            self._output = output, tokens, env.get("references", {})
        return self._output[1:]

    def count_elements(self, content: str, references: References | None = None) -> Counter[str]:
        """Return the number of each element of inline content, by default with our references."""
        return self._elements.count(content, self.references if references is None else references)

    def skeleton(
        self,
        tokens: Sequence[Token],
        anchors: Mapping[str, int],
        references: References | None = None,
    ) -> list[tuple[object, ...]]:
        """Return what must not change of some blocks; see `parser.skeleton`."""
        return skeleton(tokens, anchors, lambda text: self.count_elements(text, references))

    def position(self, offset: int) -> int:
        """Return the position in the source of an offset in the parsed text."""
        line = bisect_right(self._text_starts, offset) - 1
        return self.starts[line] + offset - self._text_starts[line] + (self._bom and not line)

    def line_range(self, token: Token) -> tuple[int, int]:
        """Return the start and end of the lines of a block."""
        assert token.map is not None
        first, last = token.map
        end = self.starts[last] if last < len(self.starts) else len(self.original)
        return self.starts[first], end

    def split(self, text: str) -> Iterator[Part]:
        """Split inline text into its parts."""
        return split_inline(
            text,
            self.labels,
            is_mdx="mdx" in self.constructs,
            has_hashtags="hashtags" in self.constructs,
        )

    def links_to_heading(self, parts: Iterable[Part]) -> bool:
        """Return whether a protected span refers to a heading of the text."""
        wiki = (
            anchors.PAGE_HEADING.match(part.source) for part in parts if not isinstance(part, str)
        )
        return any(found and found[2] in self.titles for found in wiki) or any(
            unquote(slug) in self.known_slugs
            for part in parts
            if isinstance(part, ProtectedSpan) and "#" in part.source and "`" not in part.source
            for pattern in (anchors.PAGE_TARGET, anchors.PAGE_REFERENCE)
            for _, slug in pattern.findall(part.source)
        )


def normalized(text: str) -> str:
    # markdown-it sees a line end in a CR alone, and so do few other programs.
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", " ")


def _line_starts(text: str) -> list[int]:
    return [0, *(found.end() for found in re.finditer("\n", text))]
