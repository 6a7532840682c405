"""Reset objects in a forked child process, which has none of its parent's other threads."""

from __future__ import annotations

import os
import sys
import threading
from functools import cached_property
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """An object with locks, threads or native memory."""

    def after_fork(self) -> None:
        """Give up, in a child process, what belongs to the parent."""
        ...


_objects: WeakSet[Forkable] = WeakSet()


def call_after_fork(each: Forkable) -> None:
    """Call `each.after_fork()` in every forked child, as long as the object exists."""
    _objects.add(each)


def _reset() -> None:
    _reset_cached_properties()
    for each in list(_objects):
        each.after_fork()


def _reset_cached_properties() -> None:
    """Replace the locks that `cached_property` has before Python 3.12: a thread may hold one."""
    if sys.version_info >= (3, 12):
        return
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "llmtool":
            for kind in [each for each in vars(module).values() if isinstance(each, type)]:
                for attribute in vars(kind).values():
                    if isinstance(attribute, cached_property):
                        attribute.lock = threading.RLock()  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset)
