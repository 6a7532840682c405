"""A template file before it is checked: values, and the file and line of each."""

from __future__ import annotations

import re
from typing import NoReturn, TypeVar

import msgspec

from llmtool.errors import TemplateError
from llmtool.safe_yaml import Document, Path, load_document

T = TypeVar("T")
FORMAT = 1
_SEGMENT = re.compile(r"\.([^.\[]+)|\[(\d+)\]|(\[\.\.\.\])")
_MERGED_LISTS = ("examples", "tests")


class Place:
    """Where a part of a file stands, and where the parts in it stand, by key or index."""

    __slots__ = ("source", "line", "start", "inner")

    def __init__(self, source: str, line: int, start: int) -> None:
        self.source = source
        self.line = line
        self.start = start  # the line at which its text begins
        self.inner: dict[str | int, Place] = {}


class Draft:
    """A mapping read from one or more files. A part is named by the keys that lead to it."""

    def __init__(self, value: dict[str, object], place: Place) -> None:
        self.value = value
        self.source = place.source
        self._place = place

    def place_of(self, path: Path) -> tuple[str, int]:
        """Return file and line of a part, or of what it would be in."""
        place, _ = self._nearest(path)
        return place.source, place.line

    def start_of(self, path: Path) -> tuple[str, int]:
        """Return file and line at which the text of a part begins."""
        place, is_it = self._nearest(path)
        return place.source, place.start if is_it else place.line

    def _nearest(self, path: Path) -> tuple[Place, bool]:
        place = self._place
        for key in path:
            if key not in place.inner:
                return place, False
            place = place.inner[key]
        return place, True

    def fail(self, path: Path, reason: str) -> NoReturn:
        source, line = self.place_of(path)
        raise TemplateError(f"{source}:{line}: {reason}")

    def over(self, parent: Draft) -> Draft:
        """Return this draft laid over its parent.

        Mappings merge, scalars and lists replace, `examples+` and `tests+` append. An output of
        another kind replaces the parent's.
        """
        value, place = _merge((), parent.value, parent._place, self.value, self._place)
        return Draft(value, place)

    def without(self, *keys: str) -> Draft:
        kept = {key: value for key, value in self.value.items() if key not in keys}
        return Draft(kept, self._place)

    def part(self, *path: str) -> Draft:
        """Return a mapping inside this one as a draft of its own."""
        value = _at(self.value, path)
        return Draft(value if isinstance(value, dict) else {}, self._nearest(path)[0])

    def count(self) -> int:
        """Return how many parts there are."""
        n, pending = 0, [self._place]
        while pending:
            inner = pending.pop().inner
            n += len(inner)
            pending += inner.values()
        return n

    def decode(self, kind: type[T]) -> T:
        """Return the value as `kind`; scalars take the type that their place asks for."""
        try:
            return msgspec.convert(self.value, kind, strict=False)
        except msgspec.ValidationError as exc:
            message = str(exc)
        self._explain(kind, message)

    def _explain(self, kind: type[object], message: str) -> NoReturn:
        """Raise TemplateError for what msgspec found."""
        from llmtool.prompts.nearest import choices_at, fields_at, nearest

        reason, _, where = message.partition(" - at ")
        path = self._locate(kind, message, where.strip("`")) if where else ()
        unknown = re.search(r"unknown field `(.*)`", reason)
        if unknown:
            key = unknown[1]
            self.fail((*path, key), f"unknown key {key!r}{nearest(key, fields_at(kind, path))}")
        missing = re.search(r"missing required field `(.*)`", reason)
        if missing:
            self.fail(path, f"{_dotted((*path, missing[1]))} is missing")
        choice = re.search(r"Invalid enum value '(.*)'", reason)
        if choice:
            known = choices_at(kind, path)
            hint = nearest(choice[1], known) or f" (there are: {', '.join(known)})"
            self.fail(path, f"{_dotted(path)}: {choice[1]!r} is not one of them{hint}")
        self.fail(path, f"{_dotted(path)}: {_plain(reason)}")

    def _locate(self, kind: type[object], message: str, where: str) -> Path:
        """Return the path that msgspec means; it writes `[...]` for the key of a mapping.

        The key is found by halving the mapping, and keeping the half with which the message
        returns.
        """
        path: Path = ()
        value: object = self.value
        for name, index, anything in _SEGMENT.findall(where):
            if not anything:
                path = (*path, int(index) if index else name)
                continue
            here = _at(value, path)
            here = here if isinstance(here, dict) else {}
            keys = list(here)
            while len(keys) > 1:
                half = keys[: len(keys) // 2]
                trial = _with(value, path, {key: here[key] for key in half})
                keys = half if _message(kind, trial) == message else keys[len(half) :]
            if keys:
                value, path = _with(value, path, {keys[0]: here[keys[0]]}), (*path, keys[0])
        return path


def _message(kind: type[object], value: object) -> str:
    """Return what msgspec finds wrong."""
    try:
        msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as exc:
        return str(exc)
    return ""


def read_draft(text: str, *, source: str) -> Draft:
    """Read a template file.

    Raises:
        TemplateError: it is not YAML, not a mapping, or of another format.
    """
    document = load_document(text, source=source)
    if not isinstance(document.value, dict):
        raise TemplateError(f"{source}:1: a template is a mapping with `llmtool: 1` at its top")
    draft = Draft(document.value, _places(document))
    if "llmtool" not in draft.value:
        draft.fail((), "a template begins with `llmtool: 1`, its format")
    if draft.value["llmtool"] != str(FORMAT):
        draft.fail(("llmtool",), f"this version of llmtool reads templates of format {FORMAT}")
    return draft


def _places(document: Document) -> Place:
    root = Place(document.source, 1, 1)
    for path, line in document.lines.items():  # what holds a part comes before it
        place = root
        for key in path[:-1]:
            place = place.inner[key]
        place.inner[path[-1]] = Place(document.source, line, document.start_of(path))
    return root


def _merge(
    path: Path,
    parent: dict[str, object],
    parent_place: Place,
    child: dict[str, object],
    child_place: Place,
) -> tuple[dict[str, object], Place]:
    """Return two mappings as one, and the places of what is kept of each."""
    place = Place(child_place.source, child_place.line, child_place.start)
    result: dict[str, object] = {}
    for key in (*parent, *(key for key in child if key not in parent)):
        here = (*path, key)
        old, new = parent.get(key), child.get(key)
        if key not in child:
            result[key], kept = old, parent_place.inner.get(key)
        elif isinstance(old, dict) and isinstance(new, dict) and not _other_kind(here, old, new):
            result[key], kept = _merge(
                here, old, parent_place.inner[key], new, child_place.inner[key]
            )
        else:
            result[key], kept = new, child_place.inner.get(key)
        if kept is not None:
            place.inner[key] = kept
    if not path:
        _append(result, place)
    return result, place


def _append(result: dict[str, object], place: Place) -> None:
    """Put the lists of `examples+` and `tests+` behind those of `examples` and `tests`."""
    for key in _MERGED_LISTS:
        more, base = result.get(f"{key}+"), result.get(key, [])
        if not isinstance(more, list) or not isinstance(base, list):
            continue
        added = place.inner.pop(f"{key}+")
        del result[f"{key}+"]
        result[key] = [*base, *more]
        first = place.inner.get(key, added)
        whole = place.inner[key] = Place(first.source, first.line, first.start)
        if first is not added:
            whole.inner.update(first.inner)
        for index, item in added.inner.items():
            whole.inner[len(base) + int(index)] = item


def _other_kind(path: Path, old: dict[str, object], new: dict[str, object]) -> bool:
    return path == ("output",) and old.keys() != new.keys()


def _at(value: object, path: Path) -> object:
    for key in path:
        if isinstance(value, dict):
            value = value[key]
        elif isinstance(value, list) and isinstance(key, int):
            value = value[key]
    return value


def _with(value: object, path: Path, part: object) -> object:
    """Return a copy of `value` in which `part` stands at `path`."""
    if not path:
        return part
    key, rest = path[0], path[1:]
    if isinstance(value, dict):
        return {**value, key: _with(value[key], rest, part)}
    assert isinstance(value, list) and isinstance(key, int)
    return [*value[:key], _with(value[key], rest, part), *value[key + 1 :]]


def _dotted(path: Path) -> str:
    return ".".join(map(str, path)) or "the template"


_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
}


def _plain(reason: str) -> str:
    """Say what msgspec says in words of YAML."""
    words = re.sub(r"`(\w+)( \| null)?", lambda m: _WORDS.get(m[1], m[1]), reason).replace("`", "")
    return words[0].lower() + words[1:]
