"""Turn fixed code into a patch of its file."""

from __future__ import annotations

import shutil
from pathlib import Path

from llmtool.engine.types import Engine, Prompt
from llmtool.errors import OutputError, OutputValidationError, UsageError
from llmtool.tasks.code.diffs import unified
from llmtool.tasks.code.results import Code, Fix
from llmtool.text import syntax
from llmtool.text.code_languages import CodeLanguage

_BOM = "\ufeff"
_EXTRA_TOKENS = 256  # that a fixed file may have, besides an eighth of its own


def error_of(code: str, error: str | None, language: CodeLanguage | None) -> str:
    """Return the given error, else the first syntax error of the code.

    Raises:
        UsageError: there is neither.
    """
    if error and error.strip():
        return error.strip()
    found = syntax.check(language, code)
    if not found.diagnostics:
        raise UsageError("the syntax has no error that could be seen: say what is wrong (--error)")
    return str(found.diagnostics[0])


def tokens_for(engine: Engine, code: str) -> int:
    """Return the token limit of a reply that rewrites a whole file."""
    n = len(engine.tokenize(Prompt(text=code)).token_ids)
    return n + n // 8 + _EXTRA_TOKENS


def make_fix(result: Code, original: str, *, file: str) -> Fix:
    """Return the patch from the original to the fixed code, with the original's line ends.

    Raises:
        OutputValidationError: nothing was changed, or the reply was truncated.
    """
    if result.finish_reason == "length":
        raise OutputValidationError(
            "the reply was cut, and a patch of it would lose the rest of the file "
            "(raise --max-tokens)",
            result=result,
        )
    new = as_written(result.text, original)
    diff = unified(file, original, new)
    if not diff:
        raise OutputValidationError("the model changed nothing", result=result)
    fields = {name: getattr(result, name) for name in result.__struct_fields__}
    return Fix(**{**fields, "text": new, "diff": diff})


def name_in_patch(file: str | Path) -> str:
    """Return the name of a file in its patch: its path from the root of its repository.

    `git apply` finds it from the root and from the file's folder, `patch -p1` from the root.
    Without a repository it is the path from the current folder, or the bare name outside of it.
    """
    path = Path(file).resolve()
    for folder in path.parents:
        if (folder / ".git").exists():
            return path.relative_to(folder).as_posix()
    here = Path.cwd().resolve()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.name


def as_written(code: str, original: str) -> str:
    """Return code with the line ends of the original, and a final one only if it has one.

    Example:
        >>> as_written("a\\nb\\n", "x\\r\\ny")
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


def back_up(path: Path) -> Path:
    """Copy a file to an unused name in its folder, and return the path of the copy.

    Raises:
        OutputError: the copy cannot be written.
    """
    for number in range(1, 1000):
        copy = path.with_name(f"{path.name}.orig{'' if number == 1 else number}")
        try:
            with open(copy, "xb") as file, open(path, "rb") as original:
                shutil.copyfileobj(original, file)
            shutil.copystat(path, copy)
        except FileExistsError:
            continue
        except OSError as exc:
            raise OutputError(f"{copy}: cannot be written: {exc.strerror}") from exc
        return copy
    raise OutputError(f"{path}: there are a thousand copies of it already")
