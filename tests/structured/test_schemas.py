"""Schemas from all forms that callers can pass, and the check of replies."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional, TypedDict, Union

import msgspec
import pydantic
import pytest
from pydantic import BaseModel, Field, TypeAdapter

from llmtool.errors import InputError, OutputValidationError, UsageError
from llmtool.structured import schema as schema_module
from llmtool.structured.resolve import from_argument, resolve
from llmtool.tasks.pipeline.output_spec import make_output_spec


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


@dataclass
class Pet:
    name: str


@dataclass
class Person:
    name: str
    born: date
    size: Size
    pets: list[Pet] = field(default_factory=list)
    score: Annotated[int, msgspec.Meta(ge=0, le=9)] | None = None


class Owner(pydantic.BaseModel):
    name: str
    age: int = pydantic.Field(ge=0)
    pets: list[Pet] = []

    @pydantic.field_validator("name")
    @classmethod
    def capital(cls, name: str) -> str:
        if not name[:1].isupper():
            raise ValueError("no capital")
        return name


class Point(TypedDict):
    x: int
    y: int


def properties_of(text: str) -> dict[str, Any]:
    return resolve(text).json_schema["properties"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name", {"name": {"type": "string"}}),
        ("name, age int", {"name": {"type": "string"}, "age": {"type": "integer"}}),
        ("name string, age integer", {"name": {"type": "string"}, "age": {"type": "integer"}}),
        (
            "a list[number], b boolean",
            {"a": {"items": {"type": "number"}}, "b": {"type": "boolean"}},
        ),
        ("a float, b bool", {"a": {"type": "number"}, "b": {"type": "boolean"}}),
        ("name: full name", {"name": {"type": "string", "description": "full name"}}),
        ("age int: years: whole", {"age": {"type": "integer", "description": "years: whole"}}),
        ("a: one, two\nb int", {"a": {"type": "string", "description": "one, two"}}),
        ("tags list", {"tags": {"type": "array", "items": {"type": "string"}}}),
        ("n list[list[int]]", {"n": {"type": "array", "items": {"type": "array"}}}),
        ("size small|large", {"size": {"enum": ["small", "large"]}}),
        ("born date", {"born": {"type": "string", "format": "date"}}),
        ("größe int", {"größe": {"type": "integer"}}),
        ("a {b int, c {d}}", {"a": {"type": "object", "required": ["b", "c"]}}),
        ("a list[{b int}]: some", {"a": {"type": "array", "description": "some"}}),
        ("姓名；年龄 int", {"姓名": {"type": "string"}, "年龄": {"type": "integer"}}),
        ("姓名，年龄 int", {"姓名": {"type": "string"}, "年龄": {"type": "integer"}}),
        ("姓名：全名，如张三", {"姓名": {"type": "string", "description": "全名，如张三"}}),
        ("a {b、c int}，d", {"a": {"type": "object", "required": ["b", "c"]}, "d": {}}),
        ("大小 大｜小", {"大小": {"enum": ["大", "小"]}}),
        ("name: str, age: int", {"name": {"type": "string"}, "age": {"type": "integer"}}),
        ("age: int: in years", {"age": {"type": "integer", "description": "in years"}}),
        ("note: text of the note", {"note": {"type": "string", "description": "text of the note"}}),
        ("kind: one of: text or image", {"kind": {"description": "one of: text or image"}}),
        ("a INTEGER, b Boolean", {"a": {"type": "integer"}, "b": {"type": "boolean"}}),
        ("a: int64, b u8, c: UInt32", {name: {"type": "integer"} for name in "abc"}),
        ("a: float32, b f64", {name: {"type": "number"} for name in "ab"}),
        ("a: Set[int]", {"a": {"type": "array", "items": {"type": "integer"}}}),
        ("a text, b double, c long", {"b": {"type": "number"}, "c": {"type": "integer"}}),
        ("tags: list[str]", {"tags": {"type": "array", "items": {"type": "string"}}}),
        ("tags: number[]", {"tags": {"type": "array", "items": {"type": "number"}}}),
        ("tags List[Float]", {"tags": {"type": "array", "items": {"type": "number"}}}),
        ("a: int | None", {"a": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}),
        ("a Optional[int]", {"a": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}),
        ("a: dict[str, int], b", {"a": {"additionalProperties": {"type": "integer"}}, "b": {}}),
        ("a object, b any", {"a": {"type": "object", "additionalProperties": True}, "b": {}}),
        ("a: string; b: number;", {"a": {"type": "string"}, "b": {"type": "number"}}),
        ("a: int = 0; b: Array<int>; c: boolean", {"b": {"type": "array"}, "c": {}}),
        ("a: int | None; b: 'x' | 'y'; c: number", {"b": {"enum": ["x", "y"]}, "c": {}}),
        ("年龄：int | None，城市：str，爱好：List<str>", {"城市": {"type": "string"}, "爱好": {}}),
        ("a: {b: int; c: string[]}; d", {"a": {"required": ["b", "c"]}, "d": {}}),
        ("a; b int; c: one; two", {"b": {"type": "integer"}, "c": {"description": "one; two"}}),
        ("a: int = 0, b: str = None", {"a": {"type": "integer"}, "b": {"type": "string"}}),
        ("a: x = y", {"a": {"type": "string", "description": "x = y"}}),
        ("a: Option<u8>", {"a": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}),
        (
            "a: Map<string, Array<int>>, b: if x < 3",
            {
                "a": {"additionalProperties": {"type": "array", "items": {"type": "integer"}}},
                "b": {"type": "string", "description": "if x < 3"},
            },
        ),
        ("a: \"s\" | 'm'", {"a": {"enum": ["s", "m"]}}),
        ("a: Literal['s', 'm'], b", {"a": {"enum": ["s", "m"]}, "b": {"type": "string"}}),
        ("a 'date'|'time'", {"a": {"enum": ["date", "time"]}}),
        ("a: {b: int}", {"a": {"type": "object", "required": ["b"]}}),
        ("姓名：str，年龄：int", {"姓名": {"type": "string"}, "年龄": {"type": "integer"}}),
        ("{\n  a int,\n  b\n}", {"a": {"type": "integer"}, "b": {"type": "string"}}),
    ],
    ids=lambda value: value.replace("\n", "/") if isinstance(value, str) else "",
)
def test_short_form_describes_each_field(text: str, expected: dict[str, Any]) -> None:
    properties = properties_of(text)
    for name, part in expected.items():
        found = properties[name]
        for key, value in part.items():
            is_part = key == "items" and value.items() <= found["items"].items()
            assert is_part or found[key] == value


TYPES: dict[str, str] = {
    "string": "str string text varchar STR String",
    "integer": "int integer long bigint smallint tinyint uint int8 int16 int32 int64 uint8 uint16 "
    "uint32 uint64 i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize Int INTEGER",
    "number": "float number double decimal numeric real float16 float32 float64 f32 f64 DOUBLE",
    "boolean": "bool boolean Bool BOOLEAN",
    "array": "list array List list[str] set[int] Sequence[float] string[] int[] Array<string> "
    "List<Map<string,int>> Vec<Array<f64>>",
    "object": "object dict map Dict dict[str,int] Map[str,int] {b,c} Record<string,number>",
    "null": "none null None",
}
FORMATS = {"date": "date", "time": "time", "date-time": "datetime date-time timestamp DateTime"}


@pytest.mark.parametrize("form", ["a {}", "a: {}", "a:{}", "a: {}: note", "a?: {}", "a : {}"])
def test_each_name_of_a_type_is_accepted(form: str) -> None:
    for kind, names in TYPES.items():
        found = {name: properties_of(form.format(name))["a"] for name in names.split()}
        assert {name: part.get("type") for name, part in found.items()} == dict.fromkeys(
            found, kind
        )
    for format_name, names in FORMATS.items():
        for name in names.split():
            found_part = properties_of(form.format(name))["a"]
            assert (found_part["type"], found_part["format"]) == ("string", format_name), name


def test_fields_are_ordered_and_required_unless_marked() -> None:
    schema = resolve("z, a?, m int").json_schema
    assert list(schema["properties"]) == ["z", "a", "m"]
    assert schema["required"] == ["z", "m"]
    assert schema["additionalProperties"] is False


def test_field_with_a_default_is_optional() -> None:
    text = "a: int = 0, b: str | None = None, c: list[str] = [], d: float=-1.5, e: str = 'x', f"
    schema = resolve(text).json_schema
    assert schema["required"] == ["f"]
    assert [part.get("type") for part in schema["properties"].values()] == [
        "integer", None, "array", "number", "string", "string"
    ]  # fmt: skip


def test_short_form_in_square_brackets_is_a_list_of_objects() -> None:
    assert resolve("[name, age int]").parse('[{"name": "A", "age": 1}]') == [
        {"name": "A", "age": 1}
    ]


def test_short_form_gives_the_same_schema_as_the_llm_command() -> None:
    utils = pytest.importorskip("llm.utils")
    text = "name: full name, age int, height float, alive bool, note str"
    ours = {k: v for k, v in resolve(text).json_schema.items() if k != "additionalProperties"}
    assert ours == utils.schema_dsl(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "schema: no fields; write them as in 'name, age int'"),
        ("name:str age:int", "no comma between its fields; write 'name: str, age:int'"),
        ("name: str age: int, b", "no comma between its fields; write 'name: str, age: int'"),
        ("a str: full name b:int?", "fields; write 'a str: full name, b:int?'"),
        ("a {b:str c:int}", "fields; write 'b: str, c:int'"),
        ("name:str age", "field 'name' begins with a type; write 'name: str, age'"),
        ("age: int in years", "field 'age' begins with a type; write 'age int: in years'"),
        ("int", "'int' is a type without a field; write 'value int', or pass a JSON Schema"),
        ("name strng", "schema: unknown type 'strng' of field 'name'; use str, int"),
        ("name age", "or a|b|c, and put commas between fields"),
        ("name: strng", "unknown type 'strng' of field 'name'"),
        ("a: list[strng]", "unknown type 'strng' of field 'a'"),
        ("a: Tuple[int, int]", "unknown type 'Tuple[int, int]' of field 'a'"),
        ("a intger", "did you mean 'integer'?"),
        ('{"type": "str"}', "object or string; did you mean 'string'?"),
        ('{"type": "dict"}', "object or string; did you mean 'object'?"),
        ("name, name", "duplicate field 'name'"),
        (": text", "': text' does not begin with a field name"),
        ("a {b", "unbalanced brackets"),
        ("a x|", "unknown type"),
        ("a " + "{a " * 40 + "}" * 40, "nested deeper than 16"),
        ("a list[" * 1 + "list[" * 40 + "]" * 41, "nested deeper than 16"),
        ('{"type": "object"', "not valid JSON"),
        ('{"type": "objekt"}', "$.type: unknown type 'objekt'; use array, boolean, integer"),
        ('{"properties": {"a": {"minLength": -1}}}', "$.properties.a.minLength: -1 is less"),
        ('{"$ref": "#/$defs/no"}', "'/$defs/no' does not exist"),
        ('{"$ref": "file:///etc/passwd"}', "references to other documents are not supported"),
        ('{"$ref": "http://127.0.0.1:9/x"}', "references to other documents are not supported"),
        ('{"pattern": "[a"}', "$.pattern"),
        ('{"items": {"properties": {"a": {"pattern": "(a"}}}}', "$.items.properties.a.pattern: "),
        (
            '{"$schema": "http://json-schema.org/draft-07/schema#", "items": {"minLength": -1}}',
            "$.items.minLength: -1 is less than the minimum of 0",
        ),
        ('{"name": "str", "age": "int"}', "JSON Schema: unknown keyword 'name'; write fields"),
        ('{"title": "str", "year": "int"}', "JSON Schema: unknown keyword 'year'; write fields"),
        ('{"a": 5}', "unknown keyword 'a'; write fields under 'properties', or in the short form"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "JSON Schema: "),
    ],
)
def test_invalid_schema_is_reported_with_its_path(text: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize("value", [3, None, object(), Person("A", date.today(), Size.SMALL)])
def test_value_that_is_not_a_schema_is_rejected(value: object) -> None:
    with pytest.raises(UsageError, match="must be a JSON Schema"):
        resolve(value)


@pytest.mark.parametrize("schema", [{}, {"type": "string", "x-id": 5}, {"description": "a text"}])
def test_unknown_keywords_beside_others_are_ignored(schema: dict[str, Any]) -> None:
    assert resolve(schema).json_schema == schema


def test_type_without_a_json_form_is_rejected() -> None:
    @dataclass
    class Odd:
        run: Path

    with pytest.raises(UsageError, match="cannot convert Odd to a JSON Schema"):
        resolve(Odd)


def test_dictionary_that_is_not_json_is_rejected() -> None:
    with pytest.raises(UsageError, match="cannot be encoded as JSON"):
        resolve({"const": object()})


def test_dataclass_schema_returns_an_instance() -> None:
    reply = '{"name": "Ada", "born": "1815-12-10", "size": "small", "pets": [{"name": "Rex"}]}'
    assert resolve(Person).parse(reply) == Person(
        "Ada", date(1815, 12, 10), Size.SMALL, [Pet("Rex")]
    )


def test_pydantic_schema_returns_an_instance() -> None:
    owner = resolve(Owner).parse('\n{"name": "Ada", "age": 36, "pets": [{"name": "Rex"}]}\n')
    assert owner == Owner(name="Ada", age=36, pets=[Pet("Rex")])


def test_list_of_typed_dicts_is_a_schema() -> None:
    assert resolve(list[Point]).parse('[{"x": 1, "y": 2}]') == [{"x": 1, "y": 2}]


@pytest.mark.parametrize(
    ("schema", "reply", "reason"),
    [
        ("a int", '{"a": "x"}', '$.a: "x" is not of type "integer"'),
        ("a int", '{"b": 1, "a": 1}', "$: Additional properties are not allowed ('b'"),
        ("a, b", '{"a": "x"}', '$: "b" is a required property'),
        ("a list[int]", '{"a": [1, 2, "x"]}', "$.a[2]: "),
        ("d date", '{"d": "2023-02-30"}', '$.d: "2023-02-30" is not a valid date'),
        ({"uniqueItems": True}, "[1, 1]", "non-unique"),
        ({"type": "integer"}, "1e400", "not valid JSON"),
        ({}, '{"a": ', "not valid JSON"),
        ({}, '{"a": "b', "raise max_tokens= if it was truncated"),
        ({}, "{} {}", "not valid JSON"),
        ({}, "NaN", "not valid JSON"),
        ({}, "", "not valid JSON"),
        ({}, "[" * 100_000, "not valid JSON"),
        (Person, '{"name": "A", "born": "1815-12-10", "size": "tiny"}', "$.size: "),
        (Owner, '{"name": "ada", "age": 1}', "not a valid Owner: $.name: Value error, no capital"),
        (Owner, '{"name": "Ada", "age": -1}', "$.age: -1 is less than the minimum of 0"),
    ],
)
def test_invalid_reply_is_reported_with_its_path(schema: object, reply: str, reason: str) -> None:
    with pytest.raises(OutputValidationError) as caught:
        resolve(schema).parse(reply)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


def test_argument_is_a_file_name_or_a_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "person.json").write_text('\ufeff{"type": "integer"}', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert from_argument("person.json").json_schema == {"type": "integer"}
    assert from_argument("name, age int").json_schema["required"] == ["name", "age"]
    assert from_argument('{"type": "null"}').json_schema == {"type": "null"}


@pytest.mark.parametrize(
    ("content", "error", "reason"),
    [
        (None, InputError, "no such file"),
        (b"\xff\xfe", InputError, "not valid UTF-8 at byte 0"),
        (b" " * ((1 << 20) + 1), InputError, "larger than 1 MiB"),
        (b'{"type": 3}', UsageError, "$.type: must be a type name or a list of type names, not 3"),
    ],
)
def test_error_names_the_invalid_file(
    tmp_path: Path, content: bytes | None, error: type[Exception], reason: str
) -> None:
    path = tmp_path / "s.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error) as caught:
        from_argument(str(path))
    assert reason in str(caught.value) and "s.json" in str(caught.value)


def test_constraint_is_the_schema_as_text() -> None:
    schema = {"type": "object", "properties": {"z": {}, "a": {}}}
    constraint = resolve(schema).constraint
    assert constraint.kind == "json_schema"
    assert list(json.loads(constraint.source)["properties"]) == ["z", "a"]


def test_validator_is_imported_only_to_check_a_reply() -> None:
    program = (
        "import sys\n"
        "from llmtool.structured.resolve import resolve\n"
        "schema = resolve('name, age int')\n"
        "schema.constraint\n"
        "assert not {'pydantic', 'jsonschema_rs', 'llguidance'} & set(sys.modules)\n"
        'print(schema.parse(\'{"name": "A", "age": 1}\'))\n'
        "assert 'pydantic' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "{'name': 'A', 'age': 1}\n", done.stderr


class Cat(BaseModel):
    lives: int = Field(ge=0, le=9)


class Dog(BaseModel):
    tricks: list[str]


@dataclass
class Address:
    street: str


@dataclass
class Customer:
    name: str
    address: Address
    cat: Cat | None = None


@dataclass
class Circle:
    radius: float


@dataclass
class Square:
    side: float


class Shape(TypedDict):
    kind: Literal["circle", "square"]
    parts: list[Pet]


Count = NewType("Count", int)


@pytest.mark.parametrize(
    ("kind", "reply", "value"),
    [
        (list[Cat], '[{"lives": 9}]', [Cat(lives=9)]),
        (Cat | None, '{"lives": 9}', Cat(lives=9)),
        (Cat | None, "null", None),
        (Optional[Cat], "null", None),  # noqa: UP045
        (Cat | Dog, '{"tricks": ["sit"]}', Dog(tricks=["sit"])),
        (Union[Cat, Dog], '{"lives": 1}', Cat(lives=1)),  # noqa: UP007
        (dict[str, list[Cat]], '{"a": [{"lives": 1}]}', {"a": [Cat(lives=1)]}),
        (TypeAdapter(list[Cat]), '[{"lives": 9}]', [Cat(lives=9)]),
        (TypeAdapter(Cat | None), "null", None),
        (
            Customer,
            '{"name": "A", "address": {"street": "B"}, "cat": {"lives": 2}}',
            Customer("A", Address("B"), Cat(lives=2)),
        ),
        (list[Circle], '[{"radius": 1.5}]', [Circle(1.5)]),
        (Circle | None, "null", None),
        (Circle | Square, '{"side": 2.0}', Square(2.0)),
        (list[Circle | Square], '[{"side": 2.0}, {"radius": 1.0}]', [Square(2.0), Circle(1.0)]),
        (list[Point], '[{"x": 1, "y": 2}]', [{"x": 1, "y": 2}]),
        (Shape, '{"kind": "circle", "parts": []}', {"kind": "circle", "parts": []}),
        (Size, '"small"', Size.SMALL),
        (list[Size], '["small"]', [Size.SMALL]),
        (Literal["a", "b"], '"b"', "b"),
        (Literal[1, 2], "2", 2),
        (int, "5", 5),
        (int | str, '"a"', "a"),
        (list[int] | None, "[1]", [1]),
        (tuple[int, str], '[1, "a"]', (1, "a")),
        (set[int], "[1, 2]", {1, 2}),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (Annotated[int, msgspec.Meta(ge=1)], "1", 1),
        (list[Annotated[int, Field(ge=1)]], "[1]", [1]),
        (Count, "3", 3),
        (date | None, '"2020-01-31"', date(2020, 1, 31)),
    ],
    ids=lambda value: "" if isinstance(value, (str, list)) else str(value)[:40],
)
def test_type_is_a_schema_and_value_has_this_type(kind: object, reply: str, value: object) -> None:
    resolved = resolve(kind)
    spec = make_output_spec(schema=kind)
    assert spec is not None and spec.matches(reply)
    found = resolved.parse(reply)
    assert found == value and type(found) is type(value)


def test_invalid_value_of_a_generic_type_is_reported_with_its_path() -> None:
    @dataclass
    class Even:
        n: int

        def __post_init__(self) -> None:
            if self.n % 2:
                raise ValueError("odd")

    with pytest.raises(
        OutputValidationError, match=r"not a valid list\[Even\]: odd - at `\$\[0\]`"
    ):
        resolve(list[Even]).parse('[{"n": 1}]')
    with pytest.raises(OutputValidationError, match=r"not a valid list\[Owner\]: \$.0.name: "):
        resolve(list[Owner]).parse('[{"name": "ada", "age": 1}]')


def test_type_without_a_json_form_in_a_union_is_rejected() -> None:
    class Plain:
        pass

    with pytest.raises(UsageError, match="cannot convert") as caught:
        resolve(Cat | Plain)
    assert "\n" not in str(caught.value)


def _doubled(levels: int) -> dict[str, Any]:
    """Return a schema in which each level applies the next one twice."""
    parts = {
        f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}, {"$ref": f"#/$defs/d{i + 1}"}]}
        for i in range(levels)
    }
    return {"$defs": {**parts, f"d{levels}": {"type": "object"}}, "$ref": "#/$defs/d0"}


_TWICE = {"type": "object", "properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}


@pytest.mark.parametrize(
    ("schema", "reply"),
    [(_doubled(27), "{}"), (_TWICE, '{"a": ' * 26 + "{}" + "}" * 26)],
    ids=["references", "recursion"],
)
def test_check_of_a_reply_has_a_time_limit(
    monkeypatch: pytest.MonkeyPatch, schema: dict[str, Any], reply: str
) -> None:
    """Without it, each of these takes a few seconds, in which nothing can interrupt the check."""
    monkeypatch.setattr(schema_module, "_CHECK_SECONDS", 1)
    error = "^the reply cannot be checked with this JSON Schema: takes more than 1 s$"
    with pytest.raises(OutputValidationError, match=error):
        resolve(schema).parse(reply)


def test_recursive_schema_has_the_same_errors_as_others() -> None:
    schema = {"properties": {"next": {"$ref": "#"}, "n": {"type": "integer"}}}
    assert resolve(schema).parse('{"next": {"n": 1}}') == {"next": {"n": 1}}
    with pytest.raises(OutputValidationError, match=r'schema: \$.next.n: "x" is not of type'):
        resolve(schema).parse('{"next": {"n": "x"}}')
