"""Names, aliases and file suffixes of programming languages."""

from __future__ import annotations

import pytest

from llmtool.errors import UsageError
from llmtool.text.code_languages import (
    NAMES,
    find_language,
    known_language,
    language_of_file,
    usual_suffix,
)
from llmtool.text.syntax import check


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("py", "python"), ("Python", "python"), (" python3 ", "python"), (".py", "python"),
        ("js", "javascript"), ("jsx", "javascript"), ("ts", "typescript"), ("tsx", "tsx"),
        ("sh", "bash"), ("shell", "bash"), ("zsh", "bash"), ("rs", "rust"), ("c++", "cpp"),
        ("C", "c"), ("h", "c"), ("C#", "csharp"), ("golang", "go"), ("yml", "yaml"),
        ("htm", "html"), ("sqlite", "sql"), ("make", "makefile"), ("md", "markdown"),
    ],
)  # fmt: skip
def test_find_language_accepts_names_aliases_and_suffixes(name: str, language: str) -> None:
    assert find_language(name) == language


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("COBOL", "cobol"),
        (" Objective-C ", "objective-c"),
        ("F#", "f#"),
        ("Visual Basic", "visual basic"),
    ],
)
def test_any_language_is_accepted(name: str, language: str) -> None:
    assert find_language(name) == language and known_language(name) is None


@pytest.mark.parametrize("name", ["", " ", "a\nb", "`", "x" * 41, "\x1b[0m"], ids=repr)
def test_text_that_is_not_a_name_is_rejected(name: str) -> None:
    with pytest.raises(UsageError, match="must be a name of at most 40 characters"):
        find_language(name)
    assert known_language(name) is None


@pytest.mark.parametrize(
    ("name", "similar"), [("pyton", "python"), ("javascrit", "javascript"), ("rsut", "rust")]
)
def test_unknown_language_suggests_a_similar_one(name: str, similar: str) -> None:
    found = check(find_language(name), "x")
    assert found.status == "unchecked"
    assert found.note == f"no syntax checker for {name}; did you mean '{similar}'?"
    assert check("ruby", "x").note == "no syntax checker for ruby"


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a/b.py", "python"),
        ("X.PYI", "python"),
        ("Makefile", "makefile"),
        ("docker/Dockerfile", "dockerfile"),
        ("lib.d.ts", "typescript"),
        ("c++.h++", "cpp"),
    ],
)
def test_language_of_file(path: str, language: str) -> None:
    assert language_of_file(path) == language


@pytest.mark.parametrize("path", ["README", "a.unknown", "py", "", ".py"])
def test_other_file_names_have_no_language(path: str) -> None:
    assert language_of_file(path) is None


@pytest.mark.parametrize("language", sorted(set(NAMES.values())))
def test_every_language_is_found_by_name_and_suffix(language: str) -> None:
    assert NAMES[language] == language
    assert language_of_file(f"x{usual_suffix(language)}") == language
