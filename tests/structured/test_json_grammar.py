"""The grammar of a JSON Schema: what it accepts, and what it leaves to the check of the reply."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmtool.errors import OutputValidationError, UnsatisfiableError
from llmtool.structured.describe import describe
from llmtool.structured.resolve import resolve
from llmtool.tasks.pipeline.output_spec import OutputSpec, make_output_spec

INT64 = 9223372036854775807
DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def compiled(schema: dict[str, Any]) -> OutputSpec:
    spec = make_output_spec(schema=schema)
    assert spec is not None
    return spec


def accepted(schema: dict[str, Any], *values: object) -> list[object]:
    """Return the values that the grammar accepts."""
    spec = compiled(schema)
    return [value for value in values if spec.matches(json.dumps(value))]


def valid(schema: dict[str, Any], *values: object) -> list[object]:
    """Return the values that pass the check of the reply."""
    passed = []
    for value in values:
        try:
            passed.append(resolve(schema).parse(json.dumps(value)))
        except OutputValidationError:
            continue
    return passed


@pytest.mark.parametrize(
    ("schema", "unenforced"),
    [
        ({"type": "integer", "minimum": -INT64 - 1, "maximum": INT64}, f"minimum {-INT64 - 1}"),
        ({"type": "integer", "maximum": 2**53 + 1}, f"maximum {2**53 + 1}"),
        (
            {"type": "number", "minimum": -1e300, "maximum": 1e300},
            "minimum -1e+300, maximum 1e+300",
        ),
        ({"type": "number", "exclusiveMaximum": 1e19}, "exclusiveMaximum 1e+19"),
        ({"type": "number", "multipleOf": 123.456}, "multipleOf 123.456"),
        ({"type": "integer", "multipleOf": 1_000_003}, "multipleOf 1000003"),
        ({"type": ["number", "null"], "minimum": 1e-300}, "minimum 1e-300"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_number_that_the_grammar_cannot_enforce_is_only_checked(
    schema: dict[str, Any], unenforced: str
) -> None:
    assert compiled(schema).unenforced == unenforced


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer", "minimum": -INT64 - 1, "maximum": INT64}, [-INT64 - 1, INT64], []),
        ({"type": "integer", "maximum": INT64}, [INT64, 0], [INT64 + 1]),
        ({"type": "integer", "maximum": 2**53 + 1}, [2**53 + 1], []),
        ({"type": "number", "minimum": 0.5, "exclusiveMaximum": 2}, [0.5, 1.75], [0.25, 2, 2.5]),
        ({"type": "number", "exclusiveMinimum": -1.5, "maximum": 1e3}, [-1, 1000], [-1.5, 1001]),
        ({"type": "number", "multipleOf": 0.25}, [0, 1.75], [0.3]),
        ({"type": "integer", "minimum": 0.5, "maximum": 3.5}, [1, 3], [0, 4]),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "type": "number", "minimum": 1}
         | {"exclusiveMinimum": True}, [2], [1]),
        ({"type": "number", "minimum": -3, "maximum": -3}, [-3], [3]),
    ],
)  # fmt: skip
def test_bounds_of_numbers_are_enforced(
    schema: dict[str, Any], good: list[object], bad: list[object]
) -> None:
    assert accepted(schema, *good, *bad) == good
    assert valid(schema, *good, *bad) == good


@pytest.mark.parametrize("keyword", ["minLength", "maxLength"])
@pytest.mark.parametrize("value", [2, 2.0])
def test_count_may_be_a_decimal_number(keyword: str, value: float) -> None:
    expected = ["ab", "abc"] if keyword == "minLength" else ["a", "ab"]
    assert accepted({"type": "string", keyword: value}, "a", "ab", "abc") == expected


def test_count_of_items_may_be_a_decimal_number() -> None:
    schema = {"type": "array", "items": {"maxLength": 5}, "maxItems": 2.0, "minItems": 1.0}
    assert accepted(schema, [], ["a"], ["a", "b"], ["a", "b", "c"]) == [["a"], ["a", "b"]]


def test_many_patterns_are_checked_in_the_reply_only() -> None:
    """llguidance compares each pattern with the others, which takes seconds for 300."""
    properties = {f"^x{i}[a-z]+$": {"type": "integer"} for i in range(300)}
    found = compiled({"patternProperties": properties, "additionalProperties": False})
    assert found.unenforced == "patternProperties"


def test_count_larger_than_any_reply_is_omitted() -> None:
    assert compiled({"type": "string", "maxLength": 2**40}).unenforced == ""
    assert compiled({"type": "array", "maxItems": 10**20}).unenforced == ""
    assert compiled({"type": "string", "minLength": 2**40}).unenforced == "minLength"


@pytest.mark.parametrize(
    "pattern",
    [
        r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$",
        r"^(?=.*\d)\w+$",
        r"(?<=a)b",
        r"^(a|b)\1$",
        r"\bword\b",
        r"^(a$|b)c?",
    ],
)
def test_unsupported_pattern_is_only_checked(pattern: str) -> None:
    spec = compiled({"type": "string", "pattern": pattern})
    assert spec.unenforced == f"pattern '{pattern}'"
    assert spec.matches('"-"') and spec.matches('"12"')


def test_length_that_makes_a_pattern_too_complex_is_only_checked() -> None:
    words = {"type": "string", "pattern": r"^(?:\S+\s+){0,99}\S+$", "maxLength": 5000}
    spec = compiled({"type": "object", "properties": {"a": words}, "required": ["a"]})
    assert spec.unenforced == "maxLength"
    assert spec.matches('{"a": "What is it all about?"}') and not spec.matches('{"a": ""}')


def test_unsupported_pattern_beside_another_type_is_only_checked() -> None:
    pattern = r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"
    amount = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": pattern}]}
    schema = {"type": "object", "properties": {"amount": amount}, "required": ["amount"]}
    values = [{"amount": 1.5}, {"amount": "1.5"}, {"amount": "-"}]
    assert accepted(schema, *values) == values
    assert valid(schema, *values) == values[:2]


def test_unsupported_pattern_of_properties_allows_any_property() -> None:
    schema = {"patternProperties": {"^(?!x)": {"type": "integer"}}, "additionalProperties": False}
    spec = compiled({"type": "object", **schema})
    assert spec.unenforced == "patternProperties '^(?!x)'"
    assert spec.matches('{"a": 1}')


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"^\<a\>$", ["<a>"], ["a"]),
        (r"^[[a]+$", ["[a"], ["b"]),
        (r"^[a&&b]$", ["&", "a"], ["c"]),
        (r"^\/\cJ$", ["/\n"], ["/a"]),
        (r"^\s$", [" ", "\ufeff"], ["a"]),
        (r"^[^\s]$", ["a"], ["\ufeff"]),
        (r"^{{[a-z]+}}]$", ["{{a}}]"], ["{a}]"]),
        (r"^\p{L}{2}\u{61}$", ["éba"], ["1ba"]),
    ],
)
def test_pattern_has_the_syntax_of_ecma_262(pattern: str, good: list[str], bad: list[str]) -> None:
    schema = {"type": "string", "pattern": pattern}
    spec = compiled(schema)
    assert [v for v in [*good, *bad] if spec.matches(json.dumps(v, ensure_ascii=False))] == good
    assert valid(schema, *good, *bad) == good


def test_overlapping_patterns_are_enforced_together() -> None:
    schema = {
        "type": "object",
        "properties": {"x_id": {"type": "string", "maxLength": 5}},
        "patternProperties": {"^x_": {"type": "string"}, "_id$": {"type": "string"}},
        "required": ["x_id"],
    }
    spec = compiled(schema)
    assert spec.unenforced == ""
    good = [{"x_id": "a"}, {"x_id": "a", "b_id": "b"}]
    assert accepted(schema, *good, {"x_id": "abcdef"}, {"x_id": "a", "x_": 1}) == good


def test_overlapping_patterns_with_different_schemas_are_partly_enforced() -> None:
    pattern_properties = {"^x": {"type": "integer"}, "y$": {"type": "number", "maximum": 5}}
    schema = {"type": "object", "patternProperties": pattern_properties}
    assert compiled(schema).unenforced == "patternProperties"
    assert accepted(schema, {"xy": 3}, {"y": 2.5}, {"x": "a"}) == [{"xy": 3}, {"y": 2.5}]


NODE = {"type": "object", "properties": {"value": {"type": "integer"}}, "required": ["value"]}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/a~1b", "$defs": {"a/b": NODE}},
        {"$ref": "#/$defs/a~0b", "$defs": {"a~b": NODE}},
        {"$ref": "#/definitions/Page%3Cstring%3E", "definitions": {"Page<string>": NODE}},
        {"$ref": "#/$defs/a%25b", "$defs": {"a%b": NODE}},
        {"$ref": "#/components/schemas/Node", "components": {"schemas": {"Node": NODE}}},
        {"$ref": "#node", "$defs": {"x": {"$anchor": "node", **NODE}}},
        {"$ref": "node.json", "$defs": {"x": {"$id": "node.json", **NODE}}},
        {
            "$id": "http://example.com/all.json",
            "$ref": "http://example.com/node.json",
            "$defs": {"x": {"$id": "node.json", **NODE}},
        },
        {"$id": "urn:example:all", "$ref": "#/$defs/node", "$defs": {"node": NODE}},
        {"$schema": DRAFT_7, "$ref": "#node", "definitions": {"x": {"$id": "#node", **NODE}}},
        {"$ref": "#/$defs/x/properties/y", "$defs": {"x": {"properties": {"y": NODE}}}},
        {"$ref": "#/$defs/list/prefixItems/0", "$defs": {"list": {"prefixItems": [NODE]}}},
    ],
    ids=lambda schema: schema["$ref"],
)
@pytest.mark.parametrize("is_part", [False, True], ids=["alone", "in allOf"])
def test_reference_is_resolved(schema: dict[str, Any], is_part: bool) -> None:
    if is_part:
        reference = {"$ref": schema["$ref"]}
        others = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**others, "allOf": [reference, {"properties": {"total": {"type": "integer"}}}]}
    good: dict[str, int] = {"value": 1, "total": 2} if is_part else {"value": 1}
    assert accepted(schema, good, {"value": "a"}, {}) == [good]
    assert compiled(schema).unenforced == ""


def test_properties_of_parts_with_references_are_allowed_together() -> None:
    schema = {
        "allOf": [
            {"$ref": "#/definitions/Page%3Cstring%3E"},
            {
                "type": "object",
                "properties": {"total": {"type": "integer"}},
                "required": ["total"],
            },
        ],
        "definitions": {
            "Page<string>": {
                "type": "object",
                "properties": {
                    "items": {"type": "array", "items": {"type": "string"}, "maxItems": 3}
                },
                "required": ["items"],
            }
        },
    }
    good = {"items": ["a"], "total": 3}
    assert accepted(schema, good, {"items": ["a"]}, {"items": [1], "total": 3}) == [good]
    assert describe({"$ref": "#/definitions/Page%3Cstring%3E", **schema}).startswith('{"items":')


TREE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/tree"}}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"next": {"$ref": "#"}}},
        {"type": "object", "properties": {"next": {"$ref": "#", "type": "object"}}},
        {
            "$ref": "#/$defs/tree",
            "type": "object",
            "$defs": {
                "tree": {
                    "type": "object",
                    "properties": {"next": {"$ref": "#/$defs/tree", "minProperties": 0}},
                }
            },
        },
        {"allOf": [{"$ref": "#/$defs/tree"}, {"type": "object"}], "$defs": {"tree": TREE}},
        {
            "$ref": "#/$defs/tree",
            "$defs": {
                "tree": {
                    "type": "object",
                    "properties": {"next": {"allOf": [{"$ref": "#/$defs/tree"}, {"not": False}]}},
                }
            },
        },
        {
            "$ref": "#/$defs/tree",
            "$defs": {
                "tree": {
                    "type": "object",
                    "properties": {"next": {"type": "object", "oneOf": [{"$ref": "#/$defs/tree"}]}},
                }
            },
        },
    ],
)
def test_recursive_reference_may_have_siblings(schema: dict[str, Any]) -> None:
    good: dict[str, Any] = {"next": {"next": {}}}
    assert accepted(schema, good, {"next": {"next": 3}}, {"next": 3}) == [good]


def test_keywords_beside_a_reference_are_ignored_in_draft_7() -> None:
    schema = {
        "$ref": "#/definitions/text",
        "maxLength": 1,
        "definitions": {"text": {"minLength": 2}},
    }
    assert accepted({"$schema": DRAFT_7, **schema}, "ab", "a") == ["ab"]
    assert valid({"$schema": DRAFT_7, **schema}, "ab", "a") == ["ab"]


KEYWORDS = ("type", "$ref", "enum", "const", "properties", "required", "items", "minimum", "allOf")


@pytest.mark.parametrize("name", [*KEYWORDS, "pattern", "$id", "minProperties", "$defs", "not"])
def test_property_may_have_the_name_of_a_keyword(name: str) -> None:
    properties = {
        name: {"type": "integer", "minimum": 3, "maximum": 3},
        "other": {"type": "string"},
    }
    schema = {"type": "object", "properties": properties, "required": [name]}
    assert accepted(schema, {name: 3}, {name: 3, "other": "a"}, {name: 4}, {}) == [
        {name: 3},
        {name: 3, "other": "a"},
    ]
    assert describe(schema) == f'{{"{name}": integer (at least 3, at most 3), "other"?: string}}'


def test_all_keywords_may_be_properties() -> None:
    properties = {name: {"type": "string"} for name in KEYWORDS}
    value = {name: "a" for name in KEYWORDS}
    assert accepted({"type": "object", "properties": properties}, value, {"type": 1}) == [value]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("time", ["12:00:59Z", "23:59:00.5+01:00"], ["12:00:60Z", "23:59:60Z", "24:00:00Z"]),
        ("date-time", ["2020-02-29T12:00:00Z"], ["2020-01-01T12:00:60Z", "2021-02-29T12:00:00Z"]),
        ("date", ["2000-02-29", "2024-02-29", "2021-12-31"], ["1900-02-29", "2021-04-31"]),
    ],
)
def test_date_and_time_of_the_grammar_are_valid(name: str, good: list[str], bad: list[str]) -> None:
    schema = {"type": "string", "format": name}
    assert accepted(schema, *good, *bad) == good
    assert valid(schema, *good) == good


@pytest.mark.parametrize(
    ("counts", "unenforced", "good"),
    [
        ({"minProperties": 1, "additionalProperties": False}, "", [{"a": 1}, {"b": 1}]),
        ({"minProperties": 1, "required": ["a"]}, "", [{"a": 1}]),
        ({"maxProperties": 2, "additionalProperties": False}, "", [{}, {"a": 1}, {"b": 1}]),
        ({"minProperties": 1}, "minProperties", [{}, {"a": 1}, {"b": 1}]),
        ({"maxProperties": 1}, "maxProperties", [{}, {"a": 1}, {"b": 1}]),
        (
            {"minProperties": 2, "additionalProperties": False},
            "minProperties",
            [{}, {"a": 1}, {"b": 1}],
        ),
    ],
)
def test_numbers_of_properties_are_enforced_where_possible(
    counts: dict[str, Any], unenforced: str, good: list[object]
) -> None:
    schema = {"type": "object", "properties": {"a": {}, "b": {}}, **counts}
    assert compiled(schema).unenforced == unenforced
    assert accepted(schema, {}, {"a": 1}, {"b": 1}) == good


def test_format_and_pattern_are_enforced_together() -> None:
    schema = {"type": "string", "format": "date", "pattern": "^20"}
    assert accepted(schema, "2020-01-01", "1990-01-01", "20") == ["2020-01-01"]


def test_definition_that_no_value_satisfies_is_never_used() -> None:
    impossible = {"type": "object", "required": ["a"], "additionalProperties": False}
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/none"}, "b": {"type": "integer"}},
        "$defs": {"none": impossible | {"properties": {}}},
    }
    assert accepted(schema, {"b": 1}, {"a": {}}) == [{"b": 1}]


def test_schema_that_refers_to_an_unsatisfiable_definition_is_rejected() -> None:
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer", "minimum": 3, "maximum": 1}}}
    with pytest.raises(UnsatisfiableError, match="no value satisfies it"):
        compiled(schema)


def test_keyword_without_effect_is_not_reported() -> None:
    schema = {"uniqueItems": False, "not": False, "propertyNames": True, "dependentRequired": {}}
    assert compiled({"type": "array", **schema}).unenforced == ""


def test_format_of_a_number_is_not_reported() -> None:
    assert compiled({"type": "integer", "format": "int64", "pattern": "(?=a)"}).unenforced == ""


def test_unknown_format_and_keywords_are_reported() -> None:
    schema = {"type": "string", "format": "int32", "not": {"const": "a"}}
    assert compiled(schema).unenforced == "not, format int32"


def test_schema_of_many_levels_is_described_as_json() -> None:
    levels = {
        f"d{i}": {"properties": {"a": {"$ref": f"#/$defs/d{i + 1}"}}, "type": "object"}
        for i in range(300)
    }
    schema = {"$defs": {**levels, "d300": {"type": "null"}}, "$ref": "#/$defs/d0"}
    assert describe(schema) == json.dumps(schema)
