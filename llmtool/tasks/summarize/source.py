"""Read a text as sentences with their positions: prose, headings, list items, rows, code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from llmtool.text.sections import HEADING, LINE, UNDERLINE, next_fence
from llmtool.text.sentences import sentence_ends
from llmtool.text.words import WIDE, count_narrow_and_wide, count_words

Kind = Literal["prose", "heading", "item", "row", "code", "field"]

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?:[^\n]*\n){0,200}?---[ \t]*(?:\n|\Z)")
# The fields of an e-mail that say nothing of its text, as `mail` writes them or as they are copied.
_FIELDS = (
    "From|To|Cc|Date|Sent|Von|An|Datum|Gesendet|De|À|Envoyé|Para|Fecha|Da|A|Data"
    "|发件人|收件人|抄送|日期|差出人|宛先|日時"
)
_SUBJECT = "Subject|Betreff|Objet|Asunto|Oggetto|主题|件名"
_HEAD = re.compile(
    rf"(?:\A|(?<=\n\n))(?:(?:{_FIELDS}|{_SUBJECT})[ \u00a0]?(?:: |：)[^\n]+\n)+(?=\n)"
)
_CONTEXT = re.compile(rf"^(?:{_FIELDS})[ \u00a0]?(?:: |：)", re.MULTILINE)
_GREETING = (  # and the end of a letter, after a blank line
    r"(?:Dear|Hi|Hello|Hey|Good (?:morning|afternoon|evening)|Sehr geehrte\w*|Liebe[rs]?|Hallo|Moin"
    r"|Guten (?:Tag|Morgen|Abend)|Bonjour|Cher|Chère|Madame|Monsieur|Hola|Estimad[oa]s?"
    r"|Querid[oa]s?|Gentile|Buongiorno|Olá|Beste|Geachte)(?: [^\s.?]+){0,5}[,!]"
    r"|(?:尊敬的|您好)[^\n。]{0,20}[，：！]"
    r"|(?:(?:With )?(?:Best|Kind|Warm)(?:est)? (?:regards|wishes)|Regards|Best|Cheers"
    r"|(?:Many )?Thanks|(?:Yours )?(?:sincerely|faithfully|truly)|Mit freundlichen Grüßen|MfG"
    r"|(?:Viele|Liebe|Beste|Herzliche|Freundliche) Grüße|(?:Bien )?cordialement|(?:Un )?saludos?"
    r"(?: cordiales)?|Cordiali saluti|Atenciosamente|此致|敬礼)[,.!，！]?"
)
_QUOTED_BY = (  # "On 3 May 2026 at 9:40, Ann wrote:", in one or two lines
    r"(?:On|Am|Le|El|Il|Em|Op|Den)\b(?=[^\n]*\d)"
    r"(?=[^\n]*(?:\n[^\n]*)?\b"
    r"(?:wrote|schrieb|a écrit|escribió|ha scritto|escreveu|schreef|skrev)\b)"
    r"[^\n]{6,200}(?:\n[> \t]{0,20}[^\n]{0,100})?:"
)
_COURTESY = re.compile(
    rf"(?:(?:\A|(?<=\n\n)|(?<=:\n))[> \t]*(?:{_GREETING})|^[> \t]*{_QUOTED_BY})[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_TITLE = re.compile(
    r"\s*(\S[^\n]*)\n(?:[ \t]*\n)+[ \t]*(\S[^\n]*)"
)  # the first line, and the next one
_STAMP = re.compile(  # the time of a line of a chat, or the name in angle brackets
    r"^[ \t]*(?:\[[^\]\n]{0,20}\d[:.]\d\d[^\]\n]{0,6}\]|<[^<>\n]{1,30}>"
    r"|(?:\d{1,4}[./-]\d{1,2}[./-]\d{1,4},?[ T])?\d{1,2}:\d\d(?::\d\d)?(?: ?[ap]m)?(?: -)?)"
    r"[ \t]+(?=\S)",
    re.IGNORECASE | re.MULTILINE,
)
_ITEM = re.compile(r"[ \t]*(?:[-*+•·]|\d{1,3}[.)、])[ \t]+(?=\S)|[ \t]*•(?=\S)")
_DELIMITER_ROW = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_FIELD = re.compile(r"[A-ZÀ-ÞА-Я][\w .’'-]{0,40}: \S|[\u3400-\u9fff]{1,8}：")  # "Subject: …"
_CLOSED = re.compile(r"[.!?…:;,。！？：；，、-][\"'”’»)\]」』”’）*_]*\Z")
_QUOTE = re.compile(r"(?:[ \t]*>)+[ \t]?")
_OPEN = re.compile(r"[,;，；、-]\Z")  # a line that the next one continues
_FIRST_WORD = re.compile(rf"\s*([{WIDE}]|[^\s{WIDE}]+)")
_WORD_END = re.compile(r"\s+|(?<=[，、,；;])")
_MAX_WORDS = 70  # a longer sentence is divided, because the text has no punctuation
_PART_WORDS, _CLAUSE_WORDS = 30, 12  # a part can end from so many words on, before a conjunction
_CONJUNCTION = re.compile(
    r"(?:and|but|so|because|then|und|aber|weil|dann|et|mais|parce|y|pero|porque|e|ma)\b",
    re.IGNORECASE,
)
_MIN_STAMPS = 3  # lines of a chat
_MIN_NOTES = 3  # lines
_MIN_WIDTH = 40  # characters; text is hardly wrapped at less
_TITLE_WORDS = 10  # of an unmarked title at most
_TEXT_RATIO, _TEXT_WORDS = 2, 8  # the next line has at least twice its words, and eight


class Sentence(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence of a source, from `start` to `end` in characters of the text that was read.

    `text` is readable on its own: white space is normalized, list markers are omitted, and a table
    row reads "column: value, …". `block` counts paragraphs, `section` headings; `opens` is whether
    the sentence is the first of its block.
    """

    text: str
    start: int
    end: int
    kind: Kind
    block: int
    section: int
    opens: bool
    n_words: int


class _Block(msgspec.Struct):
    """Consecutive lines of one kind, from `start` to `end` in characters."""

    kind: Kind
    start: int
    end: int
    header: tuple[str, ...] = ()  # of a table row


def read_sentences(text: str) -> list[Sentence]:
    """Read a text, Markdown or plain, as its sentences in order.

    Example:
        >>> text = "# Bus\\n\\nIt leaves at 9. Ask Dr. Ode.\\n\\n"
        >>> table = "| to | price |\\n|---|---|\\n| Rem | 4 |\\n"
        >>> [(each.kind, each.text) for each in read_sentences(text + table)][1:]
        [('prose', 'It leaves at 9.'), ('prose', 'Ask Dr. Ode.'), ('row', 'to: Rem, price: 4')]
    """
    found: list[Sentence] = []
    section = 0
    for number, block in enumerate(_blocks(text)):
        section += block.kind == "heading"
        for index, (start, end, readable) in enumerate(_parts(text, block)):
            sentence = Sentence(
                text=readable,
                start=start,
                end=end,
                kind=block.kind,
                block=number,
                section=section,
                opens=index == 0,
                n_words=count_words(readable),
            )
            found.append(sentence)
    return found


def _blocks(text: str) -> Iterator[_Block]:
    """Yield the blocks of a text, without blank lines, fences and the headers of tables."""
    reader = _BlockReader()
    front = _FRONT_MATTER.match(text)
    reader.front_end = front.end() if front else 0
    for head in _HEAD.finditer(text):
        fields = _CONTEXT.finditer(head[0])
        reader.fields.update(head.start() + field.start() for field in fields)
    for found in _COURTESY.finditer(text):
        reader.fields.update(line.start() for line in LINE.finditer(text, *found.span()))
    title = _TITLE.match(text)
    if title and _is_title(title[1], title[2]):
        reader.title = title.start(1)
    stamps = [found.start() for found in _STAMP.finditer(text)]
    n_lines = sum(not line.isspace() for line in text.splitlines(keepends=True))
    if len(stamps) >= max(_MIN_STAMPS, n_lines / 2):
        reader.stamps.update(stamps)
    lines = [(found.start(), found[0].rstrip()) for found in LINE.finditer(text)]
    for (start, line), following in zip(lines, [*lines[1:], (0, "")], strict=False):
        yield from reader.add(start, line, following[1])
    yield from reader.end()


class _BlockReader:
    """Divides lines into blocks: prose and list items can have several lines, others one."""

    def __init__(self) -> None:
        self._open: _Block | None = None
        self._only_line = ""  # of the open block, "" if it has several
        self.front_end = 0  # of the front matter, whose lines are code
        self.fields: set[int] = set()  # the starts of lines with them
        self.stamps: set[int] = set()  # the starts of lines of a chat
        self.title = -1  # the start of the first line, if it is an unmarked title
        self._fence = ""
        self._header: tuple[str, ...] = ()  # of the table around the line
        self._is_quote = False  # whether the open block is in a block quote

    def add(self, start: int, line: str, following: str) -> Iterator[_Block]:
        """Add a line; yield the blocks that it ends."""
        begins = start in self.fields or start in self.stamps
        if self._open is not None and not begins and self._continues(line):
            if not self._has_title(line):
                self._open.end, self._only_line = start + len(line), ""
                return
            self._open.kind = "heading"
        if self._open is not None and self._open.kind == "prose" and UNDERLINE.match(line):
            self._open.kind = "heading"
            yield from self.end()
            return
        yield from self.end()
        block = self._read(start, line, following)
        if block is not None and block.start < block.end:
            self._open, self._only_line = block, line
            if block.kind not in ("prose", "item"):
                yield from self.end()

    def end(self) -> Iterator[_Block]:
        if self._open is not None:
            yield self._open
            self._open = None

    def _continues(self, line: str) -> bool:
        """Return whether a line continues the prose or item before it."""
        starts = (HEADING, UNDERLINE, _ITEM, _FIELD)
        if not line.strip() or "|" in line or any(start.match(line) for start in starts):
            return False
        if next_fence(line, ""):
            return False
        return self._is_quote or _QUOTE.match(line) is None

    def _has_title(self, line: str) -> bool:
        """Return whether the open block is an unmarked title of the text that begins in a line."""
        return _is_title(self._only_line.strip(), line.strip())

    def _read(self, start: int, line: str, following: str) -> _Block | None:
        end = start + len(line)
        if start < self.front_end:
            return _Block("code", start, end) if line.strip("- ") else None
        if start in self.fields:
            return _Block("field", start, end)
        fence, self._fence = self._fence, next_fence(line, self._fence)
        if fence != self._fence:
            return None
        if fence:
            return _Block("code", start, end) if line.strip() else None
        if self._header and "|" in line:
            return None if _DELIMITER_ROW.match(line) else _Block("row", start, end, self._header)
        self._header = ()
        if "|" in line and "|" in following and _DELIMITER_ROW.match(following):
            self._header = tuple(_cells(line))
            return None
        if heading := HEADING.match(line):
            return _Block("heading", start + heading.start(2), start + heading.end(2))
        if UNDERLINE.match(line) or not line.strip():
            return None
        if item := _ITEM.match(line):
            self._is_quote = False
            return _Block("item", start + item.end(), end)
        quote = _QUOTE.match(line)
        self._is_quote = quote is not None
        kind: Kind = "heading" if start == self.title else "prose"
        return _Block(kind, start + (quote.end() if quote else 0), end)


def _is_title(line: str, following: str) -> bool:
    """Return whether a line is an unmarked title of the text that begins in the next one."""
    n_words = count_words(line)
    is_short = 0 < n_words <= _TITLE_WORDS
    is_text = count_words(following) >= max(_TEXT_WORDS, _TEXT_RATIO * n_words)
    return is_short and is_text and not following[0].islower() and not _CLOSED.search(line)


def _parts(text: str, block: _Block) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and readable text of each sentence of a block."""
    if block.kind == "row":
        readable = _describe_row(block.header, _cells(text[block.start : block.end]))
        if readable:
            yield block.start, block.end, readable
        return
    whole = block.kind in ("heading", "code", "field")
    spans = [(block.start, block.end)] if whole else _sentence_spans(text, block.start, block.end)
    for start, end in spans:
        is_code = block.kind == "code"
        readable = text[start:end].strip() if is_code else _readable(text[start:end])
        if any(c.isalnum() for c in readable):
            yield start, end, readable


def _sentence_spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the spans of the sentences between two positions, without the space around them."""
    first = start
    ends = [*sentence_ends(text, start, end), end]
    for last in sorted({*ends, *_line_ends(text, start, ends)}):
        yield from _divided(text, *_trimmed(text, first, last))
        first = last


def _line_ends(text: str, start: int, ends: list[int]) -> Iterator[int]:
    """Yield the ends of lines of notes, whose sentences have no other end.

    They are notes if most lines end where the next word would have fit into the longest line, none
    ends with a comma or hyphen, and no sentence ends inside a line.
    """
    lines = text[start : ends[-1]].split("\n")
    if len(lines) < _MIN_NOTES or any(_OPEN.search(line.rstrip()) for line in lines[:-1]):
        return
    if any("\n" not in text[end - 1 : end + 1] for end in ends[:-1]):
        return
    width, n_early = max(_MIN_WIDTH, *map(len, lines)), 0
    for line, following in zip(lines, lines[1:], strict=False):
        word = _FIRST_WORD.match(following)
        n_early += word is not None and len(line) + 1 + len(word[1]) <= width
    if 2 * n_early <= len(lines) - 1:
        return
    for line in lines:
        start += len(line) + 1
        yield min(start, ends[-1])


def _divided(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield a span, in parts if it has far too many words: at line ends, else between words."""
    if start >= end:
        return
    if count_words(text[start:end]) <= _MAX_WORDS:
        yield start, end
        return
    cuts = [found.end() for found in re.finditer(r"\n+", text[start:end])]
    if len(cuts) * _PART_WORDS < count_words(text[start:end]):
        cuts = [found.end() for found in _WORD_END.finditer(text[start:end])]
    first = at = n_narrow = n_wide = 0
    for cut in [*cuts, end - start]:
        more = count_narrow_and_wide(text[start + at : start + cut])
        n_narrow, n_wide, at = n_narrow + more[0], n_wide + more[1], cut
        n_words = n_narrow + -(-n_wide // 2)
        is_clause = n_words >= _CLAUSE_WORDS and _CONJUNCTION.match(text, start + cut)
        if is_clause or n_words >= _PART_WORDS or cut == end - start:
            yield _trimmed(text, start + first, start + cut)
            first, n_narrow, n_wide = cut, 0, 0


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())


def _readable(text: str) -> str:
    """Return a sentence with plain spaces, without emphasis and quote marks of Markdown."""
    text = re.sub(r"\n[ \t]*>+", "\n", text)
    text = re.sub(r"!\[([^\[\]\n]*)\]\([^()\n]*\)", r"\1", text)
    text = re.sub(r"\[([^\[\]\n]+)\]\([^()\n]*\)", r"\1", text)
    text = re.sub(r"\*\*(.+?)\*\*|__(.+?)__", lambda m: m[1] or m[2], text, flags=re.DOTALL)
    text = re.sub(r"(?<![\w*])\*(?!\s)([^*\n]+?)\*(?![\w*])", r"\1", text)
    if re.search(r"[\u2e80-\u9fff]\s*\n", text):
        text = re.sub(r"(?<=[\u2e80-\u9fff，。、])\s*\n\s*", "", text)
    return " ".join(text.split())


def _cells(line: str) -> list[str]:
    line = line.strip()
    line = line.removeprefix("|")
    if line.endswith("|") and not line.endswith("\\|"):
        line = line[:-1]
    return [_readable(cell.replace("\\|", "|")) for cell in re.split(r"(?<!\\)\|", line)]


def _describe_row(header: tuple[str, ...], cells: list[str]) -> str:
    """Return a table row as a sentence: "column: value, …"."""
    named = [*header, *[""] * (len(cells) - len(header))]
    parts = [
        f"{name}: {cell}" if name else cell
        for name, cell in zip(named, cells, strict=False)
        if any(c.isalnum() for c in cell)
    ]
    return ", ".join(parts)
