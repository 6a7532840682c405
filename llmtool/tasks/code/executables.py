"""Where the programs are that a task runs: never in the current folder."""

from __future__ import annotations

import os
import shutil


def find_program(name: str) -> str | None:
    """Return the place of a program of the user's own, or None.

    A relative or empty place on PATH would run a file of the current folder, whoever put it there:
    such places are passed over, and what comes after them counts. Windows looks there first all the
    same, hence the look at what was found. PATH is read here, as whoever starts a program does.
    """
    places = [place for place in os.get_exec_path() if os.path.isabs(place)]
    found = shutil.which(name, path=os.pathsep.join(places)) if places else None
    return found if found is not None and os.path.isabs(found) else None
