"""Programming languages: names, aliases and file suffixes."""

from __future__ import annotations

from enum import Enum
from pathlib import PurePath

from llmtool.errors import UsageError
from llmtool.suggest import suggest


class CodeLanguage(str, Enum):
    """A programming language: its common name, and its file suffixes with the usual one first."""

    suffixes: tuple[str, ...]

    def __new__(cls, name: str, *suffixes: str) -> CodeLanguage:
        language = str.__new__(cls, name)
        language._value_, language.suffixes = name, suffixes
        return language

    bash = "bash", ".sh", ".bash", ".zsh", ".ksh"
    c = "c", ".c", ".h"
    cpp = "cpp", ".cpp", ".cc", ".cxx", ".hpp", ".hh", ".hxx", ".c++", ".h++"
    csharp = "csharp", ".cs"
    css = "css", ".css"
    dockerfile = "dockerfile", ".dockerfile"
    go = "go", ".go"
    html = "html", ".html", ".htm"
    java = "java", ".java"
    javascript = "javascript", ".js", ".mjs", ".cjs", ".jsx"
    json = "json", ".json"
    kotlin = "kotlin", ".kt", ".kts"
    lua = "lua", ".lua"
    makefile = "makefile", ".mk"
    markdown = "markdown", ".md", ".markdown"
    perl = "perl", ".pl", ".pm"
    php = "php", ".php"
    powershell = "powershell", ".ps1", ".psm1"
    python = "python", ".py", ".pyi", ".pyw"
    r = "r", ".r"
    ruby = "ruby", ".rb"
    rust = "rust", ".rs"
    scala = "scala", ".scala", ".sc"
    sql = "sql", ".sql"
    swift = "swift", ".swift"
    toml = "toml", ".toml"
    tsx = "tsx", ".tsx"
    typescript = "typescript", ".ts", ".mts", ".cts"
    xml = "xml", ".xml", ".svg", ".xsd"
    yaml = "yaml", ".yaml", ".yml"

    @property
    def suffix(self) -> str:
        """The usual file suffix, with its dot."""
        return self.suffixes[0]


_ALIASES = {
    CodeLanguage.bash: "shell",
    CodeLanguage.cpp: "c++",
    CodeLanguage.csharp: "c#",
    CodeLanguage.dockerfile: "docker",
    CodeLanguage.go: "golang",
    CodeLanguage.javascript: "ecmascript jsx node nodejs",
    CodeLanguage.makefile: "make",
    CodeLanguage.powershell: "pwsh",
    CodeLanguage.python: "python3",
    CodeLanguage.r: "rlang",
    CodeLanguage.sql: "mysql postgres postgresql sqlite",
}
# A suffix without its dot is also an alias (py, js, ts, sh, rs).
NAMES: dict[str, CodeLanguage] = {
    **{end.lstrip("."): language for language in CodeLanguage for end in language.suffixes},
    **{alias: language for language, names in _ALIASES.items() for alias in names.split()},
    **{language.value: language for language in CodeLanguage},
}
_BY_SUFFIX = {end: language for language in CodeLanguage for end in language.suffixes}
_BY_NAME = {"dockerfile": CodeLanguage.dockerfile, "makefile": CodeLanguage.makefile}


def find_language(name: str) -> CodeLanguage:
    """Return the language with a name, alias or suffix, regardless of case.

    Raises:
        UsageError: the language is unknown; the error suggests similar names.

    Example:
        >>> find_language("JS").value, find_language(".rs").value, find_language("c++").value
        ('javascript', 'rust', 'cpp')
    """
    found = known_language(name)
    if found is not None:
        return found
    known = ", ".join(language.value for language in CodeLanguage)
    hint = suggest(name.strip(), NAMES) or f"; choose from {known}"
    raise UsageError(f"unknown language {name!r}{hint}")


def known_language(name: str) -> CodeLanguage | None:
    """Like `find_language`, but return None if the language is unknown.

    Example:
        >>> known_language("Klingon") is None
        True
    """
    word = name.strip().lower()
    return NAMES.get(word) or NAMES.get(word.removeprefix("."))


def language_of_file(path: str) -> CodeLanguage | None:
    """Return the language of a file by its name, None if it is unknown.

    Example:
        >>> language_of_file("src/main.RS").value, language_of_file("Makefile").value
        ('rust', 'makefile')
    """
    name = PurePath(path)
    return _BY_NAME.get(name.name.lower()) or _BY_SUFFIX.get(name.suffix.lower())
