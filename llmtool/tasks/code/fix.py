"""Turn fixed code into a patch of its file."""

from __future__ import annotations

from pathlib import Path

from llmtool.engine.types import Engine, Prompt
from llmtool.errors import OutputValidationError, UsageError
from llmtool.option_names import option
from llmtool.tasks.code.diffs import unified_diff
from llmtool.tasks.code.results import Code, Fix
from llmtool.text import syntax

_BOM = "\ufeff"
_EXTRA_TOKENS = 256  # for a fixed file, in addition to an eighth of its length


def find_error(code: str, error: str | None, language: str | None) -> str:
    """Return the given error, else the first syntax error of the code.

    Raises:
        UsageError: no error was given or found.
    """
    if error and error.strip():
        return error.strip()
    found = syntax.check(language, code)
    if not found.diagnostics:
        raise UsageError(f"no syntax error found; describe it with {option('error')}")
    return str(found.diagnostics[0])


def max_tokens_for(engine: Engine, code: str) -> int:
    """Return the token limit of a reply that rewrites a whole file."""
    n = len(engine.tokenize(Prompt(text=code)).token_ids)
    return n + n // 8 + _EXTRA_TOKENS


def make_fix(result: Code, original: str, *, file: str) -> Fix:
    """Return the patch from the original to the fixed code, with the original line endings.

    Raises:
        OutputValidationError: the code is unchanged, or the reply was truncated.
    """
    if result.finish_reason == "length":
        raise OutputValidationError(
            "the reply was truncated, so its patch would delete the rest of the file; "
            f"raise {option('max_tokens')}",
            result=result,
        )
    new = restore_line_endings(result.text, original)
    diff = unified_diff(file, original, new)
    if not diff:
        raise OutputValidationError("the model did not change the code", result=result)
    fields = {name: getattr(result, name) for name in result.__struct_fields__}
    return Fix(**{**fields, "text": new, "diff": diff})


def path_in_patch(file: str | Path) -> str:
    """Return the path of a file for its patch, relative to the root of its repository.

    `git apply` then works from the root and from the folder of the file, `patch -p1` from the root.
    Outside a repository, the path is relative to the current folder, or only the file name.
    """
    path = Path(file).resolve()
    for folder in path.parents:
        if (folder / ".git").exists():
            return path.relative_to(folder).as_posix()
    here = Path.cwd().resolve()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.name


def restore_line_endings(code: str, original: str) -> str:
    """Give code the BOM, line endings and final newline of the original.

    Example:
        >>> restore_line_endings("a\\nb\\n", "x\\r\\ny")
        'a\\r\\nb'
    """
    code = code.replace("\r\n", "\n")
    if original.startswith(_BOM):
        code = _BOM + code.removeprefix(_BOM)
    if original and not original.endswith("\n"):
        code = code.rstrip("\n")
    n_lines = original.count("\n")
    if n_lines and original.count("\r\n") * 2 > n_lines:
        code = code.replace("\n", "\r\n")
    return code
