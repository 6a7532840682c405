"""Compile a JSON Schema, a regular expression or a grammar into a constraint on tokens.

All three become an llguidance grammar, which covers more of JSON Schema than llama.cpp's
converter and computes masks faster. An invalid or hostile grammar ends in an error, where
llama.cpp's parser hangs or crashes the process (figures in benchmarks/README.md).

Enforced while decoding: types, properties and their order, required, additionalProperties,
patternProperties that do not overlap, items, prefixItems, minItems, maxItems, enum, const, anyOf,
oneOf that cannot overlap, allOf, references within the schema, bounds of numbers, multipleOf,
minLength, maxLength, pattern without look-around, and the formats date, time, date-time, duration,
email, hostname, ipv4, ipv6, uuid and uri (syntax only: the 30th of February passes).
Not enforced, but validated in the finished reply, and listed in `CompiledConstraint.unenforced`:
uniqueItems, contains, not, if, dependent*, propertyNames, unevaluated*, minProperties with
optional properties, other formats, and that only one branch of an overlapping oneOf matches.
Rejected: look-around and back references in patterns, references to other documents, and schemas
that nothing satisfies. Strings and arrays without a maximum stay without one; numbers have at most
24 characters. One space, or one or two line feeds, may precede the JSON.
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
_MAX_CACHED = 64  # compiled constraints
_NAMES = {"json_schema": "JSON Schema", "regex": "regular expression", "gbnf": "grammar"}

# llguidance's errors for keywords that lenient grammars skip and validation checks.
_SKIPPED = re.compile(
    r"Unimplemented keys: \[.*\]|Unknown format: .*|oneOf constraints|min/maxProperties only"
)


class ConstraintCompiler:
    """Compiles constraints for one vocabulary, and caches them.

    The first use reads the vocabulary: about 0.25 s for 49,000 tokens.

    Example:
        >>> compiler = ConstraintCompiler(weights)
        >>> matcher = compiler.compile(Constraint("regex", "yes|no")).start()
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._tokens: Tokens | None = None
        self._compiled: OrderedDict[Constraint, CompiledConstraint | UsageError] = OrderedDict()

    def compile(self, constraint: Constraint) -> CompiledConstraint:
        """Return the compiled constraint.

        Raises:
            UsageError: the constraint is invalid or too large, or nothing satisfies it.
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
            if len(self._compiled) > _MAX_CACHED:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(constraint)
        if isinstance(found, UsageError):
            raise UsageError(*found.args)
        return found


class CompiledConstraint:
    """A constraint on a model's tokens. `unenforced` names what only validation checks."""

    def __init__(self, tokens: Tokens, matcher: Any, constraint: Constraint, unenforced: str):
        self._tokens, self._matcher = tokens, matcher
        self.constraint = constraint
        self.unenforced = unenforced

    def start(self) -> Matcher:
        """Return a matcher at the beginning of a reply; matchers are independent."""
        return Matcher(
            self._tokens,
            self._matcher.deep_copy(),
            json_numbers=self.constraint.kind == "json_schema",
        )


class Matcher:
    """The state of one reply. Check `allows` or mask the logits, then `accept` the token."""

    def __init__(self, tokens: Tokens, matcher: Any, *, json_numbers: bool) -> None:
        self._tokens, self._matcher = tokens, matcher
        self._numbers = NumberLength() if json_numbers else None
        self._ends = frozenset(tokens.ends)
        self._ended = False

    def allows(self, token: int) -> bool:
        """Whether `token` may come next; takes microseconds, as it checks no other token."""
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
        """Set the logits of all tokens that may not come next to minus infinity in place.

        Args:
            logits: a ctypes pointer to (or array of) `n_vocab` float32.

        Raises:
            UsageError: the grammar is too complex at this point, or no token can follow.
        """
        mask = self._mask()
        target = logits if isinstance(logits, ctypes.Array) else logits.contents
        n_vocab = len(self._tokens.tokens) - (not self._tokens.ends)
        token_mask.apply_mask(mask, ctypes.addressof(target), n_vocab)

    def accept(self, token: int) -> None:
        """Advance by an allowed token.

        Raises:
            UsageError: the token is not allowed, or the grammar is too complex at this point.
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
        """Whether only the end may follow."""
        return self._ended or (self._matcher.is_stopped() and self._matcher.is_accepting())

    @property
    def complete(self) -> bool:
        """Whether the reply so far satisfies the constraint."""
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
        # A schema may require a longer number.
        return bytes(narrow) if any(narrow) else mask


def _compile(tokens: Tokens, constraint: Constraint) -> CompiledConstraint:
    kind, source = constraint.kind, constraint.source
    unenforced = ""
    if kind == "json_schema":
        matcher = guidance.matcher(tokens, json_grammar.to_lark(source))
        skipped = _SKIPPED.search(_reason(matcher))
        if skipped:
            matcher = guidance.matcher(tokens, json_grammar.to_lark(source, lenient=True))
            unenforced = "; ".join(matcher.get_grammar_warnings()) or skipped[0]
        # The schema without the optional leading white space.
        without_lead = json_grammar.to_lark(source, lenient=bool(unenforced), lead=False)
        beginning = guidance.matcher(tokens, without_lead)
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
_LOCATION = re.compile(
    r"^at \d+\(\d+\): |failed to compile JSON schema: |invalid regex .*?\(in regex\): "
    r"|regex parse error:\s*"
)
_LISTING = re.compile(r"\n +\d+ \| |\n<non-verbose/>|\nbacktrace|\n  +\d+: ")
_CARETS = re.compile(r"\s*\^+\s*error: ")


def _reason(matcher: Any) -> str:
    """Return llguidance's error in one line, without its listing of the generated grammar."""
    text = str(matcher.get_error())
    if "NoExtension" in text:
        return _NOTHING
    pattern, carets, why = _CARETS.sub("\0", _LOCATION.sub("", _LISTING.split(text)[0])).partition(
        "\0"
    )
    shown = pattern if len(pattern) <= 100 else pattern[:60] + "…"
    return " ".join(f"{shown}: {why}".split() if carets else pattern[:300].split())
