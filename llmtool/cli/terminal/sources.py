"""Inputs that the user named which are not files: folders and URLs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmtool.cli.terminal.console import Console
from llmtool.errors import InputError, UsageError

if TYPE_CHECKING:
    from llmtool.web.page import Page

_MAX_LISTED = 5  # skipped files


def is_url(name: str) -> bool:
    """Whether the name of an input is a URL, of any scheme."""
    scheme, separator, _ = name.partition("://")
    return bool(separator) and scheme.replace("+", "").isalnum()


def expand(
    console: Console,
    names: Sequence[str],
    patterns: Sequence[str],
    *,
    offline: bool,
    reads_pdf: bool = True,
) -> list[str]:
    """Return the names of inputs, with the files of a folder that match instead of the folder.

    A note reports the files, and those that are skipped.

    Raises:
        UsageError: there are patterns without a folder; or a URL is not valid, or cannot be read
            offline.
        InputError: a folder is named without a pattern, or no file matches.
    """
    found: list[str] = []
    has_folder = False
    for name in names:
        if is_url(name):
            check_url(name, offline=offline)
        if name == "-" or is_url(name) or not os.path.isdir(name):
            found.append(name)
            continue
        has_folder = True
        if not patterns:
            raise InputError(
                f"{name} is a directory; to read its text files, add --glob '*' or another pattern"
            )
        found += _find_files(console, name, patterns, reads_pdf=reads_pdf)
    if patterns and not has_folder:
        raise UsageError(f"--glob {patterns[0]!r}: needs a directory; pass one with -f DIR")
    return found


def _find_files(
    console: Console, folder: str, patterns: Sequence[str], *, reads_pdf: bool
) -> list[str]:
    from importlib.util import find_spec

    from llmtool.batch.folder import find_files
    from llmtool.sizes import format_count

    reads_pdf = reads_pdf and find_spec("pypdf") is not None
    found = find_files(folder, patterns, reads_pdf=reads_pdf)
    listed = [f"{path} ({kind})" for path, kind in found.skipped[:_MAX_LISTED]]
    if more := len(found.skipped) - len(listed):
        listed.append(f"{more} more")
    skipped = f"skipped {', '.join(listed)}" if listed else ""
    if not found.paths:
        wanted = ", ".join(patterns)
        reason = skipped or "check the pattern, which is case-sensitive"
        raise InputError(f"{folder}: no text file matches --glob {wanted!r}; {reason}")
    n_files = format_count(len(found.paths), "file")
    console.note(f"reading {n_files} in {folder}{f'; {skipped}' if skipped else ''}")
    return found.paths


def check_url(url: str, *, offline: bool) -> None:
    """Check a URL that the user named.

    Raises:
        UsageError: it is not a valid http or https URL, or `offline` is set.
    """
    from llmtool.web.page import check_url

    check_url(url)
    if offline:
        raise UsageError(
            f"{url}: cannot read a URL in offline mode; omit --offline (or unset LLMTOOL_OFFLINE), "
            "or pass a file"
        )


def fetch(console: Console, url: str, *, offline: bool) -> Page:
    """Return the content of a URL that the user named; a note reports redirects to other hosts.

    Raises:
        UsageError, DownloadError, InputError, ContextOverflow: as `llmtool.web.page.fetch`.
        Cancelled: a signal was received.
        TimeoutExpired: the time limit was reached.
    """
    from llmtool.web import page

    check_url(url, offline=offline)
    console.status(f"reading {url}")
    try:
        return page.fetch(
            url,
            on_redirect=lambda host: console.note(f"{url} redirects to {host}"),
            check=console.interrupts.check,
        )
    finally:
        console.status("")
