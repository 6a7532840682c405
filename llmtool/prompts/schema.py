"""The format of template files as structs, from which the JSON Schema for editors is derived."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from llmtool.engine.types import Effort, Sampling
from llmtool.prompts.raw_template import EXTENDS, FORMAT, NAME

Form = Literal["chat", "completion"]
Task = Literal["gen", "sum", "classify", "translate", "code", "chat"]
InputType = Literal["text", "string", "int", "float", "bool", "enum", "list", "file", "lang"]
# Names of input types in other languages.
TYPE_SYNONYMS: dict[str, InputType] = {
    "str": "string",
    "integer": "int",
    "number": "float",
    "double": "float",
    "boolean": "bool",
    "array": "list",
    "path": "file",
    "language": "lang",
}
AssertType = Literal[
    "equals",
    "contains",
    "regex",
    "is-json",
    "schema",
    "label",
    "score",
    "language",
    "syntax",
    "max-tokens",
    "lines-kept",
    "accuracy",
    "macro-f1",
    "not-equals",
    "not-contains",
    "not-regex",
    "not-is-json",
    "not-schema",
    "not-label",
    "not-score",
    "not-language",
    "not-syntax",
    "not-max-tokens",
    "not-lines-kept",
    "not-accuracy",
    "not-macro-f1",
]


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A variable of a template.

    A `text` may have any length, a `string` is one line, a `file` is the path of a text file to
    read, and a `lang` is the name or code of a language. `max_tokens` limits the length of a text.
    """

    type: InputType
    description: str = ""
    required: bool = False
    default: Any = UNSET
    enum: tuple[str, ...] = ()
    max_tokens: Annotated[int, Meta(ge=1)] | None = None


class OutputFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The output format of a reply; exactly one field is set. `code` is a language."""

    labels: dict[str, str | None] | list[str] | UnsetType = UNSET
    json: dict[str, Any] | str | UnsetType = UNSET
    grammar: str | UnsetType = UNSET
    regex: str | UnsetType = UNSET
    code: str | UnsetType = UNSET


class Abstain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fixed reply that replaces one that inputs do not support.

    `without` has the inputs, each with another value to compare with. The score of the model's
    reply is the product, over these inputs, of the share of its information that the input
    explains, less the same product for `reply`. Below `threshold` it is replaced. With `numbers`,
    so is a reply with a number in digits that the prompt does not have.
    """

    reply: str = ""  # required; a variant may change only some of the keys
    without: dict[str, str] = {}
    threshold: float = 0.05
    numbers: bool = False


# The sampling options of the engine with their ranges, all optional.
Params = msgspec.defstruct(
    "Params",
    [
        *(
            (f.name, f.type | UnsetType, UNSET)
            for f in msgspec.structs.fields(Sampling)
            if f.name != "constraint"
        ),
        ("thinking", bool | Effort | UnsetType, UNSET),
    ],
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
)


class ModelFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Preferred models of a template, best first, its LoRA adapters, and sampling options.

    Adapters are files, or FILE:SCALE, in the folder of the template.
    """

    prefer: tuple[str, ...] = ()
    lora: tuple[str, ...] = ()
    params: Params = Params()  # type: ignore[valid-type]


class Assertion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One check of a reply, or of the replies to a dataset."""

    type: AssertType
    value: Any = None
    label: str | None = None
    min: float | None = None
    max: float | None = None


class TestCase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A test with one set of variables, a dataset, or variants that must get the same reply.

    `params` are sampling options for this test [default: greedy].
    """

    vars: dict[str, Any] | UnsetType = UNSET
    dataset: str | UnsetType = UNSET
    invariant: dict[str, list[Any]] | UnsetType = UNSET
    params: Params = Params()  # type: ignore[valid-type]
    assertions: tuple[Assertion, ...] = field(default=(), name="assert")


class TunedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How `llmtool prompts tune` made a template, and its figure on records not used for tuning.

    `score` and `original_score` are means of `metric` over `n_final` records, and `interval` is the
    95 % interval of `score`. The hashes are SHA-256: of the data file, and of the content of the
    original template.
    """

    original_sha256: str
    data: str
    data_sha256: str
    model: str
    metric: str
    budget: int
    n_final: int
    score: float
    interval: tuple[float, float]
    original_score: float
    date: str
    version: str


class VariantFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes to a template for models whose names match a pattern."""

    system: str | UnsetType | None = UNSET
    prompt: str | UnsetType = UNSET
    prefill: str | UnsetType = UNSET
    form: Form | UnsetType = UNSET
    examples: list[dict[str, Any]] | UnsetType = UNSET
    more_examples: list[dict[str, Any]] | UnsetType = field(default=UNSET, name="examples+")
    output: Literal["text", "code"] | OutputFile | UnsetType = UNSET
    abstain: Abstain | UnsetType | None = UNSET
    model: ModelFile | UnsetType = UNSET


class TemplateFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A template file.

    With `form: chat` the model gets messages. With `form: completion` it gets plain text to
    continue: the system text, the examples and the prompt in this order. Every reply starts with
    `prefill`, in the examples too.
    """

    llmtool: Annotated[int, Meta(ge=FORMAT, le=FORMAT)]
    name: Annotated[str, Meta(pattern=f"^{NAME}$")]
    description: str = ""
    task: Task = "gen"
    extends: Annotated[str, Meta(pattern=f"^({EXTENDS})$")] | None = None
    inputs: dict[str, Input] = {}
    system: str | None = None
    prompt: str | UnsetType = UNSET
    prefill: str = ""
    form: Form = "chat"
    examples: list[dict[str, Any]] = []
    more_examples: list[dict[str, Any]] = field(default=[], name="examples+")
    output: Literal["text", "code"] | OutputFile = "text"
    abstain: Abstain | None = None
    model: ModelFile = ModelFile()
    variants: dict[str, VariantFile] = {}
    tests: tuple[TestCase, ...] = ()
    more_tests: tuple[TestCase, ...] = field(default=(), name="tests+")
    tuned: TunedFile | None = None


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of template files for editors."""
    from llmtool.prompts.editor_schema import fit_for_editors

    return fit_for_editors(msgspec.json.schema(TemplateFile))


def schema_text() -> str:
    """Return the text of `prompts/schema.json`."""
    import json

    return json.dumps(json_schema(), ensure_ascii=False, indent=2) + "\n"
