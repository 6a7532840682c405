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
    ("name", "similar"), [("pyton", "python"), ("javascrit", "javascript"), ("rsut", "rust")]
)
def test_unknown_language_suggests_a_similar_one(name: str, similar: str) -> None:
    with pytest.raises(UsageError, match=rf"unknown language '{name}'; did you mean '{similar}'"):
        find_language(name)


def test_unknown_language_without_a_similar_one_lists_all() -> None:
    with pytest.raises(UsageError, match="choose from bash, c, cpp"):
        find_language("qqqqqqqq")
    assert known_language("") is None


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
