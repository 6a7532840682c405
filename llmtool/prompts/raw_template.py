"""A parsed template file before validation, with the file and line of each value."""

from __future__ import annotations

from typing import NoReturn, TypeVar

from llmtool.errors import TemplateError
from llmtool.safe_yaml import Document, Path, load_document

T = TypeVar("T")
FORMAT = 1
NAME = r"[a-z0-9][a-z0-9_-]*"
EXTENDS = rf"{NAME}|\./{NAME}\.ya?ml"  # a name, or a file in the same folder
NAME_RULE = "use lower-case letters, digits, - and _, starting with a letter or digit"
_MERGED_LISTS = ("examples", "tests")


class Position:
    """The position of a value in a file, and of the values inside it by key or index."""

    __slots__ = ("source", "line", "start", "inner")

    def __init__(self, source: str, line: int, start: int) -> None:
        self.source = source
        self.line = line
        self.start = start  # the first line of its text
        self.inner: dict[str | int, Position] = {}


class RawTemplate:
    """A mapping read from one or more files. A `Path` of keys addresses a value in it."""

    def __init__(self, value: dict[str, object], position: Position) -> None:
        self.value = value
        self.source = position.source
        self._position = position

    def position_of(self, path: Path) -> tuple[str, int]:
        """Return the file and line of a value, or of the nearest mapping if it is missing."""
        position, _ = self._find(path)
        return position.source, position.line

    def start_of(self, path: Path) -> tuple[str, int]:
        """Return the file and line at which the text of a value begins."""
        position, found = self._find(path)
        return position.source, position.start if found else position.line

    def _find(self, path: Path) -> tuple[Position, bool]:
        position = self._position
        for key in path:
            if key not in position.inner:
                return position, False
            position = position.inner[key]
        return position, True

    def fail(self, path: Path, reason: str) -> NoReturn:
        source, line = self.position_of(path)
        raise TemplateError(f"{source}:{line}: {reason}")

    def over(self, parent: RawTemplate) -> RawTemplate:
        """Return this template merged over its parent.

        Mappings are merged, scalars and lists replaced, `examples+` and `tests+` appended. An
        output of another kind replaces the parent's.
        """
        value, position = _merge((), parent.value, parent._position, self.value, self._position)
        return RawTemplate(value, position)

    def without(self, *keys: str) -> RawTemplate:
        rest = {key: value for key, value in self.value.items() if key not in keys}
        return RawTemplate(rest, self._position)

    def part(self, *path: str) -> RawTemplate:
        """Return the mapping at a path in this one, empty if there is none."""
        value: object = self.value
        for key in path:
            value = value[key] if isinstance(value, dict) else None
        return RawTemplate(value if isinstance(value, dict) else {}, self._find(path)[0])

    def count(self) -> int:
        """Count the values, nested ones included."""
        n, pending = 0, [self._position]
        while pending:
            inner = pending.pop().inner
            n += len(inner)
            pending += inner.values()
        return n

    def decode(self, kind: type[T]) -> T:
        """Convert the value to `kind`; scalars are converted to the type of their field."""
        import msgspec

        try:
            return msgspec.convert(self.value, kind, strict=False)
        except msgspec.ValidationError as exc:
            message = str(exc)
        from llmtool.prompts.validation_errors import explain

        self.fail(*explain(self.value, kind, message))


def read_raw_template(text: str, *, source: str) -> RawTemplate:
    """Read a template file.

    Raises:
        TemplateError: the text is not YAML, not a mapping, or has another format version.
    """
    document = load_document(text, source=source)
    if not isinstance(document.value, dict):
        raise TemplateError(
            f"{source}:1: not a template: must be a mapping that starts with `llmtool: 1`"
        )
    raw = RawTemplate(document.value, _positions(document))
    if "llmtool" not in raw.value:
        raw.fail((), "add `llmtool: 1` (the format version)")
    if raw.value["llmtool"] != str(FORMAT):
        raw.fail(
            ("llmtool",),
            f"llmtool: unsupported format version; this llmtool reads version {FORMAT}",
        )
    return raw


def _positions(document: Document) -> Position:
    root = Position(document.source, 1, 1)
    for path, line in document.lines.items():  # a mapping comes before its values
        position = root
        for key in path[:-1]:
            position = position.inner[key]
        position.inner[path[-1]] = Position(document.source, line, document.start_of(path))
    return root


def _merge(
    path: Path,
    parent: dict[str, object],
    parent_position: Position,
    child: dict[str, object],
    child_position: Position,
) -> tuple[dict[str, object], Position]:
    """Merge two mappings and their positions."""
    position = Position(child_position.source, child_position.line, child_position.start)
    result: dict[str, object] = {}
    for key in (*parent, *(key for key in child if key not in parent)):
        inner_path = (*path, key)
        old, new = parent.get(key), child.get(key)
        if key not in child:
            result[key], source = old, parent_position.inner.get(key)
        elif (
            isinstance(old, dict)
            and isinstance(new, dict)
            and not _other_kind(inner_path, old, new)
        ):
            result[key], source = _merge(
                inner_path, old, parent_position.inner[key], new, child_position.inner[key]
            )
        else:
            result[key], source = new, child_position.inner.get(key)
        if source is not None:
            position.inner[key] = source
    if not path:
        _append(result, position)
    return result, position


def _append(result: dict[str, object], position: Position) -> None:
    """Append `examples+` and `tests+` to `examples` and `tests`."""
    for key in _MERGED_LISTS:
        more, base = result.get(f"{key}+"), result.get(key, [])
        if not isinstance(more, list) or not isinstance(base, list):
            continue
        added = position.inner.pop(f"{key}+")
        del result[f"{key}+"]
        result[key] = [*base, *more]
        first = position.inner.get(key, added)
        whole = position.inner[key] = Position(first.source, first.line, first.start)
        if first is not added:
            whole.inner.update(first.inner)
        for index, item in added.inner.items():
            whole.inner[len(base) + int(index)] = item


def _other_kind(path: Path, old: dict[str, object], new: dict[str, object]) -> bool:
    return path == ("output",) and old.keys() != new.keys()
