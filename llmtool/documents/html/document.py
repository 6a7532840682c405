"""HTML: the text of its blocks, and attributes with text, such as `alt`.

The source is split into tokens, which add up to it even if it is malformed. No tree is built, and
no markup is regenerated.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from html import escape, unescape

import msgspec

from llmtool.documents.html.elements import (
    COMPONENT_ATTRIBUTES,
    DATA_ATTRIBUTES,
    ELEMENTS,
    GUESSED_ATTRIBUTES,
    INLINE,
    VOID_ELEMENTS,
    end_element,
    is_prose,
    start_element,
)
from llmtool.documents.html.tokens import Attribute, Token, is_xhtml, split_code, tokenize
from llmtool.documents.language_tags import is_right_to_left, is_tag_of
from llmtool.documents.protected_spans import find_nesting_fault, split_parts
from llmtool.documents.types import (
    Document,
    OutsideText,
    Part,
    ProtectedSpan,
    Segment,
    has_letters,
)  # fmt: skip

# Elements that are not translated, and why.
_SKIPPED = {
    **dict.fromkeys(("code", "kbd", "samp", "var", "pre", "tt", "xmp"), "code"),
    "script": "script",
    "style": "style",
    "textarea": "form value",
    "svg": "graphic",
    "math": "formula",
    "iframe": "fallback of a frame",
    "noembed": "fallback of a frame",
    "noframes": "fallback of a frame",
}
_INLINE = INLINE | {"script", "style", "svg", "math", "tspan"}
_SVG_TEXT = frozenset(["text", "title", "desc"])  # elements of a graphic that have text
_FOREIGN = ("graphic", "formula")
# Why other tokens are outside of the segments.
_REASONS = {
    "start": "tag",
    "end": "tag",
    "text": "text without words",
    "cdata": "text without words",
    "entity": "character reference",
    "comment": "comment",
    "declaration": "tag",
    "code": "template code",
}
_NO_TRANSLATE = "translate=no"
_TEXT_ATTRIBUTES = frozenset(
    "alt title placeholder summary aria-label aria-description aria-placeholder aria-valuetext"
    " aria-roledescription".split()
)
# Text if the value is prose; the latter only of elements that are not of HTML.
_DATA = re.compile(DATA_ATTRIBUTES)
_COMPONENT = re.compile(f"{COMPONENT_ATTRIBUTES}|{GUESSED_ATTRIBUTES}")
_GUESSED = re.compile(f"{_DATA.pattern}|{_COMPONENT.pattern}")
_LABELED = frozenset(["option", "optgroup", "track"])
_BUTTONS = frozenset(["submit", "button", "reset"])
_DESCRIPTIONS = frozenset(
    "description og:title og:description twitter:title twitter:description".split()
)
# Code of a template that writes text; other code, such as conditions, divides the text around it.
_OUTPUT = re.compile(
    r"\{\{(?![#/^!>]|\s*else\b)|<%[=-]|<\?=|<\?php\s+(?:echo|print|_e|esc_\w+|the_\w+)\b"
    r"|\{%-?\s*(?:url|static|trans|translate|now|link|t)\b"
)
_UNQUOTED = re.compile(r"""[^\s"'=<>`{/]+""")  # an attribute value that needs no quotes
_LANGUAGE_TAG = re.compile(r"\s*[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*\s*")
_SPACE = re.compile(r"[ \t\r\n\f]+")
_CDATA = re.compile(r"\A<!\[CDATA\[|\]\]>\Z")  # around text, which is written without
_LETTER = re.compile(r"[^\W\d_]")
_TEXT_ENTITIES = {"amp", "lt", "gt", "quot", "apos"}


class _Run(msgspec.Struct):
    """A run of text and inline tags between the tags of blocks."""

    tokens: list[Token]
    skipped: list[str]  # why a token is not translated, or an empty string


_AttributeKey = tuple[int, str, tuple[Part, ...]]  # start of the segment, name, and value


class _AttributeSegment(Segment, frozen=True, kw_only=True):
    """The value of an attribute within a segment; `place` finds the tags that have it."""

    place: _AttributeKey


class Html(Document):
    """An HTML text and its segments.

    `to` is the code of the target language, which replaces that of the page if it declares one.
    The attributes of a tag within a segment are segments of no length before it: `encode` of the
    tag's segment inserts their translations, and has to be called after theirs.

    Example:
        >>> [segment.text for segment in Html("<h1>Hello</h1><p>A <b>big</b> day").segments]
        ['Hello', 'A  big  day']
    """

    def __init__(self, source: str, *, to: str | None = None) -> None:
        super().__init__(source if to is None else _with_language(source, to))
        self._quotes: dict[int, str] = {}  # of attributes that are segments, by their start
        # By segment start: its start tags, and whether their attributes are translated.
        self._tags: dict[int, list[tuple[Token, bool]]] = defaultdict(list)
        self._places: dict[_AttributeKey, list[tuple[str, Attribute, int]]] = defaultdict(list)
        self._translated: dict[str, dict[Attribute, tuple[int, str]]] = defaultdict(dict)
        self._outside: list[OutsideText] = []
        self.segments = tuple(self._segments())
        self.outside = tuple(self._outside)

    def encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        is_changed = tuple(parts) != segment.parts
        if segment.start == segment.end:
            assert isinstance(segment, _AttributeSegment)
            for tag, attribute, start in self._places[segment.place]:
                self._translated[tag].pop(attribute, None)
                if is_changed:
                    value = _encode_value(parts, attribute.quote)
                    self._translated[tag][attribute] = start, value
            return ""
        if not is_changed:
            return self._slice(segment)
        return self._encode(segment, self._translate_tags(segment, parts))

    def _encode(self, segment: Segment, parts: Iterable[Part]) -> str:
        if segment.start in self._quotes:
            return _encode_value(parts, self._quotes[segment.start])
        return "".join(
            part.source if isinstance(part, ProtectedSpan) else _escape(part) for part in parts
        )

    def _translate_tags(self, segment: Segment, parts: Sequence[Part]) -> Iterator[Part]:
        """Yield the parts with translated attributes; equal tags are in the order of the source."""
        is_translated: dict[str, deque[bool]] = defaultdict(deque)
        for token, is_text in self._tags.get(segment.start, ()):
            is_translated[self.source[token.start : token.end]].append(is_text)
        for part in parts:
            flags = isinstance(part, ProtectedSpan) and is_translated.get(part.source)
            if isinstance(part, ProtectedSpan) and flags and flags.popleft():
                part = ProtectedSpan(self._translate_tag(part.source))
            yield part

    def _slice(self, segment: Segment) -> str:
        """Return the source of a segment with translated attributes."""
        pieces, at = [], segment.start
        for token, is_text in self._tags.get(segment.start, ()):
            if is_text:
                tag = self.source[token.start : token.end]
                pieces += [self.source[at : token.start], self._translate_tag(tag)]
                at = token.end
        return "".join([*pieces, self.source[at : segment.end]])

    def _translate_tag(self, tag: str) -> str:
        found = sorted(self._translated[tag].items(), key=lambda item: item[0].start)
        for attribute, (start, value) in reversed(found):
            tag = tag[: attribute.start - start] + value + tag[attribute.end - start :]
        return tag

    def escape(self, text: str) -> str:
        return _escape(text)

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        """Check that tags still match; text is escaped and cannot become markup."""
        return find_nesting_fault(segment.parts, parts)

    def compare(self, output: str) -> str | None:
        before, after = list(_skeleton(self.source)), list(_skeleton(output))
        for (line, one), (_, other) in zip(before, after, strict=False):
            if one != other:
                return f"line {line}: a tag, attribute or comment differs"
        return None if len(before) == len(after) else "the number of tags differs"

    def _segments(self) -> Iterator[Segment]:
        run = _Run([], [])
        for token, reason, divides in _classify(self.source):
            if divides:
                yield from self._run_segments(run)
                run = _Run([], [])
                yield from self._outside_token(token, reason)
            else:
                run.tokens.append(token)
                run.skipped.append(reason)
        yield from self._run_segments(run)

    def _run_segments(self, run: _Run) -> Iterator[Segment]:
        """Yield the segment of a run, without the tags around it, after those of its attributes."""
        tokens, skipped = run.tokens, run.skipped
        words = [i for i, token in enumerate(tokens) if not skipped[i] and self._has_words(token)]
        if words:  # text that a template inserts belongs to them
            words += [i for i, token in enumerate(tokens) if token.kind == "code"]
        first, last = (min(words), max(words) + 1) if words else (len(tokens), len(tokens))
        for token, reason in zip(tokens[:first], skipped[:first], strict=True):
            yield from self._outside_token(token, reason)
        if words:
            segment = self._make_segment(tokens[first:last], skipped[first:last])
            for token, reason in zip(tokens[first:last], skipped[first:last], strict=True):
                if token.kind == "start":
                    self._tags[segment.start].append((token, not reason))
                    if not reason:
                        yield from self._nested_segments(token, segment.start)
            yield segment
        for token, reason in zip(tokens[last:], skipped[last:], strict=True):
            yield from self._outside_token(token, reason)

    def _make_segment(self, tokens: Sequence[Token], skipped: Sequence[str]) -> Segment:
        parts: list[Part] = []
        text = ""
        for token, reason in zip(tokens, skipped, strict=True):
            source = self.source[token.start : token.end]
            piece: Part = ProtectedSpan(source)
            if not reason and token.kind in ("text", "cdata"):
                piece = _SPACE.sub(" ", _CDATA.sub("", source) if token.kind == "cdata" else source)
            elif not reason and token.kind == "entity":
                piece = _read_entity(source)
            if isinstance(piece, str):
                text += piece
            else:
                parts += [*_split_text(text), piece]
                text = ""
        parts += _split_text(text)
        start, end = tokens[0].start, tokens[-1].end
        whole = self.source[start:end]
        if isinstance(parts[0], str):
            parts[0] = parts[0].lstrip()
            start += len(whole) - len(whole.lstrip())
        if isinstance(parts[-1], str):
            parts[-1] = parts[-1].rstrip()
            end -= len(whole) - len(whole.rstrip())
        return Segment(start=start, end=end, parts=tuple(part for part in parts if part != ""))

    def _has_words(self, token: Token) -> bool:
        text = self.source[token.start : token.end]
        if token.kind == "entity":
            return isinstance(_read_entity(text), str) and unescape(text).isalpha()
        if token.kind == "cdata":
            text = _CDATA.sub("", text)
        return token.kind in ("text", "cdata") and _LETTER.search(text) is not None

    def _outside_token(self, token: Token, reason: str) -> Iterator[Segment]:
        """Yield the segments of a tag's attributes; account for the rest of the token."""
        at = token.start
        if token.kind == "start" and not reason:
            for attribute, parts in self._text_attributes(token):
                self._quotes[attribute.start] = attribute.quote
                self._account(at, attribute.start, "tag")
                yield Segment(
                    start=attribute.start,
                    end=attribute.end,
                    parts=parts,
                    context=(attribute.name,),
                )
                at = attribute.end
        self._account(at, token.end, reason or _REASONS[token.kind])

    def _nested_segments(self, token: Token, start: int) -> Iterator[Segment]:
        tag = self.source[token.start : token.end]
        for attribute, parts in self._text_attributes(token):
            place = (start, attribute.name, parts)
            if place not in self._places:
                yield _AttributeSegment(
                    start=start, end=start, parts=parts, context=(attribute.name,), place=place
                )
            self._places[place].append((tag, attribute, token.start))

    def _text_attributes(self, token: Token) -> Iterator[tuple[Attribute, tuple[Part, ...]]]:
        """Yield the attributes of a tag that have text, and the parts of their values."""
        for attribute in token.attributes:
            if _is_text(self.source, token, attribute):
                value = self.source[attribute.start : attribute.end]
                parts = _split_value(value)
                is_guess = attribute.name != "label" and _GUESSED.fullmatch(attribute.name)
                if has_letters(parts) and (not is_guess or is_prose(unescape(value))):
                    yield attribute, parts

    def _account(self, start: int, end: int, reason: str) -> None:
        if _LETTER.search(self.source, start, end):
            self._outside.append(OutsideText(start, end, reason))


def _classify(source: str) -> Iterator[tuple[Token, str, bool]]:
    """Yield each token, why it is not translated, and whether it divides the text around it.

    An element that is not translated ends with its end tag, or where that is implied.
    """
    open_tags: list[str] = []
    state: list[tuple[str, bool]] = []  # of each open element: why it is skipped; as a block
    in_xhtml = is_xhtml(source)
    for token in tokenize(source):
        reason, in_block = _innermost(state)
        if token.kind == "start":
            start_element(open_tags, token.tag)
            is_open = token.tag not in VOID_ELEMENTS
            del state[len(open_tags) - is_open :]
            outer, in_block = _innermost(state)
            reason = _skip_reason(source, token, outer)
            if reason and not outer:
                in_block = token.tag not in _INLINE
            if is_open:
                state.append((reason, in_block))
            if reason != _NO_TRANSLATE:
                reason = outer  # attributes of the tag itself are translated
            # In HTML, the slash of other elements is ignored.
            is_foreign = bool({outer, _innermost(state)[0]}.intersection(_FOREIGN))
            if is_open and token.is_self_closing and (in_xhtml or is_foreign):
                open_tags.pop()
                state.pop()
        elif token.kind == "end":
            end_element(open_tags, token.tag)
            del state[len(open_tags) :]
        if token.kind in ("start", "end"):
            skipped, as_block = (reason, in_block) if token.kind == "start" else _innermost(state)
            is_text = skipped == "graphic" and token.tag in _SVG_TEXT
            # The elements of an icon within a sentence do not divide it.
            divides = token.tag not in _INLINE and (not skipped or as_block or is_text)
        elif token.kind == "code":
            divides = not reason and not _OUTPUT.match(source, token.start)
        else:
            divides = token.kind == "declaration"
        yield token, reason, divides or (bool(reason) and in_block)


def _innermost(state: list[tuple[str, bool]]) -> tuple[str, bool]:
    return state[-1] if state else ("", False)


def _with_language(source: str, to: str) -> str:
    """Return a page with the language and direction of its root and body replaced.

    A language is not added, but a root without a direction gets that of a right-to-left language.
    """
    text, at = "", 0
    direction = "rtl" if is_right_to_left(to) else "ltr"
    for token in tokenize(source):
        values = {each.name: source[each.start : each.end].lower() for each in token.attributes}
        is_meta = token.tag == "meta" and values.get("http-equiv") == "content-language"
        is_root = token.tag == "html" and token.kind == "start"
        if is_root and direction == "rtl" and "dir" not in values:
            name_end = token.start + len("<html")
            text += f'{source[at:name_end]} dir="rtl"'
            at = name_end
        for each in token.attributes if is_meta or token.tag in ("html", "body") else ():
            if each.name == "dir" and values["dir"] in ("ltr", "rtl"):
                text += source[at : each.start] + direction
                at = each.end
            is_language = each.name in (("content",) if is_meta else ("lang", "xml:lang"))
            tag = source[each.start : each.end]
            if is_language and _LANGUAGE_TAG.fullmatch(tag) and not is_tag_of(tag, to):
                text += source[at : each.start] + to
                at = each.end
        if token.tag == "body":
            break
    return text + source[at:]


def _skip_reason(source: str, token: Token, outer: str) -> str:
    """Return why an element in another one is not translated, or an empty string."""
    values = {each.name: source[each.start : each.end].lower() for each in token.attributes}
    translate = values.get("translate")
    if translate == "no" or "notranslate" in values.get("class", "").split():
        return outer or _NO_TRANSLATE
    if outer == "graphic" and token.tag in _SVG_TEXT:
        return ""
    if outer and not (outer == _NO_TRANSLATE and translate == "yes"):
        return outer
    return _SKIPPED.get(token.tag, "")


def _is_text(source: str, token: Token, attribute: Attribute) -> bool:
    """Whether an attribute has text that readers see, and not data, by its name."""
    name, tag = attribute.name, token.tag
    if name in ("content", "value"):
        values = {each.name: source[each.start : each.end].lower() for each in token.attributes}
        if name == "value":
            return tag == "input" and values.get("type") in _BUTTONS
        keys = {values.get("name"), values.get("property")}
        return tag == "meta" and not keys.isdisjoint(_DESCRIPTIONS)
    if tag in ("link", "style", "script"):
        return False  # the title of a style sheet is its name
    if name == "label" and tag in ELEMENTS:
        return tag in _LABELED
    if name in _TEXT_ATTRIBUTES or (name == "abbr" and tag == "th"):
        return True
    return bool(_DATA.fullmatch(name) or (tag not in ELEMENTS and _COMPONENT.fullmatch(name)))


def _split_text(text: str) -> list[Part]:
    """Split unescaped text into parts whose protected spans are escaped."""
    return [
        ProtectedSpan(_escape(part.source)) if isinstance(part, ProtectedSpan) else part
        for part in split_parts(text)
    ]


def _split_value(value: str) -> tuple[Part, ...]:
    """Return the parts of an attribute value, of which only code of a template has quotes."""
    parts: list[Part] = []
    for piece, is_code in split_code(value):
        if is_code:
            parts.append(ProtectedSpan(piece))
            continue
        for part in _split_text(unescape(piece)):
            if isinstance(part, ProtectedSpan):
                part = ProtectedSpan(_escape_quote(_escape_quote(part.source, '"'), "'"))
            parts.append(part)
    return tuple(parts)


def _encode_value(parts: Iterable[Part], quote: str) -> str:
    text = ""
    for part in parts:
        if isinstance(part, ProtectedSpan):
            text += part.source
        else:
            text += _escape_quote(_escape(part), quote or '"')
    return text if quote or _UNQUOTED.fullmatch(text) else f'"{text}"'


def _read_entity(text: str) -> Part:
    """Return the character of an entity that is a letter or escapes markup; protect others."""
    character = unescape(text)
    name = text.strip("&;").lower()
    if text.endswith(";") and (
        name in _TEXT_ENTITIES or (len(character) == 1 and character.isalpha())
    ):
        return character
    return ProtectedSpan(text)


def _escape(text: str) -> str:
    return escape(text, quote=False)


def _escape_quote(text: str, quote: str) -> str:
    return text.replace(quote, "&quot;" if quote == '"' else "&#39;")


def _skeleton(source: str) -> Iterator[tuple[int, str]]:
    """Yield everything that a translation must not change, with its line.

    Within a segment, the order may change, as word order differs between languages.
    """
    line, at = 1, 0
    run: list[tuple[int, str]] = []
    for token, reason, divides in _classify(source):
        line, at = line + source.count("\n", at, token.start), token.start
        if token.kind in ("text", "cdata", "entity") and not reason:
            continue
        text = source[token.start : token.end] if reason else _without_texts(source, token)
        if not divides:
            run.append((line, text))
            continue
        yield from _sorted_texts(run)
        run = []
        yield line, text
    yield from _sorted_texts(run)


def _without_texts(source: str, token: Token) -> str:
    """Return a tag without the values of its attributes that have text."""
    pieces, at = [], token.start
    for each in token.attributes:
        if _is_text(source, token, each):
            pieces.append(source[at : each.start - len(each.quote)])
            at = each.end + len(each.quote)
    return "".join([*pieces, source[at : token.end]])


def _sorted_texts(run: Sequence[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Sort the texts of a run; the line numbers keep their order, for error messages."""
    texts = sorted(text for _, text in run)
    yield from ((line, text) for (line, _), text in zip(run, texts, strict=True))
