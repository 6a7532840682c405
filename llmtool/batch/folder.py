"""Find the text files in a folder that match glob patterns."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from llmtool.encoding import detect_encoding
from llmtool.errors import InputError, UsageError, os_error_reason
from llmtool.file_kinds import PDF, SAMPLE_BYTES, name_binary
from llmtool.option_names import option

_MAX_FILES: Final = 10_000
_MAX_ENTRIES: Final = 200_000  # that are looked at
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_MAX_ALTERNATIVES = 100


class FoundFiles(msgspec.Struct, frozen=True, kw_only=True):
    """The paths of text files, and the paths and kinds of other matching files."""

    paths: list[str]
    skipped: list[tuple[str, str]]


def find_files(folder: str, patterns: Sequence[str], *, reads_pdf: bool = False) -> FoundFiles:
    """Return the text files in a folder and its subfolders that match a pattern, in sorted order.

    A pattern without a slash matches file names, and one with a slash paths relative to the folder,
    where `**` matches any number of folders. `{md,txt}` matches either. A pattern that starts with
    `!` excludes files and folders. Hidden files and folders and symbolic links to folders are not
    searched; other symbolic links, empty files and files that are not text are skipped.

    Args:
        reads_pdf: do not skip PDF documents.

    Raises:
        UsageError: a pattern is empty.
        InputError: no file matches, or too many.

    Example:
        >>> import os, pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pathlib.Path(folder, "a.md").write_text("text")
        ...     [os.path.basename(path) for path in find_files(folder, ["*.md"]).paths]
        4
        ['a.md']
    """
    chosen = [each for pattern in patterns if pattern[:1] != "!" for each in _parse(pattern)]
    excluded = [each for pattern in patterns if pattern[:1] == "!" for each in _parse(pattern[1:])]
    paths: list[str] = []
    skipped: list[tuple[str, str]] = []
    for parts, path, problem in _walk(folder, excluded):
        if chosen and parts and not any(_matches(parts, pattern) for pattern in chosen):
            continue
        problem = problem or _find_problem(path, reads_pdf=reads_pdf)
        if problem:
            skipped.append((path, problem))
        else:
            paths.append(path)
        if len(paths) > _MAX_FILES:
            raise InputError(
                f"{folder}: more than {_MAX_FILES:,} files match; narrow {option('glob')}"
            )
    return FoundFiles(paths=sorted(paths), skipped=sorted(skipped))


def _walk(folder: str, excluded: list[list[str]]) -> Iterator[tuple[list[str], str, str]]:
    """Yield the parts of the relative path of each file, its path, and a problem, if any.

    A folder that cannot be read is yielded without parts.
    """
    n_entries = 0
    pending: list[list[str]] = [[]]  # folders
    while pending:
        above = pending.pop()
        place = os.path.join(folder, *above)
        try:
            with os.scandir(place) as found:
                entries = list(found)
        except OSError as exc:
            if not above:
                raise InputError(f"cannot read {folder}: {os_error_reason(exc)}") from exc
            yield [], place, os_error_reason(exc)
            continue
        n_entries += len(entries)
        if n_entries > _MAX_ENTRIES:
            raise InputError(f"{folder}: more than {_MAX_ENTRIES:,} files; name a smaller folder")
        for entry in entries:
            parts = [*above, entry.name]
            if entry.name.startswith(".") or any(_matches(parts, each) for each in excluded):
                continue
            if entry.is_dir(follow_symlinks=False):
                pending.append(parts)
            elif not entry.is_symlink():
                yield parts, entry.path, ""
            elif not entry.is_dir():
                yield parts, entry.path, "a symbolic link"


def _find_problem(path: str, *, reads_pdf: bool) -> str:
    """Return what a file is if it cannot be read as text, else an empty string."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return "not a regular file"
        with open(path, "rb") as file:
            start = file.read(SAMPLE_BYTES)
    except OSError as exc:
        return os_error_reason(exc)
    if not start:
        return "empty"
    kind = None if detect_encoding(start) else name_binary(start)
    return "" if kind is None or (kind == PDF and reads_pdf) else kind


def _parse(pattern: str) -> list[list[str]]:
    """Return the parts of a pattern, without braces: `docs/*.{md,txt}` is two patterns.

    Raises:
        UsageError: the pattern is empty, or has too many alternatives.
    """
    alternatives = [pattern.removeprefix("./").lstrip("/")]
    while found := [_BRACES.search(each) for each in alternatives]:
        if not any(found):
            break
        alternatives = [
            each[: match.start()] + choice + each[match.end() :] if match else each
            for each, match in zip(alternatives, found, strict=True)
            for choice in (match[1].split(",") if match else [""])
        ]
        if len(alternatives) > _MAX_ALTERNATIVES:
            raise UsageError(
                f"{option('glob')} {pattern!r}: more than {_MAX_ALTERNATIVES} alternatives"
            )
    if not all(alternatives):
        raise UsageError(
            f"{option('glob')} {pattern!r}: must not be empty; use a pattern such as '*.md'"
        )
    return [
        [*("**" for _ in range("/" not in each)), *(part or "**" for part in each.split("/"))]
        for each in alternatives
    ]


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a path match those of a pattern; `**` matches any number of parts."""
    reachable = {0}  # positions in the pattern
    for part in ["", *parts]:
        following = set()
        for position in reachable:
            if part and position < len(pattern):
                if pattern[position] == "**":
                    following.add(position)
                elif fnmatchcase(part, pattern[position]):
                    following.add(position + 1)
        reachable = following if part else reachable
        for position in sorted(reachable):
            while position < len(pattern) and pattern[position] == "**":
                position += 1
                reachable.add(position)
    return len(pattern) in reachable
