"""Programming languages: names, aliases and file suffixes."""

from __future__ import annotations

from pathlib import PurePath

from llmtool.errors import UsageError

# The suffixes of each language by its common name; the first suffix is the usual one.
_SUFFIXES: dict[str, tuple[str, ...]] = {
    "bash": (".sh", ".bash", ".zsh", ".ksh"),
    "c": (".c", ".h"),
    "cpp": (".cpp", ".cc", ".cxx", ".hpp", ".hh", ".hxx", ".c++", ".h++"),
    "csharp": (".cs",),
    "css": (".css",),
    "dockerfile": (".dockerfile",),
    "go": (".go",),
    "html": (".html", ".htm"),
    "java": (".java",),
    "javascript": (".js", ".mjs", ".cjs", ".jsx"),
    "json": (".json",),
    "kotlin": (".kt", ".kts"),
    "lua": (".lua",),
    "makefile": (".mk",),
    "markdown": (".md", ".markdown"),
    "perl": (".pl", ".pm"),
    "php": (".php",),
    "powershell": (".ps1", ".psm1"),
    "python": (".py", ".pyi", ".pyw"),
    "r": (".r",),
    "ruby": (".rb",),
    "rust": (".rs",),
    "scala": (".scala", ".sc"),
    "sql": (".sql",),
    "swift": (".swift",),
    "toml": (".toml",),
    "tsx": (".tsx",),
    "typescript": (".ts", ".mts", ".cts"),
    "xml": (".xml", ".svg", ".xsd"),
    "yaml": (".yaml", ".yml"),
}
_ALIASES = {
    "bash": "shell",
    "cpp": "c++",
    "csharp": "c#",
    "dockerfile": "docker",
    "go": "golang",
    "javascript": "ecmascript jsx node nodejs",
    "makefile": "make",
    "powershell": "pwsh",
    "python": "python3",
    "r": "rlang",
    "sql": "mysql postgres postgresql sqlite",
}
_BY_SUFFIX = {end: language for language, ends in _SUFFIXES.items() for end in ends}
_BY_NAME = {"dockerfile": "dockerfile", "makefile": "makefile"}
_MAX_NAME = 40  # characters
# A suffix without its dot is also an alias (py, js, ts, sh, rs).
NAMES: dict[str, str] = {
    **{end.lstrip("."): language for end, language in _BY_SUFFIX.items()},
    **{alias: language for language, names in _ALIASES.items() for alias in names.split()},
    **{language: language for language in _SUFFIXES},
}


def usual_suffix(language: str) -> str:
    """Return the usual file suffix of a language with its dot, "" if it is unknown."""
    return _SUFFIXES.get(language, ("",))[0]


def find_language(name: str) -> str:
    """Return the common name of a language by its name, alias or suffix, regardless of case.

    An unknown name is returned in lower case.

    Raises:
        UsageError: the name is not a short line of text without backticks.

    Example:
        >>> find_language("JS"), find_language(".rs"), find_language("c++"), find_language("COBOL")
        ('javascript', 'rust', 'cpp', 'cobol')
    """
    word = canonical_name(name)
    if not word.isprintable() or "`" in word or not 1 <= len(word) <= _MAX_NAME:
        raise UsageError(f"language {name!r}: must be a name of at most {_MAX_NAME} characters")
    return word


def canonical_name(name: str) -> str:
    """Return the name as `find_language` does, but accept any text, such as that in a reply."""
    return known_language(name) or name.strip().lower()


def known_language(name: str) -> str | None:
    """Return the common name of a language, None if it is unknown.

    Example:
        >>> known_language("Klingon") is None
        True
    """
    word = name.strip().lower()
    return NAMES.get(word) or NAMES.get(word.removeprefix("."))


def language_of_file(path: str) -> str | None:
    """Return the language of a file by its name, None if it is unknown.

    Example:
        >>> language_of_file("src/main.RS"), language_of_file("Makefile")
        ('rust', 'makefile')
    """
    name = PurePath(path)
    return _BY_NAME.get(name.name.lower()) or _BY_SUFFIX.get(name.suffix.lower())
