"""Compile a JSON Schema, a regular expression or a GBNF grammar to a mask over tokens.

All three become an llguidance grammar. llguidance covers more of JSON Schema than llama.cpp's
converter, computes masks faster, and reports invalid and hostile grammars as errors, where
llama.cpp's parser hangs or crashes the process (figures in benchmarks/README.md).

Enforced while decoding: types, properties and their order, required, additionalProperties,
patternProperties that do not overlap, items, prefixItems, minItems, maxItems, enum, const, anyOf,
oneOf that cannot overlap, allOf, references within the schema, bounds of numbers, multipleOf,
minLength, maxLength, pattern without look-around, and the formats date, time, date-time, duration,
email, hostname, ipv4, ipv6, uuid and uri (syntax only: February 30 is accepted).

Not enforced, but checked in the finished reply and listed in `CompiledConstraint.unenforced`:
uniqueItems, contains, not, if, dependent*, propertyNames, unevaluated*, minProperties with
optional properties, other formats, and that exactly one branch of an overlapping oneOf matches.

Rejected: look-around and backreferences in patterns, patterns whose counted repetitions expand to
more than 100,000 characters, references to other documents, and schemas that no value satisfies.

Strings and arrays are limited in length only if the schema limits them. Numbers have at most 24
characters. The JSON may start with one space or up to two line feeds.
"""

from __future__ import annotations

import ctypes
import re
from collections import OrderedDict
from typing import Any

import msgspec

from llmtool.errors import UsageError
from llmtool.structured import explain, gbnf, gbnf_lark, guidance, json_grammar, token_mask
from llmtool.structured.constraint import Constraint
from llmtool.structured.guidance import Tokens, Vocabulary
from llmtool.structured.json_numbers import NumberLength

MAX_REGEX_CHARACTERS = 1 << 16
MAX_EXPANDED_CHARACTERS = 100_000  # compile in 0.3 s; 1,000,000 take 5 s
_MAX_CACHED = 64  # compiled constraints

# llguidance's errors for keywords that lenient grammars ignore and validation checks.
_UNENFORCED = re.compile(
    r"Unimplemented keys: \[.*\]|Unknown format: .*|oneOf constraints|min/maxProperties only"
)


class ConstraintCompiler:
    """Compiles constraints for one vocabulary and caches them.

    The first call reads the vocabulary, which takes about 0.25 s for 49,000 tokens.

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
            UsageError: the constraint is invalid or too large, or no text satisfies it.
        """
        found = self._compiled.get(constraint)
        if found is None:
            if self._tokens is None:
                self._tokens = Tokens(self._vocabulary)
            try:
                found = _compile(self._tokens, constraint)
            except UsageError as exc:
                found = exc
            except UnicodeEncodeError:  # a lone surrogate
                found = UsageError(f"{_NAMES[constraint.kind]}: not valid Unicode")
            self._compiled[constraint] = found
            if len(self._compiled) > _MAX_CACHED:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(constraint)
        if isinstance(found, UsageError):
            raise UsageError(*found.args)
        return found


class CompiledConstraint:
    """A constraint on a model's tokens. `unenforced` names the keywords that it ignores."""

    def __init__(self, tokens: Tokens, matcher: Any, constraint: Constraint, unenforced: str):
        self._tokens, self._matcher = tokens, matcher
        self.constraint = constraint
        self.unenforced = unenforced

    def start(self) -> Matcher:
        """Return a matcher for a new reply; matchers are independent of each other."""
        return Matcher(
            self._tokens,
            self._matcher.deep_copy(),
            json_numbers=self.constraint.kind == "json_schema",
        )


class Matcher:
    """The constraint's state in one reply.

    For each token, check `allows` or call `mask_logits`, then `accept` the sampled token.
    """

    def __init__(self, tokens: Tokens, matcher: Any, *, json_numbers: bool) -> None:
        self._tokens, self._matcher = tokens, matcher
        self._numbers = NumberLength() if json_numbers else None
        self._ends = frozenset(tokens.ends)
        self._ended = False

    def allows(self, token: int) -> bool:
        """Whether `token` may come next; takes microseconds, because only this token is checked."""
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
        """Set the logits of all disallowed tokens to minus infinity, in place.

        Args:
            logits: a ctypes pointer to (or array of) `n_vocab` float32.

        Raises:
            UsageError: the grammar is too complex at this point, or no token is allowed.
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
            raise UsageError(f"constraint: {_error(self._matcher) or 'token not allowed'}")
        if self._numbers is not None:
            self._numbers.push(self._tokens.tokens[token])

    @property
    def finished(self) -> bool:
        """Whether the reply must end here."""
        return self._ended or (self._matcher.is_stopped() and self._matcher.is_accepting())

    @property
    def complete(self) -> bool:
        """Whether the reply may end here."""
        return self._ended or bool(self._matcher.is_accepting())

    def close(self) -> None:
        self._matcher = None

    def _mask(self) -> bytes:
        mask: bytes = self._matcher.compute_bitmask()
        if self._matcher.is_error() or not any(mask):
            raise UsageError(f"constraint: {_error(self._matcher) or 'no token is allowed'}")
        numbers = self._numbers
        if numbers is None or not numbers.near_limit:
            return mask
        narrow = bytearray(mask)
        for token in token_mask.allowed_tokens(mask):
            if token not in self._ends and not numbers.fits(self._tokens.tokens[token]):
                narrow[token // 8] &= ~(1 << token % 8)
        # A schema may require a longer number.
        return bytes(narrow) if any(narrow) else mask


_NAMES = {"json_schema": "JSON Schema", "regex": "regex", "gbnf": "grammar"}
_NOTHING = {
    "json_schema": "no value satisfies it",
    "regex": "nothing matches it",
    "gbnf": "nothing matches it",
}


def _compile(tokens: Tokens, constraint: Constraint) -> CompiledConstraint:
    source = constraint.source
    name, unenforced = _NAMES[constraint.kind], ""
    if constraint.kind == "json_schema":
        grammar = json_grammar.to_lark(source)
        for pattern in explain.find_patterns(msgspec.json.decode(source)):
            _check_expansion(f"{name}: pattern {explain.quote(pattern)}", pattern)
        matcher = guidance.lark_matcher(tokens, grammar)
        ignored = _UNENFORCED.search(_error(matcher))
        if ignored:
            matcher = guidance.lark_matcher(tokens, json_grammar.to_lark(source, lenient=True))
            unenforced = "; ".join(matcher.get_grammar_warnings()) or ignored[0]
        # Without leading white space, whose mask is never empty.
        json_only = json_grammar.to_lark(source, lenient=bool(unenforced), lead=False)
        beginning = guidance.lark_matcher(tokens, json_only)
    elif constraint.kind == "regex":
        name = f"regex {explain.quote(source)}"
        if len(source) > MAX_REGEX_CHARACTERS:
            raise UsageError(f"{name}: longer than {MAX_REGEX_CHARACTERS:,} characters")
        if (len(source) - len(source.rstrip("\\"))) % 2:  # llguidance would ignore it
            raise UsageError(f"{name}: nothing follows the last backslash")
        _check_expansion(name, source)
        matcher = guidance.regex_matcher(tokens, source)
        beginning = matcher.deep_copy()
    else:
        matcher = guidance.lark_matcher(tokens, gbnf_lark.to_lark(gbnf.parse(source)))
        beginning = matcher.deep_copy()
    if not beginning.is_error() and not any(beginning.compute_bitmask()):
        raise UsageError(f"{name}: {_error(beginning) or _NOTHING[constraint.kind]}")
    for each in (beginning, matcher):
        if each.is_error():
            raise UsageError(f"{name}: {_explain(tokens, constraint, each.get_error())}")
    return CompiledConstraint(tokens, matcher, constraint, unenforced)


_REGEX_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(?P<minimum>\d+)(?:,\d*)?\}|.", re.DOTALL
)


def _check_expansion(name: str, pattern: str) -> None:
    """Reject a regex whose counted repetitions expand to a very long text, as in (a{1000}){1000}.

    Raises:
        UsageError: the expansion is too long; llguidance would take minutes or more.
    """
    groups = [[0, 0]]  # for each open group: its length, and that of its last item
    for token in _REGEX_TOKEN.finditer(pattern):
        group = groups[-1]
        if token["minimum"]:
            repeated = group[1] * max(1, int(token["minimum"][:9]))
            group[0] += repeated - group[1]
            group[1] = repeated
        elif token[0] == "(":
            groups.append([0, 0])
        elif token[0] == ")" and len(groups) > 1:
            length, _ = groups.pop()
            groups[-1][0] += length
            groups[-1][1] = length
        else:
            group[0] += 1
            group[1] = 1
        if groups[-1][0] > MAX_EXPANDED_CHARACTERS:
            raise UsageError(f"{name}: expands to more than {MAX_EXPANDED_CHARACTERS:,} characters")


def _explain(tokens: Tokens, constraint: Constraint, error: str) -> str:
    """Return the reason of an error in the user's terms, with regexes as typed."""
    if "NoExtension" in error:
        return _NOTHING[constraint.kind]
    if constraint.kind == "regex":
        return explain.explain_regex(guidance.regex_error(tokens, constraint.source) or error)
    if constraint.kind == "gbnf":
        return explain.explain(error)
    if explain.is_regex_error(error):
        for pattern in explain.find_patterns(msgspec.json.decode(constraint.source)):
            reason = guidance.regex_error(tokens, pattern)
            if reason:
                return f"pattern {explain.quote(pattern)}: {explain.explain_regex(reason)}"
    return explain.explain_schema(error)


def _error(matcher: Any) -> str:
    return explain.explain(str(matcher.get_error()))
