"""Run a task on the records of a batch."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from llmtool.batch.json_records import MISSING, find_field, is_message, number_as_written
from llmtool.engine.types import MAX_SEED, Engine, Failed, Message, Token
from llmtool.errors import InputError, LlmtoolError, UsageError
from llmtool.option_names import option
from llmtool.prompts.template import Template
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.conversation import read_messages, split_conversation, transcript
from llmtool.tasks.pipeline.prepare import SCHEMA_INPUT, Case, bind_inputs
from llmtool.tasks.results import Result

if TYPE_CHECKING:
    from llmtool.batch.readers import Reader, Record
    from llmtool.batch.runner import BatchOptions, BatchRunner

_TEXT_FIELDS = ("text", "input", "messages")


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

    def check_batch_file(self) -> None:
        """Check that a batch file can have the requests of the task.

        Raises:
            UsageError: they depend on earlier replies.
        """
        ...

    def outcomes(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[Token | Result | Failed, None, None]: ...


class Answer(Protocol):
    """Answers records elsewhere than in this process."""

    def __call__(
        self, records: Iterable[Record | None], mapping: RecordMapping, *, seed: int | None
    ) -> Generator[tuple[Record, Result | LlmtoolError], None, None]: ...


class RecordMapping(msgspec.Struct, kw_only=True):
    """Maps the fields of records to the inputs of a template.

    Fields are assigned to the inputs of their names, and the text to the primary input. The text is
    the field named by `field`, else the only other field, else `text`, `input` or `messages`; a
    record that is a line or a file is itself the text. Chat messages are a conversation that the
    reply continues, or a text if the template has a prompt of its own. `prompt` is the same for all
    records, and `given` names inputs that have a value already.
    """

    template: Template
    field: str | None = None
    prompt: str | None = None
    given: frozenset[str] = frozenset()
    # The text field of the first record, if it was the primary input or the only field. All later
    # records need it.
    _chosen: str | None = None

    def check(self, reader: Reader) -> None:
        """Choose the text column of a table, whose header was read.

        Raises:
            UsageError: the text column is missing, or ambiguous.
        """
        if self.field is not None:
            self.field = reader.find_column(self.field)
        header = zip(reader.columns, reader.header, strict=True)
        named = [column for column, name in header if name.strip()] or reader.columns
        column = self._text_field(named)
        if column is None and not self._has_required(named):
            raise UsageError(
                "several columns could be the text; choose one with "
                f"{option('field')}: {reader.column_list}"
            )
        if self.field is None and column is not None:
            reader.find_column(column)

    def case(self, record: Record, *, seed: int | None = None) -> Case | Failed:
        """Return the case of a record, or a `Failed` with its error."""
        if record.error is not None:
            return Failed(record.index, record.error)
        try:
            variables, history = self._variables(record)
        except InputError as exc:
            return Failed(record.index, exc)
        return Case(
            id=record.index,
            prompt=self.prompt,
            variables=variables,
            history=history,
            seed=None if seed is None else derive_seed(seed, record.digest),
            name=None if record.text is None else record.fields.get("file"),
        )

    @classmethod
    def make(
        cls, template: Template, *, prompt: str | None, field: str | None, given: frozenset[str]
    ) -> tuple[RecordMapping, dict[str, str]]:
        """Return a mapping, and the input values that a prompt for all records sets.

        Raises:
            UsageError: the template has no input for the prompt.
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

    def _variables(self, record: Record) -> tuple[dict[str, Any], tuple[Message, ...]]:
        """Return the values of the inputs, and the conversation before them."""
        if record.text is not None:
            return self._with_text({}, record.text, record)
        named = self._named(record.fields)
        variables = {
            name: self._input_value(record, name, value)
            for name, value in record.fields.items()
            if name in named and value is not None
        }
        field = self.field or self._text_field(list(record.fields))
        value = MISSING if field is None else find_field(record.fields, field)
        if field is not None and value is not MISSING:
            return self._with_text(variables, value, record, field)
        if self._has_required(list(variables)):
            return variables, ()
        known = ", ".join(record.fields) or "none"
        missing = self.field or "text"
        raise InputError(f"{record.place}: field {missing!r} is missing; fields: {known}")

    def _input_value(self, record: Record, name: str, value: object) -> object:
        is_text = self.template.inputs[name].type in ("text", "string")
        if is_text and _is_number(value) and record.written:
            return number_as_written(record.written, name)
        return _value(record, name, value)

    def _named(self, fields: Iterable[str]) -> set[str]:
        taken = self.given | {SCHEMA_INPUT} | ({"prompt"} if self.prompt is not None else set())
        return {name for name in fields if name in self.template.inputs and name not in taken}

    def _text_field(self, fields: list[str]) -> str | None:
        """Return the text field, None if it is missing or belongs to another input."""
        if self.field is not None:
            return self.field
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
    ) -> tuple[dict[str, Any], tuple[Message, ...]]:
        primary = self._primary_input
        if primary is None:
            name = self.template.name
            raise InputError(f"{record.place}: template {name!r} has no input for a text")
        text = ""
        history: tuple[Message, ...] = ()
        if isinstance(value, list) and value and all(map(is_message, value)):
            text, history = self._converse(value, record)
        elif isinstance(value, (list, bool)):
            kind = "a list" if isinstance(value, list) else "true or false"
            raise InputError(f"{record.place}: field {field!r} is {kind}; it must be text")
        elif _is_number(value) and record.written:
            text = number_as_written(record.written, field)
        elif value is not None:
            text = str(_value(record, field, value))
        if not text.strip():
            raise InputError(f"{record.place}: the text is empty")
        return {**variables, primary: text}, history

    def _converse(
        self, values: list[dict[str, Any]], record: Record
    ) -> tuple[str, tuple[Message, ...]]:
        """Return the last message of a conversation and those before it, or all as one text."""
        has_prompt = self.prompt is not None or "prompt" in self.given
        is_chat = not has_prompt and {"prompt", "input"} <= self.template.inputs.keys()
        try:
            messages = read_messages(values)
            if not is_chat or self.template.form == "completion":
                return transcript(messages), ()
            history, text = split_conversation(messages)
        except InputError as exc:
            raise InputError(f"{record.place}: {exc}") from exc
        return text, history


def make_batch(
    context: TaskContext,
    task: BatchTask,
    mapping: RecordMapping,
    reader: Reader,
    options: BatchOptions,
    *,
    seed: int | None = None,
    needs_model: bool = True,
    answer: Answer | None = None,
) -> BatchRunner[Result]:
    """Return a runner that processes the records of a reader and writes a row for each.

    Without `needs_model`, no model is loaded, and the task gets None for the engine. `answer` is
    called instead of `answer_each` of this module, without its first two arguments.

    Raises:
        UsageError: the text column is missing, or ambiguous.
        InputError: a CSV file has no header.
    """
    from llmtool.batch.runner import BatchRunner

    reader.wait_for_header()
    if reader.format == "csv":
        mapping.check(reader)
    identity = {
        "model": context.model.identity,
        "prompt": mapping.prompt,
        "field": mapping.field,
        "seed": seed,
        "reproducibility": context.model.reproducible,
    }

    def process(
        records: Iterator[Record | None],
    ) -> Generator[tuple[Record, Result | LlmtoolError], None, None]:
        if answer is not None:
            return answer(records, mapping, seed=seed)
        engine = context.engine if needs_model else None
        return answer_each(task, engine, records, mapping, seed=seed)

    return BatchRunner(
        reader,
        process,
        options,
        columns=task.columns,
        identity={
            **{name: repr(value).encode() for name, value in identity.items()},
            "template or option": task.identity(),
        },
    )


def answer_each(
    task: BatchTask,
    engine: Engine | None,
    records: Iterable[Record | None],
    mapping: RecordMapping,
    *,
    seed: int | None = None,
) -> Generator[tuple[Record, Result | LlmtoolError], None, None]:
    """Yield each record with its result or error.

    Records are read as needed; `None` among them means that the next one is not available yet.
    Each record gets its own seed, derived from `seed` and the content of the record.
    """
    waiting: deque[Record] = deque()

    def cases() -> Iterator[Case | Failed | None]:
        for record in records:
            if record is None:
                yield None
                continue
            waiting.append(record)
            yield mapping.case(record, seed=seed)

    # A task that needs no model accepts None.
    with closing(task.outcomes(engine, cases())) as outcomes:  # type: ignore[arg-type]
        for event in outcomes:
            if isinstance(event, Failed):
                yield waiting.popleft(), event.error
            elif isinstance(event, Result):
                yield waiting.popleft(), event


def derive_seed(seed: int, digest: bytes) -> int:
    """Derive the seed of a record, independent of other records."""
    mixed = hashlib.sha256(b"%d:" % seed + digest).digest()
    return int.from_bytes(mixed[:8], "big") % (MAX_SEED + 1)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _value(record: Record, name: str, value: object) -> object:
    if isinstance(value, dict):
        raise InputError(f"{record.place}: field {name!r} is an object; it must be text or a list")
    return value
