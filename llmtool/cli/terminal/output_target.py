"""The file that a result replaces, as it was when `-o` was checked."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from llmtool.errors import OutputError
from llmtool.temporary import TemporaryFile


class OutputTarget(NamedTuple):
    """The file of a name at one time; later, the name may lead to another one.

    `empty` has the device and inode of a file without content, which needs no `overwrite`.
    """

    path: Path  # without symbolic links
    is_link: bool
    mode: int | None  # None if the file does not exist
    empty: tuple[int, int] | None
    overwrite: bool

    @property
    def is_special(self) -> bool:
        """Whether it is written in place: a FIFO or a device."""
        return self.mode is not None and not stat.S_ISREG(self.mode)

    def save(self, file: TemporaryFile, name: str) -> None:
        """Rename a complete file to the target.

        Raises:
            OutputError: the target was created meanwhile; the file is saved beside it.
            OSError: it cannot be renamed.
        """
        if self.overwrite or (self.empty is not None and _find_empty(self.path) == self.empty):
            file.rename(self.path)
            return
        number = 0
        while True:
            suffix = f".new{number if number > 1 else ''}" if number else ""
            beside = self.path.with_name(self.path.name + suffix)
            try:
                file.rename(beside, replace=False)
                break
            except FileExistsError:
                number += 1
        if number:
            raise OutputError(
                f"{name} was created by another program meanwhile and is unchanged; the result is "
                f"in {beside}"
            )


def find_target(name: str, *, overwrite: bool) -> OutputTarget:
    """Return the file that a name leads to, which may not exist."""
    path = Path(os.path.realpath(name))
    try:
        mode = path.stat().st_mode
    except OSError:
        mode = None
    return OutputTarget(path, os.path.islink(name), mode, _find_empty(path), overwrite)


def _find_empty(path: Path) -> tuple[int, int] | None:
    try:
        state = path.lstat()
    except OSError:
        return None
    is_empty = stat.S_ISREG(state.st_mode) and not state.st_size
    return (state.st_dev, state.st_ino) if is_empty else None
