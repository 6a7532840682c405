"""The safe subset of YAML: scalars, keys, limits, positions."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtool.errors import TemplateError
from llmtool.safe_yaml import MAX_DEPTH, Plain, core, load, load_document


@pytest.fixture(params=["C", "Python"])
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with and without PyYAML's C parser, which some platforms lack."""
    if request.param == "Python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    elif not hasattr(yaml, "CSafeLoader"):
        pytest.skip("PyYAML was built without libyaml")


SCALARS = [
    ("true", True),
    ("false", False),
    ("null", None),
    ("~", None),
    ("", None),
    ("0", 0),
    ("-17", -17),
    ("3.5", 3.5),
    ("1e3", 1000.0),
    ("-0.25", -0.25),
    ("'true'", "true"),
    ('"7"', "7"),
    ("'null'", "null"),
    *[
        (text, text)
        for text in """NO no Yes yes on off y n True FALSE Null NULL 12:30 1:2:3 017 0o17 0x1F 1_000
        2024-01-31 2024-01-31T10:00:00Z +1 1. .5 1e999 .inf .nan - 1.2.3 0b1 00 9999999999999999999
        =""".split()
        if text != "-"
    ],
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
@pytest.mark.usefixtures("loader")
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    loaded = load(f"key: {text}\n", source="f")
    assert loaded == {"key": value}
    assert type(loaded["key"]) is type(value)  # type: ignore[index]


@pytest.mark.parametrize(
    "key", ["NO", "on", "12:30", "017", "1", "true", "~", "2024-01-31", "'<<'"]
)
def test_keys_are_strings(key: str) -> None:
    assert load(f"{key}: x", source="f") == {key.strip("'"): "x"}


def test_collections_and_block_scalars_are_loaded() -> None:
    text = """\
a: [1, {b: two}]
c:
  - d
  - |
    kept
      as it is
  - >-
    folded
    line
"""
    assert load(text, source="f") == {
        "a": [1, {"b": "two"}],
        "c": ["d", "kept\n  as it is\n", "folded line"],
    }


REJECTED = {
    "anchor": ("a: 1\nb: &x 2", "f:2: anchors are not allowed (&x)"),
    "alias": ("a: *x", "f:1: aliases are not allowed (*x)"),
    "alias as key": ("*x : 1", "f:1: aliases are not allowed (*x)"),
    "Python tag": (
        "a: !!python/object/apply:os.system [echo]",
        "f:1: tags are not allowed (tag:yaml.org,2002:python/object/apply:os.system)",
    ),
    "standard tag": ("a: !!str 1", "f:1: tags are not allowed (tag:yaml.org,2002:str)"),
    "local tag": ("\na: !thing x", "f:2: tags are not allowed (!thing)"),
    "merge key": ("<<: {a: 1}", "f:1: merge keys (<<) are not allowed"),
    "duplicate key": ("a: 1\nb:\n  c: 1\n  c: 2", "f:4: duplicate key 'c' (first on line 3)"),
    "list as key": ("? [1, 2]\n: 3", "f:1: a key must be a string"),
    "empty key": ("? \n: 3", "f:1: a key is missing"),
    "two documents": ("a: 1\n---\nb: 2", "f:2: more than one document"),
    "tab": ("a:\n\t- b", "f:2: not valid YAML: found character that cannot start any token"),
    "unclosed bracket": ("a: [1,\n", "f:2: not valid YAML: did not find expected node content"),
    "control character": ("a: 1\nb: \x07", "f:2: character that YAML does not allow"),
    "lone surrogate": ("a: \ud800", "f:1: character that YAML does not allow"),
}


@pytest.mark.parametrize(("text", "message"), REJECTED.values(), ids=REJECTED)
def test_unsupported_yaml_is_rejected(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        load(text, source="f")
    assert str(caught.value) == message


BOMBS = {
    "a billion laughs": "a: &a [x]\n"
    + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{f'*{chr(97 + n)},' * 9}]\n" for n in range(9)),
    "open brackets": "[" * 100_000,
    "open braces": "{a: " * 50_000,
    "nested dashes": "- " * 100_000,
    "deep indentation": "".join(" " * n + "a:\n" for n in range(1000)),
    "many values": "[" + "1," * 60_000 + "]",
    "a long text": "a: " + "x" * (1 << 20),
    "question marks": "? " * 300_000,
    "quotes": '"' * 1_000_000,
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
@pytest.mark.usefixtures("loader")
@pytest.mark.timeout(20)
def test_bombs_are_rejected(text: str) -> None:
    with pytest.raises(TemplateError, match=r"^f:\d+: "):
        load(text, source="f")


def test_depth_is_limited() -> None:
    load("[" * MAX_DEPTH + "]" * MAX_DEPTH, source="f")
    with pytest.raises(TemplateError, match="nested deeper"):
        load("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), source="f")


def test_document_reports_lines_of_values() -> None:
    document = load_document("a: 1\nb:\n  - c: |\n      text\n  - 2\n", source="f")
    assert document.line_of(("a",)) == 1
    assert document.line_of(("b", 0, "c")) == 3
    assert document.start_of(("b", 0, "c")) == 4
    assert document.line_of(("b", 1)) == 5
    assert document.line_of(("b", 1, "missing", "deeper")) == 5
    assert document.line_of(("missing",)) == 1


def test_document_preserves_unquoted_scalars() -> None:
    value = load_document("a: 1.50\nb: '1.50'\nc: ~", source="f").value
    assert value == {"a": "1.50", "b": "1.50", "c": None}
    assert isinstance(value, dict)
    assert isinstance(value["a"], Plain) and not isinstance(value["b"], Plain)
    assert core(value) == {"a": 1.5, "b": "1.50", "c": None}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "~"])
def test_empty_document_is_none(text: str) -> None:
    assert load(text, source="f") is None


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cn"]))
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(plain)
def test_json_loads_as_json(value: object) -> None:
    """JSON is YAML, except for a few control characters that YAML requires to be escaped."""
    text = json.dumps(value, ensure_ascii=False)
    assert load(text, source="f") == value


@given(st.text(alphabet="ab:-?[]{}\n\t \"'|>&*!#%~1.,", max_size=80))
@pytest.mark.filterwarnings("ignore")
def test_any_text_loads_or_is_rejected(text: str) -> None:
    try:
        load(text, source="f")
    except TemplateError as exc:
        assert str(exc).startswith("f:")


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(max_examples=50_000, deadline=None)
@given(st.text(alphabet="ab:-?[]{}\n\t \"'|>&*!#%~1.,\\\r\x00\x85\u2028é", max_size=300))
@pytest.mark.filterwarnings("ignore")
def test_any_text_loads_or_is_rejected_with_many_examples(text: str) -> None:
    try:
        load(text, source="f")
    except TemplateError as exc:
        assert str(exc).startswith("f:")
