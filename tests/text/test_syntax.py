"""Syntax checks: code is parsed, not run, and within a time limit."""

from __future__ import annotations

import pytest

from llmtool.errors import install_command
from llmtool.text import grammars
from llmtool.text.code_languages import NAMES
from llmtool.text.grammars import Diagnostic
from llmtool.text.syntax import MAX_CHARACTERS, check, find_error, unfenced


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("python", "("),
        ("python", "(" * 100_000),
        ("python", "-" * 100_000 + "1"),
        ("python", "x = 1\0"),
        ("json", "[" * 100_000),
        ("json", "{'a': 1}"),
        ("toml", "a = [" * 10_000),
        ("toml", "a = 1\na = 2"),
        ("yaml", "[" * 100_000),
        ("yaml", "a: b: c"),
        ("yaml", "\x01"),
        ("yaml", ""),
    ],
    ids=lambda value: value[:8],
)
def test_invalid_syntax_has_an_error(language: str, text: str) -> None:
    assert find_error(language, text)


def test_invalid_escapes_in_python_are_not_errors() -> None:
    assert find_error("python", "x = '\\d'") is None


def test_huge_text_is_not_parsed() -> None:
    assert (
        find_error("json", " " * (MAX_CHARACTERS + 1))
        == f"longer than {MAX_CHARACTERS:,} characters"
    )


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("```python\nx = 1\n```", "x = 1"),
        ("\n~~~\nx\n\ny\n~~~\n", "x\n\ny"),
        ("````\n```\nx\n```\n````", "```\nx\n```"),
        ("```\n```", ""),
        ("x\n```\ny\n```", "x\n```\ny\n```"),
        ("plain", "plain"),
        ("```\na\n```\nthen\n```\nb\n```", "```\na\n```\nthen\n```\nb\n```"),
        ("```\na\n```\nend", "```\na\n```\nend"),
        ("  ```\n  a\n   b\n  ```", "a\n b"),
    ],
    ids=[
        "block", "tildes", "nested block", "empty block", "text before", "no block", "two blocks",
        "text after", "indented",
    ],
)  # fmt: skip
def test_unfenced_returns_the_content_of_a_single_block(text: str, inner: str) -> None:
    assert unfenced(text) == inner


# Language: valid code, invalid code, and the position of the first error.
EXAMPLES = {
    "python": ("x = [1]\n", "x = 1\nfor y in x\n    y\n", (2, 11)),
    "json": ('{"a": [1, 2e400]}', '\n{\n  "a" 1\n}', (3, 7)),
    "toml": ("a = 1\n[b]\n", "a = 1\nb =\n", (2, 4)),
    "yaml": ("a: [1]\n", "a: 1\nb: [\nc: d: e", (3, 5)),
    "bash": ("for i in *; do echo $i; done\n", "echo a\nif true; then\n", (2, 14)),
    "c": ("int main(void) { return 0; }\n", "int f(void) {\n  return 0\n}\n", (2, 11)),
    "cpp": ("class A { int x; };\n", "class A { int x };\n", (1, 16)),
    "css": ("a { color: red }\n", "a { color: red; }\n}\n", (2, 1)),
    "go": ("package main\nfunc f() {}\n", "package main\nfunc f() {}}\n", (2, 12)),
    "html": ("<p>a</p>\n", "<a href=>x</a>\n", (1, 8)),
    "java": ("class A { int x; }\n", "class A { int x }\n", (1, 16)),
    "javascript": ("let x = () => 1;\n", "let é = (1;\n", (1, 11)),
    "rust": ("fn f() -> i32 { 1 }\n", "fn f() { let x = ; }\n", (1, 16)),
    "sql": ("SELECT a FROM b WHERE c = 1;\n", "SELECT a FORM b;\n", None),
    "tsx": ("const a = <p>{x}</p>;\n", "const a = <p>{x</p>;\n", (1, 1)),
    "typescript": ("let x: number = 1;\n", "let x: = 1;\n", None),
}


@pytest.mark.parametrize(
    ("language", "valid", "invalid", "position"),
    [(name, *each) for name, each in EXAMPLES.items()],
    ids=list(EXAMPLES),
)
def test_every_checked_language_reports_the_first_error(
    language: str, valid: str, invalid: str, position: tuple[int, int] | None
) -> None:
    assert check(language, valid).status == "ok"
    found = check(language, invalid)
    assert found.status == "error" and found.diagnostics
    first = found.diagnostics[0]
    assert first.line is not None and first.message
    if position is not None:
        assert (first.line, first.column) == position


def test_every_grammar_has_an_example() -> None:
    assert {*filter(grammars.has_grammar, NAMES)} <= EXAMPLES.keys()


def test_columns_count_characters_and_not_bytes() -> None:
    (first, *_) = check("javascript", "'éé日'; let = = 1").diagnostics
    assert (first.line, first.column) == (1, 14)


@pytest.mark.parametrize("language", ["ruby", "markdown", None])
def test_language_without_a_checker_is_unchecked_with_a_note(
    language: str | None,
) -> None:
    found = check(language, "x")
    assert found.status == "unchecked" and found.note and not found.diagnostics


def test_missing_grammar_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    grammars._parser.cache_clear()
    monkeypatch.setattr(grammars.importlib, "import_module", missing)
    found = check("rust", "fn (")
    grammars._parser.cache_clear()
    assert found.status == "unchecked" and install_command("code") in found.note


@pytest.mark.parametrize("language", ["python", "sql", "ruby"])
def test_empty_text_is_an_error(language: str) -> None:
    assert check(language, " \n").status == "error"


@pytest.mark.parametrize("text", ["(" * 200_000, "{[" * 50_000, "\0\xff" * 1000, "`" * 5000])
@pytest.mark.parametrize("language", ["javascript", "bash", "sql"])
def test_hostile_text_has_limited_diagnostics(language: str, text: str) -> None:
    found = check(language, text)
    assert len(found.diagnostics) <= grammars.MAX_ERRORS


def test_diagnostic_as_text() -> None:
    assert str(Diagnostic(message="odd", line=3, column=7)) == "line 3, column 7: odd"
    assert str(Diagnostic(message="odd", line=3)) == "line 3: odd"
    assert str(Diagnostic(message="odd")) == "odd"
