"""Parse llama.cpp's grammar format (GBNF), for conversion to a Lark grammar.

llama.cpp's own parser crashes on deeply nested grammars and long chains of rules, hangs on
`"a"{3,1}`, and takes exponential time for rules that share alternatives. llguidance bounds its
work, but its lexer is greedy: its GBNF converter turns `[a-z]+ "s"` into a word that consumes the
`s`. Our conversion avoids this: a grammar without recursion becomes one regular expression, and a
recursive one has single characters as lexemes.

Not supported: token references (`<|im_end|>`, `<[7]>`, `!<[7]>`).
"""

from __future__ import annotations

import re
from typing import NoReturn

import msgspec

from llmtool.errors import UsageError

MAX_CHARACTERS = 1 << 18
MAX_RULES = 1000  # a chain of several thousand overflows llguidance's stack
MAX_DEPTH = 64
MAX_REPETITIONS = 100_000
MAX_OPTIONAL = 4000  # items that may be absent; memory is quadratic, and 14,000 take 1.2 GB
MAX_CODE_POINT = 0x10FFFF

_SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_SPACE_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_NAME = re.compile(r"[a-zA-Z0-9-]+")
_BRACES = re.compile(r"\{[ \t]*([0-9]{1,9})[ \t]*(,?)[ \t]*([0-9]{0,9})[ \t]*\}")
_ESCAPES = {"n": 10, "r": 13, "t": 9, "\\": 92, '"': 34, "[": 91, "]": 93}
_HEX = re.compile("[0-9a-fA-F]+")
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}


class CharacterClass(msgspec.Struct, frozen=True):
    """One character within inclusive ranges of code points or, if `negated`, outside them."""

    ranges: tuple[tuple[int, int], ...]
    negated: bool = False


class RuleReference(msgspec.Struct, frozen=True):
    rule: str
    position: int


class Repeat(msgspec.Struct, frozen=True):
    """`item`, repeated `minimum` to `maximum` times; None is unbounded."""

    item: Node
    minimum: int
    maximum: int | None


class Sequence(msgspec.Struct, frozen=True):
    items: tuple[Node, ...]


class Alternation(msgspec.Struct, frozen=True):
    alternatives: tuple[Node, ...]


Node = CharacterClass | RuleReference | Repeat | Sequence | Alternation


def parse(source: str) -> dict[str, Node]:
    """Return the rules of a grammar by name.

    Raises:
        UsageError: "grammar, line L, column C: reason".

    Example:
        >>> list(parse('root ::= "yes" | no\\nno ::= "no"'))
        ['root', 'no']
    """
    return _Reader(source).rules()


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._depth = self._n_optional = 0
        self._references: list[RuleReference] = []
        if len(source) > MAX_CHARACTERS:
            raise UsageError(f"grammar: longer than {MAX_CHARACTERS:,} characters")

    def rules(self) -> dict[str, Node]:
        rules: dict[str, Node] = {}
        self._space(lines=True)
        while self._at < len(self._source):
            begin = self._at
            name = self._name()
            self._space()
            if not self._take("::="):
                self._fail("expected '::=' after the rule name")
            self._space(lines=True)
            if name in rules:
                self._fail(f"duplicate rule '{name}'", begin)
            if len(rules) == MAX_RULES:
                self._fail(f"more than {MAX_RULES:,} rules", begin)
            rules[name] = self._choice(nested=False)
            if self._peek() not in ("", "\r", "\n"):
                self._fail(f"unexpected {self._peek()!r}")
            self._space(lines=True)
        if "root" not in rules:
            self._fail("rule 'root' is missing", 0)
        for reference in self._references:
            if reference.rule not in rules:
                self._fail(f"unknown rule '{reference.rule}'", reference.position)
        return rules

    def _choice(self, *, nested: bool) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"nested deeper than {MAX_DEPTH}")
        alternatives = [self._sequence(nested=nested)]
        while self._take("|"):
            self._space(lines=True)
            alternatives.append(self._sequence(nested=nested))
        self._depth -= 1
        return alternatives[0] if len(alternatives) == 1 else Alternation(tuple(alternatives))

    def _sequence(self, *, nested: bool) -> Node:
        items: list[Node] = []
        while (item := self._item()) is not None:
            self._space(lines=nested)
            items.append(self._repeated(item, nested=nested))
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _item(self) -> Node | None:
        character, begin = self._peek(), self._at
        if character == '"':
            return self._literal()
        if character == "[":
            return self._class()
        if self._take("."):
            return CharacterClass(((0, MAX_CODE_POINT),))
        if self._take("("):
            self._space(lines=True)
            inner = self._choice(nested=True)
            if not self._take(")"):
                self._fail("'(' is not closed", begin)
            return inner
        if character in ("<", "!"):
            self._fail("token references are not supported; write the token's text")
        if not _NAME.match(character):
            return None
        reference = RuleReference(self._name(), begin)
        self._references.append(reference)
        return reference

    def _repeated(self, item: Node, *, nested: bool) -> Node:
        while self._peek() and self._peek() in "*+?{":
            begin = self._at
            if self._take("{"):
                match = _BRACES.match(self._source, begin)
                if match is None:
                    self._fail("expected {m}, {m,} or {m,n}", begin)
                self._at = match.end()
                minimum, comma, upper = int(match[1]), match[2], match[3]
                maximum = int(upper) if upper else None if comma else minimum
                if upper and not comma:
                    self._fail("expected {m}, {m,} or {m,n}", begin)
                if maximum is not None and maximum < minimum:
                    self._fail(f"the maximum {maximum} is less than the minimum {minimum}", begin)
                if max(minimum, maximum or 0) > MAX_REPETITIONS:
                    self._fail(f"more than {MAX_REPETITIONS:,} repetitions", begin)
            else:
                sign = self._source[begin]
                self._at += 1
                minimum, maximum = {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
            if minimum == 0:
                self._n_optional += 1
                if self._n_optional > MAX_OPTIONAL:
                    self._fail(f"more than {MAX_OPTIONAL:,} optional items", begin)
            item = Repeat(item, minimum, maximum)
            self._check_repeats(item)
            self._space(lines=nested)
        return item

    def _check_repeats(self, node: Node) -> None:
        depth = 0
        while isinstance(node, Repeat):
            node, depth = node.item, depth + 1
        if depth > 8:
            self._fail("more than 8 repetition operators on one item")

    def _literal(self) -> Node:
        begin = self._at
        self._at += 1
        points: list[Node] = []
        while not self._take('"'):
            point = self._character(begin)
            points.append(CharacterClass(((point, point),)))
        return points[0] if len(points) == 1 else Sequence(tuple(points))

    def _class(self) -> Node:
        begin = self._at
        self._at += 1
        negated = self._take("^")
        ranges = []
        while not self._take("]"):
            first = last = self._character(begin)
            if self._peek() == "-" and self._source[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                last = self._character(begin)
            if last < first:
                self._fail("the character range is reversed", begin)
            ranges.append((first, last))
        if not ranges:
            self._fail("the character class is empty", begin)
        return CharacterClass(tuple(ranges), negated)

    def _character(self, begin: int) -> int:
        """Read a character of the literal or class that begins at `begin`."""
        character = self._peek()
        if character in ("", "\n"):
            self._fail(f"'{self._source[begin]}' is not closed", begin)
        at, self._at = self._at, self._at + 1
        if character != "\\":
            return self._code_point(ord(character), at)
        kind = self._peek()
        self._at += 1
        if kind in _ESCAPES:
            return _ESCAPES[kind]
        digits = self._source[self._at : self._at + _HEX_DIGITS.get(kind, 0)]
        if len(digits) != _HEX_DIGITS.get(kind) or not _HEX.fullmatch(digits):
            self._fail('unknown escape; use \\n \\r \\t \\\\ \\" \\[ \\] \\x \\u \\U', at)
        self._at += len(digits)
        return self._code_point(int(digits, 16), at)

    def _code_point(self, point: int, at: int) -> int:
        if point > MAX_CODE_POINT or 0xD800 <= point <= 0xDFFF:
            self._fail("not a valid Unicode character", at)
        return point

    def _name(self) -> str:
        match = _NAME.match(self._source, self._at)
        if match is None:
            self._fail("expected a rule name (letters, digits and '-')")
        self._at = match.end()
        return match[0]

    def _space(self, *, lines: bool = False) -> None:
        match = (_SPACE_AND_LINES if lines else _SPACE).match(self._source, self._at)
        if match:
            self._at = match.end()

    def _peek(self) -> str:
        return self._source[self._at : self._at + 1]

    def _take(self, text: str) -> bool:
        if not self._source.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _fail(self, reason: str, at: int | None = None) -> NoReturn:
        at = self._at if at is None else at
        line = self._source.count("\n", 0, at) + 1
        column = at - self._source.rfind("\n", 0, at)
        raise UsageError(f"grammar, line {line}, column {column}: {reason}")
