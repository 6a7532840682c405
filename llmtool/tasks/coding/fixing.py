"""Mended code as a patch of the file that it comes from."""

from __future__ import annotations

from llmtool.errors import ContractError, UsageError
from llmtool.tasks.coding.diffs import unified
from llmtool.tasks.coding.results import Code, Fix
from llmtool.text import syntax
from llmtool.text.code_languages import CodeLanguage


def error_of(code: str, error: str | None, language: CodeLanguage | None) -> str:
    """Return what is wrong with code: what its author says, else what its syntax says.

    Raises:
        UsageError: nobody says anything.
    """
    if error and error.strip():
        return error.strip()
    found = syntax.check(language, code)
    if not found.diagnostics:
        raise UsageError("the syntax has no error that could be seen: say what is wrong (--error)")
    return str(found.diagnostics[0])


def make_fix(result: Code, original: str, *, file: str) -> Fix:
    """Return the patch from the original to mended code, in the line ends of the original.

    Raises:
        ContractError: nothing was changed.
    """
    new = as_written(result.text, original)
    diff = unified(file, original, new)
    if not diff:
        raise ContractError("the model changed nothing", result=result)
    fields = {name: getattr(result, name) for name in result.__struct_fields__}
    return Fix(**{**fields, "text": new, "diff": diff})


def as_written(code: str, original: str) -> str:
    """Return code with the line ends of a file, and a last one where the file has one.

    Example:
        >>> as_written("a\\nb\\n", "x\\r\\ny")
        'a\\r\\nb'
    """
    code = code.replace("\r\n", "\n")
    if original and not original.endswith("\n"):
        code = code.rstrip("\n")
    n_lines = original.count("\n")
    if n_lines and original.count("\r\n") * 2 > n_lines:
        code = code.replace("\n", "\r\n")
    return code
