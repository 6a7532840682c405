"""Find the folders for configuration, data and caches.

Callers pass the environment. Imports no msgspec, which would take half of the time of a completion.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from llmtool.errors import UsageError

# Replaces the home folder of a user without HOME and without an account, as in a container.
NO_HOME = Path("/nonexistent")


class Folders(NamedTuple):
    """The folders for configuration, data and caches, which may not exist yet."""

    config: Path
    data: Path
    cache: Path
    hub_cache: Path
    more_prompts: tuple[Path, ...] = ()
    runtime: Path | None = None

    @property
    def sockets(self) -> Path:
        """The folder of the sockets of running servers."""
        return self.runtime or self.cache / "run"

    @property
    def config_file(self) -> Path:
        return self.config / "config.toml"

    @property
    def prompts(self) -> Path:
        return self.config / "prompts"

    @property
    def prompt_folders(self) -> tuple[Path, ...]:
        """The folders of the user's templates, in order of precedence."""
        return (*self.more_prompts, self.prompts)


def find_folders(environ: Mapping[str, str]) -> Folders:
    """Return the folders of the current user, following the platform's conventions.

    `LLMTOOL_CONFIG_DIR`, `LLMTOOL_DATA_DIR`, `LLMTOOL_CACHE_DIR` and `LLMTOOL_RUNTIME_DIR` override
    them.
    `LLMTOOL_PROMPTS` lists template folders that take precedence over the user's. The Hub cache
    follows `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `HF_HOME` and `XDG_CACHE_HOME`, as in
    huggingface_hub, except that an empty variable counts as unset.

    Raises:
        UsageError: a variable names the home folder of an unknown user.
    """
    import platformdirs

    def folder(variable: str, find: Callable[[str, Literal[False]], str]) -> Path:
        if given := environ.get(variable):
            return _expanded(given, variable)
        try:
            return Path(find("llmtool", False)).expanduser()
        except RuntimeError:
            return NO_HOME / "llmtool"

    home = environ.get("HOME") or os.path.expanduser("~")
    cache = environ.get("XDG_CACHE_HOME") or Path(NO_HOME if home == "~" else home, ".cache")
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if given := environ.get(name):
            hub = _expanded(given, name)
            break
    else:
        hf_home = environ.get("HF_HOME")
        base = hf_home or str(Path(cache, "huggingface"))
        hub = _expanded(base, "HF_HOME" if hf_home else "XDG_CACHE_HOME") / "hub"
    return Folders(
        config=folder("LLMTOOL_CONFIG_DIR", platformdirs.user_config_dir),
        data=folder("LLMTOOL_DATA_DIR", platformdirs.user_data_dir),
        cache=folder("LLMTOOL_CACHE_DIR", platformdirs.user_cache_dir),
        hub_cache=hub,
        more_prompts=tuple(
            _expanded(path, "LLMTOOL_PROMPTS")
            for path in environ.get("LLMTOOL_PROMPTS", "").split(os.pathsep)
            if path
        ),
        runtime=_runtime_folder(environ),
    )


def _runtime_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the folder of sockets in the one that the system makes for each login, if it does."""
    if given := environ.get("LLMTOOL_RUNTIME_DIR"):
        return _expanded(given, "LLMTOOL_RUNTIME_DIR")
    parent = environ.get("TMPDIR" if sys.platform == "darwin" else "XDG_RUNTIME_DIR")
    return Path(parent, "llmtool") if parent else None


def _expanded(text: str, variable: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(
            f"home folder in {text!r} not found; check the user name in {variable}"
        ) from None
