"""Compile a JSON Schema, a regular expression or a GBNF grammar to a mask over tokens.

All three become an llguidance grammar. llguidance covers more of JSON Schema than llama.cpp's
converter, computes masks faster, and reports invalid and hostile grammars as errors, where
llama.cpp's parser hangs or crashes the process (figures in benchmarks/README.md).

Enforced while decoding: types, properties and their order, required, additionalProperties,
patternProperties, items, prefixItems, minItems, maxItems, enum, const, anyOf, oneOf that cannot
overlap, allOf, references within the schema, bounds of numbers, multipleOf, minLength, maxLength,
pattern, and the formats date, time, date-time, duration, email, hostname, ipv4, ipv6, uuid and uri.

Not enforced, but checked in the finished reply and listed in `CompiledConstraint.unenforced`:
look-around and backreferences in patterns, lengths that make a pattern too complex, bounds that are
not exact as a 64-bit float or beyond 64 bits, multipleOf with more than 4 digits or above 10,000,
uniqueItems, contains, not, if, dependent*, propertyNames, unevaluated*, other formats,
minProperties and maxProperties with optional properties (except at least one property of a closed
object), and that exactly one branch of an overlapping oneOf matches.

Rejected: patterns whose counted repetitions expand to more than 100,000 characters, references to
other documents, and schemas that no value satisfies. llguidance takes quadratic or exponential time
for long constraints and for schemas that intersect patterns or multiples, so a child process
compiles them first, within limits of time and memory.

Strings and arrays are limited in length only if the schema limits them, but end if they repeat
themselves (json_repetition.py). Numbers have at most 24 characters. The JSON may start with one
space or up to two line feeds.
"""

from __future__ import annotations

import ctypes
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from types import NoneType
from typing import Any, TypeVar

from llmtool import worker
from llmtool.errors import (
    InputError,
    OutputValidationError,
    UnsatisfiableError,
    UsageError,
)
from llmtool.machine import allocated_bytes
from llmtool.structured import (
    explain,
    gbnf,
    gbnf_lark,
    guidance,
    json_grammar,
    patterns,
    token_mask,
)
from llmtool.structured.constraint import Constraint
from llmtool.structured.guidance import Tokens, Vocabulary
from llmtool.structured.json_numbers import NumberLength
from llmtool.structured.json_repetition import Repetition
from llmtool.structured.references import Schema

T = TypeVar("T")
MAX_REGEX_CHARACTERS = 1 << 16
_MAX_CACHED = 8  # compiled constraints; each reply adds states to them, up to 20 MB for each
_MAX_BYTES = 64 << 20  # when compiled, also of all that are cached
_ASSUMED_BYTES = 4 << 20  # where memory cannot be measured; most take less
_MAX_UNCHECKED = {"json_schema": 8000, "gbnf": 4000, "regex": 1500}  # characters; 0.9 s and 40 MB
_CHECK_SECONDS = 3  # for the bytes; for the tokens of a model, it is compiled again
_STEP_SECONDS, _SECONDS_PER_TOKEN = 3.0, 0.03  # of processor time
_INTERSECTIONS = re.compile(
    r'"(?:allOf|minProperties|multipleOf|patternProperties)"|"pattern".*"pattern"', re.DOTALL
)
_N_PROBED = 4  # characters


class ConstraintCompiler:
    """Compiles constraints for one vocabulary and caches them.

    The first call reads the vocabulary, which takes about 0.25 s for 49,000 tokens.

    Example:
        >>> from llmtool.structured.constraint import Constraint
        >>> from llmtool.structured.guidance import ByteVocabulary
        >>> compiler = ConstraintCompiler(ByteVocabulary())  # whose tokens are bytes
        >>> matcher = compiler.compile(Constraint("regex", "yes|no")).start()
        >>> [matcher.allows(token) for token in b"ynx"]
        [True, True, False]
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._tokens: Tokens | None = None
        self._compiled: OrderedDict[Constraint, tuple[CompiledConstraint | UsageError, int]]
        self._compiled = OrderedDict()  # with their sizes in bytes

    def compile(self, constraint: Constraint) -> CompiledConstraint:
        """Return the compiled constraint.

        Raises:
            UsageError: the constraint is invalid or too large.
            UnsatisfiableError: no text satisfies it.
        """
        found, _ = self._compiled.get(constraint, (None, 0))
        if found is None:
            if self._tokens is None:
                self._tokens = Tokens(self._vocabulary)
            before = allocated_bytes()
            found = _try_compile(self._tokens, constraint)
            self._compiled[constraint] = found, _growth(before)
            self._evict()
        with suppress(KeyError):  # another thread removed it
            self._compiled.move_to_end(constraint)
        if isinstance(found, UsageError):
            raise type(found)(*found.args)
        return found

    def _evict(self) -> None:
        while (sizes := [size for _, size in [*self._compiled.values()]]) and (
            len(sizes) > _MAX_CACHED or sum(sizes) > _MAX_BYTES
        ):
            with suppress(KeyError):  # another thread removed the last one
                self._compiled.popitem(last=False)


def _try_compile(tokens: Tokens, constraint: Constraint) -> CompiledConstraint | UsageError:
    try:
        if _may_be_expensive(constraint):
            _check_limits(constraint)
        return _compile(tokens, constraint)
    except UsageError as exc:
        return type(exc)(*exc.args)  # the traceback refers to llguidance's objects
    except UnicodeEncodeError:  # a lone surrogate
        return UsageError(f"{_NAMES[constraint.kind]}: not valid Unicode")


def _growth(before: int | None) -> int:
    """Return how much more memory is allocated than before."""
    after = allocated_bytes()
    return _ASSUMED_BYTES if before is None or after is None else max(0, after - before)


class CompiledConstraint:
    """A constraint on a model's tokens. `unenforced` names the keywords that it ignores."""

    def __init__(
        self,
        tokens: Tokens,
        matcher: Any,
        constraint: Constraint,
        unenforced: str,
        step_time: _StepTime | None = None,
    ) -> None:
        self._tokens, self._matcher, self._step_time = tokens, matcher, step_time
        self.constraint = constraint
        self.unenforced = unenforced

    def for_request(self) -> CompiledConstraint:
        """Return the constraint for the replies of one request, whose steps share a time limit."""
        return CompiledConstraint(
            self._tokens, self._matcher, self.constraint, self.unenforced, _StepTime()
        )

    def start(self) -> Matcher:
        """Return a matcher for a new reply; matchers are independent of each other."""
        step_time = self._step_time or _StepTime()
        return Matcher(self._tokens, self._matcher.deep_copy(), self.constraint.kind, step_time)


class _StepTime:
    """The processor time that is left for steps: some seconds, and more for each token.

    The steps of an ambiguous grammar take longer and longer.
    """

    def __init__(self) -> None:
        self.left = _STEP_SECONDS

    def measure(self, step: Callable[..., T], *arguments: object) -> T:
        started = time.thread_time()
        result = step(*arguments)
        self.left -= time.thread_time() - started
        return result


class Matcher:
    """The constraint's state in one reply.

    For each token, check `allows` or call `mask_logits`, then `accept` the sampled token.
    """

    def __init__(self, tokens: Tokens, matcher: Any, kind: str, step_time: _StepTime) -> None:
        self._tokens, self._matcher, self._step_time = tokens, matcher, step_time
        self._name = _NAMES[kind]
        is_json = kind == "json_schema"
        self._repetition = Repetition()
        self._limits = (NumberLength(), self._repetition) if is_json else ()
        self._ends = frozenset(tokens.ends)
        self._ended = False

    def allows(self, token: int) -> bool:
        """Whether `token` may come next; takes microseconds, because only this token is checked."""
        if self._ended:
            return False
        if token in self._ends:
            return bool(self._matcher.is_accepting())
        if self._step_time.measure(self._matcher.validate_tokens, [token]) != 1:
            return False
        if all(limit.fits(self._tokens.tokens[token]) for limit in self._limits):
            return True
        return token in token_mask.allowed_tokens(self._mask())

    def count_allowed(self, tokens: Sequence[int]) -> int:
        """Return how many of these tokens, from the first, may come next; a few may still fail."""
        return 0 if self._ended else int(self._matcher.validate_tokens(list(tokens)))

    def forced_tokens(self) -> list[int]:
        """Return the usual tokens of the text that must come next; others may be allowed too."""
        return [] if self._ended else list(self._matcher.compute_ff_tokens())

    def mask_logits(self, logits: Any) -> None:
        """Set the logits of all disallowed tokens to minus infinity, in place.

        Args:
            logits: a ctypes pointer to (or array of) `n_vocab` float32.

        Raises:
            OutputValidationError: no token is allowed, or the grammar is too complex at this point.
        """
        mask = self._mask()
        target = logits if isinstance(logits, ctypes.Array) else logits.contents
        n_vocab = len(self._tokens.tokens) - (not self._tokens.ends)
        token_mask.apply_mask(mask, ctypes.addressof(target), n_vocab)

    def accept(self, token: int) -> None:
        """Advance by an allowed token.

        Raises:
            UsageError: the token is not allowed.
            OutputValidationError: the grammar is too complex at this point.
        """
        if token in self._ends and self._matcher.is_accepting():
            self._ended = True
            return
        self._step_time.left += _SECONDS_PER_TOKEN
        if not self._step_time.measure(self._matcher.consume_token, token):
            reason = _error(self._matcher)
            if "doesn't satisfy the grammar" in reason:
                raise UsageError(f"constraint: {reason}")
            raise self._dead_end()
        for limit in self._limits:
            limit.push(self._tokens.tokens[token])

    @property
    def ended_repetition(self) -> bool:
        """Whether a string or array was ended because it repeated itself."""
        return self._repetition.found

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
        mask: bytes = self._step_time.measure(self._matcher.compute_bitmask)
        if self._step_time.left < 0:
            raise OutputValidationError(
                f"the steps of this {self._name} take too much time; simplify it"
            )
        if self._matcher.is_error() or not any(mask):
            raise self._dead_end()
        for limit in self._limits:
            if limit.near_limit:
                mask = self._narrow(mask, limit)
        return mask

    def _narrow(self, mask: bytes, limit: NumberLength | Repetition) -> bytes:
        """Disallow tokens that exceed a limit, unless the schema requires one of them."""
        narrow = bytearray(mask)
        for token in token_mask.allowed_tokens(mask):
            if token not in self._ends and not limit.fits(self._tokens.tokens[token]):
                narrow[token // 8] &= ~(1 << token % 8)
        return bytes(narrow) if any(narrow) else mask

    def _dead_end(self) -> OutputValidationError:
        reason = _error(self._matcher)
        if not reason or "NoExtension" in reason:
            reason = "no token is allowed"
        return OutputValidationError(
            f"the reply cannot be completed with this {self._name}: {reason}"
        )


_NAMES = {"json_schema": "JSON Schema", "regex": "regex", "gbnf": "grammar"}


def _name(constraint: Constraint) -> str:
    name = _NAMES[constraint.kind]
    return f"{name} {explain.quote(constraint.source)}" if constraint.kind == "regex" else name


_NOTHING = {
    "json_schema": "no value satisfies it",
    "regex": "nothing matches it",
    "gbnf": "nothing matches it",
}


def _may_be_expensive(constraint: Constraint) -> bool:
    source, size = constraint.source, len(constraint.source)
    if constraint.kind == "json_schema" and _INTERSECTIONS.search(source):
        return True
    if constraint.kind == "regex" or (constraint.kind == "json_schema" and '"pattern"' in source):
        return size > _MAX_UNCHECKED["regex"]
    if constraint.kind == "gbnf":
        size = gbnf_lark.expanded_size(gbnf.parse(source))
        if size > gbnf.MAX_CHARACTERS:
            raise UsageError(
                f"grammar: its rules expand to more than {gbnf.MAX_CHARACTERS:,} items"
            )
    return size > _MAX_UNCHECKED[constraint.kind]


@lru_cache(maxsize=8)
def _check_limits(constraint: Constraint) -> None:
    """Compile a constraint in a child process.

    Raises:
        UsageError: it takes too much time or memory, or is invalid.
    """
    try:
        worker.call(
            _compile_only,
            constraint.kind,
            constraint.source,
            returns=NoneType,
            seconds=_CHECK_SECONDS,
        )
    except InputError as exc:
        raise _too_expensive(constraint) from exc


def _too_expensive(constraint: Constraint) -> UsageError:
    return UsageError(f"{_name(constraint)}: takes too much time or memory; simplify it")


def _compile_only(kind: Any, source: str) -> None:
    constraint, before = Constraint(kind, source), allocated_bytes()
    with suppress(UnsatisfiableError, UnicodeEncodeError):  # the caller finds it too
        compiled = _compile(guidance.byte_tokens(), constraint)
        if _growth(before) > _MAX_BYTES:
            raise _too_expensive(compiled.constraint)


def _compile(tokens: Tokens, constraint: Constraint) -> CompiledConstraint:
    source = constraint.source
    name, unenforced = _name(constraint), ""
    if constraint.kind == "json_schema":
        schema, omitted = json_grammar.convert_supported(json_grammar.decode(source), _find_error)
        unenforced = ", ".join(omitted)
        matcher = guidance.lark_matcher(tokens, json_grammar.to_lark(schema))
        # Without leading white space, whose mask is never empty.
        beginning = guidance.lark_matcher(tokens, json_grammar.to_lark(schema, lead=False))
    elif constraint.kind == "regex":
        if len(source) > MAX_REGEX_CHARACTERS:
            raise UsageError(f"{name}: longer than {MAX_REGEX_CHARACTERS:,} characters")
        if (len(source) - len(source.rstrip("\\"))) % 2:  # llguidance would ignore it
            raise UsageError(f"{name}: nothing follows the last backslash")
        patterns.check_expansion(name, source)
        matcher = guidance.regex_matcher(tokens, source)
        beginning = matcher.deep_copy()
    else:
        matcher = guidance.lark_matcher(tokens, gbnf_lark.to_lark(gbnf.parse(source)))
        beginning = matcher.deep_copy()
    is_empty = not beginning.is_error() and not any(beginning.compute_bitmask())
    if is_empty and not beginning.is_error():
        raise UnsatisfiableError(f"{name}: {_NOTHING[constraint.kind]}")
    for each in (beginning, matcher):
        if each.is_error():
            reason = _explain(tokens, constraint, each.get_error())
            is_empty = reason.startswith(_NOTHING[constraint.kind])
            raise (UnsatisfiableError if is_empty else UsageError)(f"{name}: {reason}")
    return CompiledConstraint(tokens, matcher, constraint, unenforced)


def _find_error(schema: Schema) -> str:
    """Return llguidance's error for a schema, also in the first characters of a string."""
    matcher = guidance.lark_matcher(
        guidance.byte_tokens(), json_grammar.to_lark(schema, lead=False)
    )
    for _ in range(_N_PROBED if schema.get("type") == "string" else 0):
        allowed = token_mask.allowed_tokens(matcher.compute_bitmask())
        if not allowed or matcher.is_error():
            break
        matcher.consume_token(allowed[len(allowed) // 2])
    return str(matcher.get_error())


def _explain(tokens: Tokens, constraint: Constraint, error: str) -> str:
    """Return the reason of an error in the user's terms, with regexes as typed."""
    if "NoExtension" in error:
        return _NOTHING[constraint.kind]
    if constraint.kind == "regex":
        return explain.explain_regex(guidance.regex_error(tokens, constraint.source) or error)
    if constraint.kind == "gbnf":
        return explain.explain(error)
    return explain.explain_schema(error)


def _error(matcher: Any) -> str:
    return explain.explain(str(matcher.get_error()))
