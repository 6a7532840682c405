"""llama.cpp's C API through llama-cpp-python: the only importer of `llama_cpp`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from functools import lru_cache
from types import ModuleType
from typing import Any

from llmtool.errors import EngineError

# llama.cpp's levels as Python's. Its warnings speak to developers, so they are information here.
_LOG_LEVELS = {1: 10, 2: 10, 3: 20, 4: 30}
_recent_errors: list[str] = []
_FUNCTION = re.compile(r"^[a-z]+(_[a-z0-9]+)+: +")  # where in llama.cpp, which users do not know


@lru_cache(maxsize=1)
def bindings() -> ModuleType:
    """Return the C API, imported without the package around it.

    `import llama_cpp` pulls in numpy, jinja2 and diskcache (154 ms); the bindings alone take 44.
    The bare package is taken out of `sys.modules` again, so that a program which uses both this
    library and the real `llama_cpp` gets the real one.
    """
    loaded = sys.modules.get("llama_cpp")
    if loaded is not None:
        return importlib.import_module("llama_cpp.llama_cpp")
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or not spec.submodule_search_locations:
        raise EngineError("llama-cpp-python is not installed (pip install llama-cpp-python)")
    package = ModuleType("llama_cpp")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["llama_cpp"] = package
    # OpenMP reads this when it is loaded. Threads that wait for a slower one spin, and starve it
    # where other programs are busy (4 tok/s instead of 20 were seen). Spinning less costs nothing
    # measurable on a quiet machine.
    chosen = os.environ.get("GOMP_SPINCOUNT")
    os.environ.setdefault("GOMP_SPINCOUNT", "4000")
    try:
        module = importlib.import_module("llama_cpp.llama_cpp")
    except (OSError, RuntimeError) as exc:
        raise EngineError(f"llama.cpp's library cannot be loaded: {exc}") from exc
    finally:
        if chosen is None:
            del os.environ["GOMP_SPINCOUNT"]
        for name in [n for n in list(sys.modules) if n.split(".")[0] == "llama_cpp"]:
            del sys.modules[name]
    _start_backend(module)
    return module


def _start_backend(lib: Any) -> None:
    @lib.llama_log_callback  # type: ignore[untyped-decorator]
    def log(level: int, text: bytes, _data: object) -> None:
        line = text.decode("utf-8", "replace").rstrip()
        if level == 4 and line:
            _recent_errors.append(line)
            del _recent_errors[:-20]
        logging = sys.modules.get("logging")  # not imported: nobody listens, and 7 ms saved
        if line and logging is not None:
            logger = logging.getLogger("llmtool")
            if logger.hasHandlers():  # without one, Python writes warnings to stderr
                logger.log(_LOG_LEVELS.get(level, 10), "llama.cpp: %s", line)

    lib._llmtool_log = log  # llama.cpp keeps the pointer: the closure must live as long
    lib.llama_log_set(log, None)
    lib.llama_backend_init()


def library_version() -> str:
    """Return llama.cpp's own version."""
    return bytes(bindings().llama_version()).decode("utf-8", "replace")


def forget_errors() -> None:
    """Forget llama.cpp's error lines, so that `last_error` speaks of what comes now."""
    _recent_errors.clear()


def last_error() -> str:
    """Return why llama.cpp failed since `forget_errors`, or an empty string.

    Its first line says why; those after it say that the callers failed as well.
    """
    for line in _recent_errors:
        _, mark, reason = line.partition("error loading model: ")
        if mark:
            return reason
    reason = _recent_errors[0] if _recent_errors else ""
    return " ".join(_FUNCTION.sub("", reason, count=1).split())
