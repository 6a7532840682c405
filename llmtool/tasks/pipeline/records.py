"""Records through a task: each becomes a case, and gets its outcome in its place."""

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
        """The names of what a result's `row` can hold."""
        ...

    def identity(self) -> bytes:
        """Return a hash of all that shapes a result but its case."""
        ...

    def outcomes(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[Token | Result | Failed, None, None]: ...


def check_field(field: str | None, columns: list[str]) -> None:
    """See that a field that was named is a column.

    Raises:
        UsageError: it is none.
    """
    if field is not None and field not in columns:
        names = ", ".join(columns)
        if len(columns) == 1 and ";" in names:
            names += "; columns are separated by commas, not ;"
        raise UsageError(f"there is no column {field!r} (there are: {names})")


class RecordMapping(msgspec.Struct, frozen=True, kw_only=True):
    """How a record fills the inputs of a template.

    Fields go to the inputs of their names. One more, the text, goes to the template's material: the
    field called `field`, else the only one, `text` or `input`; a line or a file is a text as a
    whole. `prompt` is the same for all records, and `given` names inputs that are filled already.
    """

    template: Template
    field: str | None = None
    prompt: str | None = None
    given: frozenset[str] = frozenset()
    # The field that was the first text, by its name or as the only one: all others need it, too.
    _chosen: list[str] = msgspec.field(default_factory=list)

    def check(self, columns: list[str]) -> None:
        """Find a missing column before the first record.

        Raises:
            UsageError: the text's column is not there, or nobody knows which it is.
        """
        check_field(self.field, columns)
        if self._text_field(columns) is None and not self._is_filled(columns):
            raise UsageError(
                f"which column is the text? --field NAME (there are: {', '.join(columns)})"
            )

    def case(self, record: Record, *, seed: int | None = None) -> Case | Failed:
        """Return the case that a record is, or what is wrong with it."""
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
        """Return a binding, and the values that an argument beside the records gives to inputs.

        Raises:
            UsageError: there is no input for the argument.
        """
        if prompt is None or "prompt" in template.inputs:
            return cls(template=template, field=field, prompt=prompt, given=given), {}
        case = bind_inputs(template, prompt=prompt, input="a record", given=given)
        material = template.primary_input(given)
        fixed = {name: value for name, value in case.variables.items() if name != material}
        return cls(template=template, field=field, given=given | set(fixed)), fixed

    @property
    def _material(self) -> str | None:
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
        if self._is_filled(list(variables)):
            return variables
        known = ", ".join(record.fields) or "none"
        wanted = self.field or "text"
        raise InputError(f"{record.place}: no field {wanted!r} (there are: {known})")

    def _named(self, fields: Iterable[str]) -> set[str]:
        taken = self.given | {SCHEMA_INPUT} | ({"prompt"} if self.prompt is not None else set())
        return {name for name in fields if name in self.template.inputs and name not in taken}

    def _text_field(self, fields: list[str]) -> str | None:
        """Return the field that is the text; None where it goes by its own name, or is missing."""
        if self.field is not None:
            return self.field if self.field in fields else None
        material = self._material
        if material is not None and material in fields:
            self._settle(material)
            return material
        named = self._named(fields)
        rest = [name for name in fields if name not in named]
        is_needed = material is not None and self.template.inputs[material].required
        if len(rest) == 1 and (is_needed or not named):
            self._settle(rest[0])
        if self._chosen and self._chosen[0] in rest:
            return self._chosen[0]
        return next((name for name in _TEXT_FIELDS if name in rest), None)

    def _settle(self, field: str) -> None:
        if not self._chosen:
            self._chosen.append(field)

    def _is_filled(self, fields: list[str]) -> bool:
        """Whether fields alone give a template all that it needs."""
        named = self._named(fields)
        needed = {name for name, spec in self.template.inputs.items() if spec.required}
        return bool(named) and needed <= named | self.given and self.field is None

    def _with_text(
        self, variables: dict[str, Any], value: object, record: Record, field: str = "text"
    ) -> dict[str, Any]:
        material = self._material
        if material is None:
            raise InputError(f"{record.place}: template {self.template.name!r} takes no text")
        if isinstance(value, (list, bool)):
            kind = "a list" if isinstance(value, list) else "true or false"
            raise InputError(f"{record.place}: field {field!r} is {kind}, and no text")
        value = _value(record, field, value)
        text = "" if value is None else str(value)
        if not text.strip():
            raise InputError(f"{record.place}: the text is empty")
        return {**variables, material: text}


def make_batch(
    context: TaskContext,
    task: BatchTask,
    mapping: RecordMapping,
    reader: Reader,
    options: BatchOptions,
    *,
    seed: int | None = None,
) -> BatchRunner[Result]:
    """Return a batch of a task, which answers records and writes their rows when it is run.

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
    """Yield every record with its result, or with the error that it has instead.

    Records are read as they are needed; `None` among them says that the next one is not there yet.
    Each has a seed of its own, which `seed` and its content make.

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
    """Return the seed of a record: its place and its company do not change it."""
    mixed = hashlib.sha256(b"%d:" % seed + digest).digest()
    return int.from_bytes(mixed[:8], "big") % (MAX_SEED + 1)


def _value(record: Record, name: str, value: object) -> object:
    if isinstance(value, dict):
        raise InputError(f"{record.place}: field {name!r} is an object, and no text or list")
    return value
