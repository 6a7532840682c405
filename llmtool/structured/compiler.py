"""Replies that must follow a JSON Schema, a regular expression or a grammar, token by token.

All three are one llguidance grammar. It holds more of JSON Schema than llama.cpp's converter, its
masks are faster, and a broken or hostile grammar ends in an error, where llama.cpp's reader hangs
or takes the process with it (figures in benchmarks/README.md).

Enforced while decoding: types, properties and their order, required, additionalProperties,
patternProperties that do not overlap, items, prefixItems, minItems, maxItems, enum, const, anyOf,
oneOf that cannot overlap, allOf, references within the schema, bounds of numbers, multipleOf,
minLength, maxLength, pattern without look-around, and the formats date, time, date-time, duration,
email, hostname, ipv4, ipv6, uuid and uri (in shape: the 30th of February passes).
Left to the validation afterwards, and listed in `CompiledConstraint.unenforced`: uniqueItems,
contains, not, if, dependent*, propertyNames, unevaluated*, minProperties beside optional
properties, other formats, and that only one branch of an overlapping oneOf holds.
Refused: look-around and back references in patterns, references to other documents, and schemas
that nothing can satisfy. Strings and arrays without a maximum stay without one; numbers have 24
characters at the most. A reply may begin with one space, or with one or two new lines, before JSON.
"""

from __future__ import annotations

import ctypes
import re
from collections import OrderedDict
from typing import Any

from llmtool.errors import UsageError
from llmtool.structured import gbnf, gbnf_lark, guidance, json_grammar, token_mask
from llmtool.structured.constraint import Constraint
from llmtool.structured.guidance import Tokens, Vocabulary
from llmtool.structured.json_numbers import NumberLength

MAX_REGEX_CHARACTERS = 1 << 16
_KEPT = 64  # compiled constraints
_NAMES = {"json_schema": "JSON Schema", "regex": "regular expression", "gbnf": "grammar"}

# What llguidance says of things that lenient grammars pass over, and validation sees to.
_PASSED_OVER = re.compile(
    r"Unimplemented keys: \[.*\]|Unknown format: .*|oneOf constraints|min/maxProperties only"
)


class ConstraintCompiler:
    """Compiles constraints for one vocabulary, each of them once.

    The vocabulary is read at the first use: about 0.25 s for 49,000 tokens.

    Example:
        >>> compiler = ConstraintCompiler(weights)
        >>> matcher = compiler.compile(Constraint("regex", "yes|no")).start()
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._tokens: Tokens | None = None
        self._compiled: OrderedDict[Constraint, CompiledConstraint | UsageError] = OrderedDict()

    def compile(self, constraint: Constraint) -> CompiledConstraint:
        """Return a constraint ready to start.

        Raises:
            UsageError: it is broken, too large, or nothing satisfies it.
        """
        found = self._compiled.get(constraint)
        if found is None:
            if self._tokens is None:
                self._tokens = Tokens(self._vocabulary)
            try:
                found = _compile(self._tokens, constraint)
            except UsageError as exc:
                found = exc
            self._compiled[constraint] = found
            if len(self._compiled) > _KEPT:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(constraint)
        if isinstance(found, UsageError):
            raise UsageError(*found.args)
        return found


class CompiledConstraint:
    """A constraint in a model's tokens. `unenforced` names what only validation will find."""

    def __init__(self, tokens: Tokens, matcher: Any, constraint: Constraint, unenforced: str):
        self._tokens, self._matcher = tokens, matcher
        self.constraint = constraint
        self.unenforced = unenforced

    def start(self) -> Matcher:
        """Return a matcher at the beginning of a reply; matchers do not know of one another."""
        return Matcher(
            self._tokens,
            self._matcher.deep_copy(),
            json_numbers=self.constraint.kind == "json_schema",
        )


class Matcher:
    """How far one reply has come. Ask `allows`, or mask the logits; then `accept` the token."""

    def __init__(self, tokens: Tokens, matcher: Any, *, json_numbers: bool) -> None:
        self._tokens, self._matcher = tokens, matcher
        self._numbers = NumberLength() if json_numbers else None
        self._ends = frozenset(tokens.ends)
        self._ended = False

    def allows(self, token: int) -> bool:
        """Whether `token` may come next: microseconds, without looking at the other tokens."""
        if self._ended:
            return False
        if token in self._ends:
            return bool(self._matcher.is_accepting())
        if self._matcher.validate_tokens([token]) != 1:
            return False
        if self._numbers is None or self._numbers.fits(self._tokens.tokens[token]):
            return True
        return token in token_mask.allowed_tokens(self._mask())

    def mask_logits(self, logits: Any) -> None:
        """Set the logits of all tokens that may not come next to minus infinity, in place.

        Args:
            logits: a ctypes pointer to (or array of) `n_vocab` float32.

        Raises:
            UsageError: the grammar is too complex at this place, or leads nowhere.
        """
        mask = self._mask()
        target = logits if isinstance(logits, ctypes.Array) else logits.contents
        n_vocab = len(self._tokens.tokens) - (not self._tokens.ends)
        token_mask.apply_mask(mask, ctypes.addressof(target), n_vocab)

    def accept(self, token: int) -> None:
        """Go on by a token that is allowed.

        Raises:
            UsageError: it is not allowed, or the grammar is too complex at this place.
        """
        if token in self._ends and self._matcher.is_accepting():
            self._ended = True
            return
        if not self._matcher.consume_token(token):
            raise UsageError(f"constraint: {_reason(self._matcher) or 'token not allowed'}")
        if self._numbers is not None:
            self._numbers.push(self._tokens.tokens[token])

    @property
    def finished(self) -> bool:
        """Whether nothing but the end may follow."""
        return self._ended or (self._matcher.is_stopped() and self._matcher.is_accepting())

    @property
    def complete(self) -> bool:
        """Whether the reply satisfies the constraint as it stands."""
        return self._ended or bool(self._matcher.is_accepting())

    def close(self) -> None:
        self._matcher = None

    def _mask(self) -> bytes:
        mask: bytes = self._matcher.compute_bitmask()
        if self._matcher.is_error() or not any(mask):
            raise UsageError(f"constraint: {_reason(self._matcher) or 'no token can follow'}")
        numbers = self._numbers
        if numbers is None or not numbers.near_limit:
            return mask
        narrow = bytearray(mask)
        for token in token_mask.allowed_tokens(mask):
            if token not in self._ends and not numbers.fits(self._tokens.tokens[token]):
                narrow[token // 8] &= ~(1 << token % 8)
        # A schema may ask for a longer number: then that is what it gets.
        return bytes(narrow) if any(narrow) else mask


def _compile(tokens: Tokens, constraint: Constraint) -> CompiledConstraint:
    kind, source = constraint.kind, constraint.source
    unenforced = ""
    if kind == "json_schema":
        matcher = guidance.matcher(tokens, json_grammar.to_lark(source))
        passed_over = _PASSED_OVER.search(_reason(matcher))
        if passed_over:
            matcher = guidance.matcher(tokens, json_grammar.to_lark(source, lenient=True))
            unenforced = "; ".join(matcher.get_grammar_warnings()) or passed_over[0]
        # Behind the white space that may come first, a schema's own beginning.
        bare = json_grammar.to_lark(source, lenient=bool(unenforced), lead=False)
        beginning = guidance.matcher(tokens, bare)
    else:
        if kind == "regex":
            if len(source) > MAX_REGEX_CHARACTERS:
                raise UsageError(f"regular expression: over {MAX_REGEX_CHARACTERS} characters")
            matcher = guidance.matcher(tokens, source, regex=True)
        else:
            matcher = guidance.matcher(tokens, gbnf_lark.to_lark(gbnf.parse(source)))
        beginning = matcher.deep_copy()
    if not beginning.is_error():
        some = any(beginning.compute_bitmask())
        if beginning.is_error() or not some:
            raise UsageError(f"{_NAMES[kind]}: {_reason(beginning) or _NOTHING}")
    if matcher.is_error():
        raise UsageError(f"{_NAMES[kind]}: {_reason(matcher)}")
    return CompiledConstraint(tokens, matcher, constraint, unenforced)


_NOTHING = "nothing satisfies it"
_OURS = re.compile(
    r"^at \d+\(\d+\): |failed to compile JSON schema: |invalid regex .*?\(in regex\): "
    r"|regex parse error:\s*"
)
_LISTING = re.compile(r"\n +\d+ \| |\n<non-verbose/>|\nbacktrace|\n  +\d+: ")
_CARETS = re.compile(r"\s*\^+\s*error: ")


def _reason(matcher: Any) -> str:
    """Return llguidance's error in one line, without the listing of a grammar that we wrote."""
    text = str(matcher.get_error())
    if "NoExtension" in text:
        return _NOTHING
    pattern, carets, why = _CARETS.sub("\0", _OURS.sub("", _LISTING.split(text)[0])).partition("\0")
    shown = pattern if len(pattern) <= 100 else pattern[:60] + "…"
    return " ".join(f"{shown}: {why}".split() if carets else pattern[:300].split())
