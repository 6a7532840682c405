"""Output specifications: described in the prompt, enforced while decoding, checked at the end."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from llmtool.engine.types import Finished
from llmtool.errors import OutputValidationError, UsageError, about_option
from llmtool.option_names import option
from llmtool.prompts.output import Output
from llmtool.sizes import format_count
from llmtool.structured.constraint import Constraint
from llmtool.structured.describe import describe
from llmtool.structured.resolve import resolve
from llmtool.structured.schema import Schema

if TYPE_CHECKING:
    from llmtool.structured.compiler import ConstraintCompiler

_SHOWN_END = 60  # characters of a truncated reply in its error


class OutputSpec:
    """A constraint on a reply and, for JSON, its schema.

    `unenforced` names the parts of the schema that are not enforced while decoding, only checked in
    the finished reply.

    Raises:
        UsageError: the schema, expression or grammar is invalid. No model is needed to detect this.

    Example:
        >>> from llmtool.structured.constraint import Constraint
        >>> spec = OutputSpec(Constraint("regex", "yes|no"))
        >>> spec.matches("yes"), spec.matches("maybe")
        (True, False)
    """

    def __init__(self, constraint: Constraint, schema: Schema | None = None) -> None:
        self.constraint = constraint
        self._schema = schema
        self._compiled = _compiler().compile(constraint)
        self.unenforced = self._compiled.unenforced

    @property
    def description(self) -> str:
        """A one-line description of the JSON for the model, "" for other constraints."""
        return describe(self._schema.json_schema) if self._schema else ""

    def check(self, text: str, end: Finished) -> Any:
        """Return the value of a finished reply: its parsed JSON, None for other constraints.

        Raises:
            OutputValidationError: the reply was truncated or is invalid; the message has the
                position.
        """
        if end.finish_reason == "length":
            n_tokens = format_count(end.usage.completion_tokens, "token")
            raise OutputValidationError(
                f"reply truncated at {n_tokens} and incomplete; "
                f"raise {option('max_tokens')}{_describe_end(text)}"
            )
        if self._schema is not None:
            return self.parse(text)
        if not self.matches(text):
            what = "regular expression" if self.constraint.kind == "regex" else "grammar"
            raise OutputValidationError(f"the reply does not match the {what}{_describe_end(text)}")
        return None

    def parse(self, text: str) -> Any:
        """Return the parsed JSON of a valid reply, None for other constraints."""
        return self._schema.parse(text) if self._schema is not None else None

    def matches(self, text: str) -> bool:
        """Return whether a text satisfies the constraint."""
        matcher = self._compiled.start()
        for byte in text.encode():
            if not matcher.allows(byte):
                return False
            matcher.accept(byte)
        return matcher.complete


def make_output_spec(
    *, schema: object = None, grammar: str | None = None, regex: str | None = None
) -> OutputSpec | None:
    """Return the spec of a schema, grammar or regular expression, None if none is passed.

    Raises:
        UsageError: more than one is passed, or it is invalid.
    """
    given = [
        name
        for name, value in (("schema", schema), ("grammar", grammar), ("regex", regex))
        if value is not None
    ]
    if len(given) > 1:
        names = " and ".join(map(option, given))
        raise UsageError(f"{names} cannot be combined; use one of them")
    if not given:
        return None
    with about_option(given[0]):
        if schema is not None:
            resolved = resolve(schema)
            return OutputSpec(resolved.constraint, resolved)
        if grammar is not None:
            return OutputSpec(Constraint("gbnf", grammar))
        assert regex is not None
        return OutputSpec(Constraint("regex", regex))


def output_spec_of(output: Output) -> OutputSpec | None:
    """Return the spec of a template's `output`.

    Raises:
        UsageError: the schema, grammar or regular expression is invalid.
    """
    return make_output_spec(schema=output.json, grammar=output.grammar, regex=output.regex)


def _describe_end(text: str) -> str:
    """Return the last characters of a reply, which show whether the model repeats itself."""
    end = " ".join(text[-_SHOWN_END:].split())
    return f"; it ends with {end!r}" if end else ""


@lru_cache(maxsize=1)
def _compiler() -> ConstraintCompiler:
    from llmtool.structured.compiler import ConstraintCompiler
    from llmtool.structured.guidance import ByteVocabulary

    return ConstraintCompiler(ByteVocabulary())
