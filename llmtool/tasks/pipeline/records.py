"""Run a task on the records of a batch."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from llmtool.engine.types import MAX_SEED, Engine, Failed, Token
from llmtool.errors import InputError, LlmtoolError, UsageError
from llmtool.prompts.template import Template
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import SCHEMA_INPUT, Case, bind_inputs
from llmtool.tasks.results import Result

if TYPE_CHECKING:
    from llmtool.batch.readers import Reader, Record
    from llmtool.batch.runner import BatchOptions, BatchRunner

_POLL_SECONDS = 0.02
_TEXT_FIELDS = ("text", "input")


class BatchTask(Protocol):
    """A task on one template, ready for any number of cases."""

    @property
    def template(self) -> Template: ...

    @property
    def columns(self) -> list[str]:
        """The columns of a result's `row`."""
        ...

    def identity(self) -> bytes:
        """Return a hash of everything that affects the results, except the cases."""
        ...

    def outcomes(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[Token | Result | Failed, None, None]: ...


def check_field(field: str | None, columns: list[str]) -> None:
    """Check that a field is one of the columns.

    Raises:
        UsageError: it is not.
    """
    if field is not None and field not in columns:
        names = ", ".join(columns)
        if len(columns) == 1 and ";" in names:
            names += "; columns are separated by commas, not ;"
        raise UsageError(f"there is no column {field!r} (there are: {names})")


class RecordMapping(msgspec.Struct, kw_only=True):
    """Maps the fields of records to the inputs of a template.

    Fields go to the inputs of their names. The text goes to the primary input: it is the field
    called `field`, else the only other field, `text` or `input`. A line or a file is a text as a
    whole. `prompt` is the same for all records, and `given` names inputs that have a value already.
    """

    template: Template
    field: str | None = None
    prompt: str | None = None
    given: frozenset[str] = frozenset()
    # The text field of the first record, if it was chosen by its name or as the only one. All
    # records need it.
    _chosen: str | None = None

    def check(self, columns: list[str]) -> None:
        """Check the columns before the first record is read.

        Raises:
            UsageError: the column of the text is missing, or ambiguous.
        """
        check_field(self.field, columns)
        if self._text_field(columns) is None and not self._has_required(columns):
            raise UsageError(
                f"which column is the text? --field NAME (there are: {', '.join(columns)})"
            )

    def case(self, record: Record, *, seed: int | None = None) -> Case | Failed:
        """Return the case of a record, or a `Failed` with its error."""
        if record.error is not None:
            return Failed(record.index, record.error)
        try:
            variables = self._variables(record)
        except InputError as exc:
            return Failed(record.index, exc)
        return Case(
            id=record.index,
            prompt=self.prompt,
            variables=variables,
            seed=None if seed is None else derive_seed(seed, record.digest),
            name=None if record.text is None else record.fields.get("file"),
        )

    @classmethod
    def make(
        cls, template: Template, *, prompt: str | None, field: str | None, given: frozenset[str]
    ) -> tuple[RecordMapping, dict[str, str]]:
        """Return a mapping, and the inputs that an argument for all records is assigned to.

        Raises:
            UsageError: there is no input for the argument.
        """
        if prompt is None or "prompt" in template.inputs:
            return cls(template=template, field=field, prompt=prompt, given=given), {}
        case = bind_inputs(template, prompt=prompt, input="a record", given=given)
        primary = template.primary_input(given)
        fixed = {name: value for name, value in case.variables.items() if name != primary}
        return cls(template=template, field=field, given=given | set(fixed)), fixed

    @property
    def _primary_input(self) -> str | None:
        return self.template.primary_input(self.given)

    def _variables(self, record: Record) -> dict[str, Any]:
        if record.text is not None:
            return self._with_text({}, record.text, record)
        named = self._named(record.fields)
        variables = {
            name: _value(record, name, value)
            for name, value in record.fields.items()
            if name in named and value is not None
        }
        field = self._text_field(list(record.fields))
        if field is not None:
            return self._with_text(variables, record.fields[field], record, field)
        if self._has_required(list(variables)):
            return variables
        known = ", ".join(record.fields) or "none"
        wanted = self.field or "text"
        raise InputError(f"{record.place}: no field {wanted!r} (there are: {known})")

    def _named(self, fields: Iterable[str]) -> set[str]:
        taken = self.given | {SCHEMA_INPUT} | ({"prompt"} if self.prompt is not None else set())
        return {name for name in fields if name in self.template.inputs and name not in taken}

    def _text_field(self, fields: list[str]) -> str | None:
        """Return the field of the text, None if it is missing or goes to the input of its name."""
        if self.field is not None:
            return self.field if self.field in fields else None
        primary = self._primary_input
        if primary is not None and primary in fields:
            self._chosen = self._chosen or primary
            return primary
        named = self._named(fields)
        rest = [name for name in fields if name not in named]
        is_required = primary is not None and self.template.inputs[primary].required
        if len(rest) == 1 and (is_required or not named):
            self._chosen = self._chosen or rest[0]
        if self._chosen in rest:
            return self._chosen
        return next((name for name in _TEXT_FIELDS if name in rest), None)

    def _has_required(self, fields: list[str]) -> bool:
        """Return whether the fields have a value for every required input."""
        named = self._named(fields)
        needed = {name for name, spec in self.template.inputs.items() if spec.required}
        return bool(named) and needed <= named | self.given and self.field is None

    def _with_text(
        self, variables: dict[str, Any], value: object, record: Record, field: str = "text"
    ) -> dict[str, Any]:
        primary = self._primary_input
        if primary is None:
            raise InputError(f"{record.place}: template {self.template.name!r} takes no text")
        if isinstance(value, (list, bool)):
            kind = "a list" if isinstance(value, list) else "true or false"
            raise InputError(f"{record.place}: field {field!r} is {kind}, and no text")
        value = _value(record, field, value)
        text = "" if value is None else str(value)
        if not text.strip():
            raise InputError(f"{record.place}: the text is empty")
        return {**variables, primary: text}


def make_batch(
    context: TaskContext,
    task: BatchTask,
    mapping: RecordMapping,
    reader: Reader,
    options: BatchOptions,
    *,
    seed: int | None = None,
) -> BatchRunner[Result]:
    """Return a runner that answers the records of a reader and writes their rows.

    Raises:
        UsageError: the records have no column for the text.
        InputError: a CSV has no header.
    """
    from llmtool.batch.runner import BatchRunner

    for _ in reader.read_header():
        time.sleep(_POLL_SECONDS)
    if reader.format == "csv":
        mapping.check(reader.columns)
    shape = [context.model.identity, mapping.prompt, mapping.field, seed]
    return BatchRunner(
        reader,
        lambda records: answer_each(task, context.engine, records, mapping, seed=seed),
        options,
        columns=task.columns,
        identity=task.identity() + repr(shape).encode(),
    )


def answer_each(
    task: BatchTask,
    engine: Engine,
    records: Iterable[Record | None],
    mapping: RecordMapping,
    *,
    seed: int | None = None,
) -> Generator[tuple[Record, Result | LlmtoolError], None, None]:
    """Yield each record with its result or error.

    Records are read as needed; `None` among them means that the next one is not available yet.
    Each record gets a seed of its own, derived from `seed` and its content.

    Raises:
        LlmtoolError: the engine failed as a whole.
    """
    waiting: deque[Record] = deque()

    def cases() -> Iterator[Case | Failed | None]:
        for record in records:
            if record is None:
                yield None
                continue
            waiting.append(record)
            yield mapping.case(record, seed=seed)

    with closing(task.outcomes(engine, cases())) as outcomes:
        for event in outcomes:
            if isinstance(event, Failed):
                yield waiting.popleft(), event.error
            elif isinstance(event, Result):
                yield waiting.popleft(), event


def derive_seed(seed: int, digest: bytes) -> int:
    """Derive the seed of a record, which does not depend on other records."""
    mixed = hashlib.sha256(b"%d:" % seed + digest).digest()
    return int.from_bytes(mixed[:8], "big") % (MAX_SEED + 1)


def _value(record: Record, name: str, value: object) -> object:
    if isinstance(value, dict):
        raise InputError(f"{record.place}: field {name!r} is an object, and no text or list")
    return value
