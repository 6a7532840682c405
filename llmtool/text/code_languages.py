"""Programming languages: names, aliases and file suffixes."""

from __future__ import annotations

from enum import Enum
from pathlib import PurePath

from llmtool.errors import UsageError
from llmtool.suggest import suggest


class CodeLanguage(str, Enum):
    """A programming language; its value is its common name."""

    bash = "bash"
    c = "c"
    cpp = "cpp"
    csharp = "csharp"
    css = "css"
    dockerfile = "dockerfile"
    go = "go"
    html = "html"
    java = "java"
    javascript = "javascript"
    json = "json"
    kotlin = "kotlin"
    lua = "lua"
    makefile = "makefile"
    markdown = "markdown"
    perl = "perl"
    php = "php"
    powershell = "powershell"
    python = "python"
    r = "r"
    ruby = "ruby"
    rust = "rust"
    scala = "scala"
    sql = "sql"
    swift = "swift"
    toml = "toml"
    tsx = "tsx"
    typescript = "typescript"
    xml = "xml"
    yaml = "yaml"

    @property
    def suffix(self) -> str:
        """The usual file suffix, with its dot."""
        return _SUFFIXES[self][0]


_SUFFIXES: dict[CodeLanguage, tuple[str, ...]] = {
    CodeLanguage.bash: (".sh", ".bash", ".zsh", ".ksh"),
    CodeLanguage.c: (".c", ".h"),
    CodeLanguage.cpp: (".cpp", ".cc", ".cxx", ".hpp", ".hh", ".hxx", ".c++", ".h++"),
    CodeLanguage.csharp: (".cs",),
    CodeLanguage.css: (".css",),
    CodeLanguage.dockerfile: (".dockerfile",),
    CodeLanguage.go: (".go",),
    CodeLanguage.html: (".html", ".htm"),
    CodeLanguage.java: (".java",),
    CodeLanguage.javascript: (".js", ".mjs", ".cjs", ".jsx"),
    CodeLanguage.json: (".json",),
    CodeLanguage.kotlin: (".kt", ".kts"),
    CodeLanguage.lua: (".lua",),
    CodeLanguage.makefile: (".mk",),
    CodeLanguage.markdown: (".md", ".markdown"),
    CodeLanguage.perl: (".pl", ".pm"),
    CodeLanguage.php: (".php",),
    CodeLanguage.powershell: (".ps1", ".psm1"),
    CodeLanguage.python: (".py", ".pyi", ".pyw"),
    CodeLanguage.r: (".r",),
    CodeLanguage.ruby: (".rb",),
    CodeLanguage.rust: (".rs",),
    CodeLanguage.scala: (".scala", ".sc"),
    CodeLanguage.sql: (".sql",),
    CodeLanguage.swift: (".swift",),
    CodeLanguage.toml: (".toml",),
    CodeLanguage.tsx: (".tsx",),
    CodeLanguage.typescript: (".ts", ".mts", ".cts"),
    CodeLanguage.xml: (".xml", ".svg", ".xsd"),
    CodeLanguage.yaml: (".yaml", ".yml"),
}
_ALIASES = {
    "c#": CodeLanguage.csharp,
    "c++": CodeLanguage.cpp,
    "docker": CodeLanguage.dockerfile,
    "ecmascript": CodeLanguage.javascript,
    "golang": CodeLanguage.go,
    "jsx": CodeLanguage.javascript,
    "make": CodeLanguage.makefile,
    "mysql": CodeLanguage.sql,
    "node": CodeLanguage.javascript,
    "nodejs": CodeLanguage.javascript,
    "postgres": CodeLanguage.sql,
    "postgresql": CodeLanguage.sql,
    "pwsh": CodeLanguage.powershell,
    "python3": CodeLanguage.python,
    "rlang": CodeLanguage.r,
    "shell": CodeLanguage.bash,
    "sqlite": CodeLanguage.sql,
}
# A suffix without its dot is also an alias (py, js, ts, sh, rs).
NAMES: dict[str, CodeLanguage] = {
    **{end.lstrip("."): language for language, ends in _SUFFIXES.items() for end in ends},
    **_ALIASES,
    **{language.value: language for language in CodeLanguage},
}
_BY_SUFFIX = {end: language for language, ends in _SUFFIXES.items() for end in ends}
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
