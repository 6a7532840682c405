"""llama.cpp's C API from llama-cpp-python; the only importer of `llama_cpp`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import threading
from collections import deque
from functools import lru_cache
from types import ModuleType
from typing import Any

from llmtool.errors import EngineError

# From llama.cpp's log levels to Python's. Its warnings are for developers, so they become INFO.
_LOG_LEVELS = {1: 10, 2: 10, 3: 20, 4: 30}
_OMP_PAUSE_SOFT = 1
_importing = threading.Lock()
_FUNCTION = re.compile(r"^[a-z]+(_[a-z0-9]+)+: +")  # the C++ function that logs


def bindings() -> ModuleType:
    """Return the C API, imported once, without its package.

    `import llama_cpp` also imports numpy, jinja2 and diskcache and takes 154 ms; the bindings alone
    take 44 ms. The placeholder package is removed from `sys.modules` afterwards, so that a program
    can also import the real `llama_cpp`.
    """
    with _importing:  # `lru_cache` would import it once per thread
        return _import_bindings()


@lru_cache(maxsize=1)
def _import_bindings() -> ModuleType:
    loaded = sys.modules.get("llama_cpp")
    if loaded is not None:
        module = importlib.import_module("llama_cpp.llama_cpp")
        module._llmtool_errors = deque()  # type: ignore[attr-defined]  # the package has its own log callback
        return module
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or not spec.submodule_search_locations:
        raise EngineError("llama-cpp-python is not installed; run: pip install llama-cpp-python")
    package = ModuleType("llama_cpp")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["llama_cpp"] = package
    # OpenMP reads this variable once. On a busy machine, threads that spin while they wait for a
    # slower one take its CPU time (4 tok/s instead of 20). On an idle machine, spinning less makes
    # no measurable difference.
    set_by_user = os.environ.get("GOMP_SPINCOUNT")
    os.environ.setdefault("GOMP_SPINCOUNT", "4000")
    try:
        module = importlib.import_module("llama_cpp.llama_cpp")
    except (OSError, RuntimeError) as exc:
        raise EngineError(f"cannot load llama.cpp: {exc}") from exc
    finally:
        if set_by_user is None:
            del os.environ["GOMP_SPINCOUNT"]
        for name in [n for n in list(sys.modules) if n.split(".")[0] == "llama_cpp"]:
            del sys.modules[name]
    _start_backend(module)
    return module


def _start_backend(lib: Any) -> None:
    errors: deque[str] = deque(maxlen=20)

    @lib.llama_log_callback  # type: ignore[untyped-decorator]
    def log(level: int, text: bytes, _data: object) -> None:
        line = text.decode("utf-8", "replace").rstrip()
        if level == 4 and line:
            errors.append(line)
        # Importing logging takes 7 ms, so only use it if the program has imported it. `getattr`,
        # because another thread may be importing it now.
        get_logger = getattr(sys.modules.get("logging"), "getLogger", None)
        if line and get_logger is not None:
            logger = get_logger("llmtool")
            if logger.hasHandlers():  # without handlers, Python prints warnings on stderr
                logger.log(_LOG_LEVELS.get(level, 10), "llama.cpp: %s", line)

    lib._llmtool_log = log  # llama.cpp stores the pointer
    lib._llmtool_errors = errors
    lib.llama_log_set(log, None)
    lib.llama_backend_init()
    _prepare_forks(lib)


def _prepare_forks(lib: Any) -> None:
    """End OpenMP's threads before a fork: GNU's library would wait for them in the child."""
    lib._llmtool_is_forked = False
    if not hasattr(os, "register_at_fork"):
        return

    def after_in_child() -> None:
        lib._llmtool_is_forked = True

    os.register_at_fork(after_in_child=after_in_child)
    pause = getattr(lib._lib, "omp_pause_resource_all", None)  # None: not built with OpenMP
    if pause is not None:
        os.register_at_fork(before=lambda: pause(_OMP_PAUSE_SOFT))


def library_version() -> str:
    """Return the version of llama.cpp."""
    return bytes(bindings().llama_version()).decode("utf-8", "replace")


def clear_errors() -> None:
    """Clear llama.cpp's recorded errors, so that `last_error` reports only later ones."""
    bindings()._llmtool_errors.clear()


def last_error() -> str:
    """Return the reason that llama.cpp has logged since `clear_errors`, or an empty string.

    The first line has the reason; later lines report that the callers failed too.
    """
    errors: deque[str] = bindings()._llmtool_errors
    for line in errors:
        _, found, reason = line.partition("error loading model: ")
        if found:
            return reason
    reason = errors[0] if errors else ""
    return " ".join(_FUNCTION.sub("", reason, count=1).split())
