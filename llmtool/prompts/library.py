"""Look up templates: by path, in the user's folders, then among the built-in ones.

The current directory is searched only if a path names it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llmtool.errors import TemplateError
from llmtool.prompts.raw_template import (
    EXTENDS,
    NAME,
    NAME_RULE,
    RawTemplate,
    read_raw_template,
)
from llmtool.safe_yaml import MAX_CHARACTERS
from llmtool.suggest import suggest

if TYPE_CHECKING:
    from llmtool.prompts.template import Template

MAX_EXTENDS = 8
SUFFIXES = (".yaml", ".yml")


def built_in_folder() -> Path:
    """Return the folder of the built-in templates: in the package, or next to it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    shipped = package / "_prompts"
    return shipped if shipped.is_dir() else package.parent / "prompts"


class Library:
    """Templates of the user's folders in order, followed by the built-in ones."""

    def __init__(self, user_folders: Sequence[Path] = ()) -> None:
        self.folders = (*user_folders, built_in_folder())

    def load(self, template: str | Template) -> Template:
        """Load and validate a template, merged with those that it extends.

        A name with a path separator or the suffix `.yaml` is a path. A `Template` is returned
        unchanged.

        Raises:
            TemplateError: the template is unknown (similar names are suggested) or not valid.
        """
        import msgspec

        from llmtool.prompts.template import Template, build

        if isinstance(template, Template):
            return template
        lineage = self.lineage(template)
        files = tuple(str(path) for path, _ in lineage)
        return msgspec.structs.replace(build(merge(lineage)), files=files)

    def read(self, name_or_path: str) -> RawTemplate:
        """Read a template merged with those that it extends, without validating it."""
        return merge(self.lineage(name_or_path))

    def lineage(self, name_or_path: str) -> list[tuple[Path, RawTemplate]]:
        """Return the file of a template, followed by those that it extends, nearest first."""
        path = self.find(name_or_path)
        raw = read_file(path)
        if is_path(name_or_path):
            return self._extended(path, raw, [path.resolve()], self.folders)
        if raw.value.get("name") != path.stem:
            raw.fail(("name",), f"name: must be {path.stem!r}, as the file is {path.name}")
        return self._extended(path, raw, [path.resolve()], self._after(path))

    def find(self, name_or_path: str) -> Path:
        """Return the file of a template."""
        if is_path(name_or_path):
            return Path(name_or_path)
        return self._find(name_or_path, self.folders)

    def has(self, name_or_path: str) -> bool:
        """Whether the file of a template exists."""
        try:
            return os.path.isfile(self.find(name_or_path))
        except TemplateError:
            return False

    def names(self) -> list[str]:
        """Return the names of all templates, sorted."""
        return sorted({path.stem for folder in self.folders for path in _files(folder)})

    def users(self) -> list[str]:
        """Return the names of the templates in the user's folders, sorted."""
        return sorted({path.stem for folder in self.folders[:-1] for path in _files(folder)})

    def is_built_in(self, path: Path) -> bool:
        return path.parent == self.folders[-1]

    def overridden_by(self, path: Path) -> Path | None:
        """Return the template of the same name that this one overrides, or None."""
        try:
            return self._find(path.stem, self._after(path))
        except TemplateError:
            return None

    def _find(self, name: str, folders: Sequence[Path]) -> Path:
        if not re.fullmatch(NAME, name):
            raise TemplateError(
                f"{name!r} is not a valid template name: {NAME_RULE}; "
                "a path contains / or ends in .yaml"
            )
        for folder in folders:
            for suffix in SUFFIXES:
                path = folder / (name + suffix)
                if _is_inside(path, folder):
                    return path
        hint = suggest(name, self.names(), cutoff=0.65) or "; `llmtool prompts ls` lists them"
        if os.path.isdir(name):
            hint = f"; for the files of the directory, use {name}/*.yaml"
        raise TemplateError(f"unknown template {name!r}{hint}")

    def _after(self, path: Path) -> Sequence[Path]:
        """Return the folders after that of a file, which may contain a template it overrides."""
        for index, folder in enumerate(self.folders):
            if path.parent == folder:
                return self.folders[index + 1 :]
        return self.folders

    def _extended(
        self, path: Path, raw: RawTemplate, seen: list[Path], below: Sequence[Path]
    ) -> list[tuple[Path, RawTemplate]]:
        """Return a template file and those that it extends.

        A template that extends its own name extends the one that it overrides, in `below`.
        """
        parent_name = raw.value.get("extends")
        if parent_name is None:
            return [(path, raw)]
        if not isinstance(parent_name, str):
            raw.fail(("extends",), "extends: must be the name of a template")
        own = parent_name == raw.value.get("name")
        try:
            if is_path(parent_name):
                above = _find_beside(path, parent_name)
            else:
                above = self._find(parent_name, below if own else self.folders)
        except TemplateError as exc:
            raw.fail(("extends",), f"extends: {exc}")
        if above.resolve() in seen:
            chain = " -> ".join(file.stem for file in [*seen, above])
            raw.fail(("extends",), f"extends: circular reference ({chain})")
        if len(seen) == MAX_EXTENDS:
            raw.fail(("extends",), f"extends: more than {MAX_EXTENDS} levels")
        parents = self._extended(
            above, read_file(above), [*seen, above.resolve()], self._after(above)
        )
        return [(path, raw), *parents]


def merge(lineage: Sequence[tuple[Path, RawTemplate]]) -> RawTemplate:
    """Merge each template over those that it extends."""
    *children, (_, whole) = lineage
    for _, raw in reversed(children):
        whole = raw.over(whole.without("name", "tuned")).without("extends")
    return whole


def _find_beside(path: Path, name: str) -> Path:
    """Return the file in the folder of another one."""
    if not re.fullmatch(EXTENDS, name):
        raise TemplateError(f"{name!r} is not a name, or a file in this folder such as ./base.yaml")
    found = path.parent / name
    if not _is_inside(found, path.parent):
        raise TemplateError(f"{name} not found in the folder of this file")
    return found


def is_path(name: str) -> bool:
    """Whether the name of a template is a path."""
    separators = [os.sep, os.altsep] if os.altsep else [os.sep]
    return name.endswith(SUFFIXES) or any(separator in name for separator in separators)


def read_file(path: Path) -> RawTemplate:
    """Read a template file.

    Raises:
        TemplateError: the file cannot be read, is too large, or is not UTF-8 or not YAML.
    """
    return read_raw_template(read_text(path), source=str(path))


def read_text(path: Path) -> str:
    """Read the text of a template file.

    Raises:
        TemplateError: the file cannot be read, is too large, or is not UTF-8.
    """
    try:
        if os.path.isdir(path):
            raise TemplateError(f"{path} is a directory; use {path}/*.yaml")
        if not os.path.isfile(path):
            raise TemplateError(f"{path}: no such file")
        if path.stat().st_size > 4 * MAX_CHARACTERS:
            raise TemplateError(f"{path}: longer than {MAX_CHARACTERS:,} characters")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as exc:
        raise TemplateError(f"cannot read {path}: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise TemplateError(f"{path}: not UTF-8 at byte {exc.start}") from exc
    except ValueError as exc:
        raise TemplateError(f"{str(path)!r} is not a valid path") from exc


def _files(folder: Path) -> Iterator[Path]:
    try:
        paths = list(folder.iterdir())
    except OSError:
        return
    for path in paths:
        named = path.suffix in SUFFIXES and re.fullmatch(NAME, path.stem)
        if named and _is_inside(path, folder):
            yield path


def _is_inside(path: Path, folder: Path) -> bool:
    """Whether a file exists and is in the folder after following symbolic links."""
    try:
        return os.path.isfile(path) and path.resolve().is_relative_to(folder.resolve())
    except OSError:
        return False
