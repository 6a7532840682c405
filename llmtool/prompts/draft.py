"""A template file before it is checked: values, and the file and line of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NoReturn, TypeVar

import msgspec

from llmtool.errors import TemplateError
from llmtool.safe_yaml import Document, Path, load_document

T = TypeVar("T")
FORMAT = 1
_SEGMENT = re.compile(r"\.([^.\[]+)|\[(\d+)\]|(\[\.\.\.\])")
_MERGED_LISTS = ("examples", "tests")


class Draft:
    """A mapping read from one or more files. A part is named by the keys that lead to it."""

    def __init__(self, value: dict[str, object], source: str, places: dict[Path, _Place]) -> None:
        self.value = value
        self.source = source
        self._places = places

    def place_of(self, path: Path) -> tuple[str, int]:
        """Return file and line of a part, or of what it would be in."""
        while path and path not in self._places:
            path = path[:-1]
        place = self._places.get(path)
        return (place.source, place.line) if place else (self.source, 1)

    def start_of(self, path: Path) -> tuple[str, int]:
        """Return file and line at which the text of a part begins."""
        place = self._places.get(path)
        return (place.source, place.start) if place else self.place_of(path)

    def fail(self, path: Path, reason: str) -> NoReturn:
        source, line = self.place_of(path)
        raise TemplateError(f"{source}:{line}: {reason}")

    def over(self, parent: Draft) -> Draft:
        """Return this draft laid over its parent.

        Mappings merge, scalars and lists replace, `examples+` and `tests+` append. An output of
        another kind replaces the parent's.
        """
        merged = _Merge(parent, self)
        return Draft(merged.mapping((), parent.value, self.value), self.source, merged.places)

    def without(self, *keys: str) -> Draft:
        kept = {key: value for key, value in self.value.items() if key not in keys}
        return Draft(kept, self.source, self._places)

    def part(self, *path: str) -> Draft:
        """Return a mapping inside this one as a draft of its own."""
        value = _at(self.value, path)
        depth = len(path)
        places = {key[depth:]: at for key, at in self._places.items() if key[:depth] == path}
        return Draft(value if isinstance(value, dict) else {}, self.source, places)

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

        The key is found by keeping one entry of the mapping at a time until the message returns.
        """
        path: Path = ()
        value: object = self.value
        for name, index, anything in _SEGMENT.findall(where):
            if not anything:
                path = (*path, int(index) if index else name)
                continue
            here = _at(value, path)
            for key, part in here.items() if isinstance(here, dict) else ():
                trial = _with(value, path, {key: part})
                try:
                    msgspec.convert(trial, kind, strict=False)
                except msgspec.ValidationError as exc:
                    if str(exc) == message:
                        value, path = trial, (*path, key)
                        break
        return path


class _Place(msgspec.Struct, frozen=True):
    source: str
    line: int
    start: int


def read_draft(text: str, *, source: str) -> Draft:
    """Read a template file.

    Raises:
        TemplateError: it is not YAML, not a mapping, or of another format.
    """
    document = load_document(text, source=source)
    if not isinstance(document.value, dict):
        raise TemplateError(f"{source}:1: a template is a mapping with `llmtool: 1` at its top")
    draft = Draft(document.value, source, dict(_places(document)))
    if "llmtool" not in draft.value:
        draft.fail((), "a template begins with `llmtool: 1`, its format")
    if draft.value["llmtool"] != str(FORMAT):
        draft.fail(("llmtool",), f"this version of llmtool reads templates of format {FORMAT}")
    return draft


def _places(document: Document) -> Iterator[tuple[Path, _Place]]:
    for path, line in document.lines.items():
        yield path, _Place(document.source, line, document.start_of(path))


class _Merge:
    """Merges two drafts, and the places of what is kept of each."""

    def __init__(self, parent: Draft, child: Draft) -> None:
        self._parent = parent
        self._child = child
        self.places: dict[Path, _Place] = {}

    def mapping(
        self, path: Path, parent: dict[str, object], child: dict[str, object]
    ) -> dict[str, object]:
        result: dict[str, object] = {}
        for key in (*parent, *(key for key in child if key not in parent)):
            here = (*path, key)
            if key not in child:
                result[key] = parent[key]
                self._keep(self._parent, here, here)
                continue
            old, new = parent.get(key), child[key]
            if isinstance(old, dict) and isinstance(new, dict) and not _other_kind(here, old, new):
                self._keep(self._child, here, here, inner=False)
                result[key] = self.mapping(here, old, new)
            else:
                result[key] = new
                self._keep(self._child, here, here)
        if not path:
            self._append(result)
        return result

    def _append(self, result: dict[str, object]) -> None:
        for key in _MERGED_LISTS:
            more = result.get(f"{key}+")
            base = result.get(key, [])
            if not isinstance(more, list) or not isinstance(base, list):
                continue
            del result[f"{key}+"]
            result[key] = [*base, *more]
            self.places.setdefault((key,), self.places[(f"{key}+",)])
            for index in range(len(more)):
                self._keep(self._child, (f"{key}+", index), (key, len(base) + index))

    def _keep(self, draft: Draft, old: Path, new: Path, *, inner: bool = True) -> None:
        depth = len(old)
        for path, place in draft._places.items():
            if path == old or (inner and path[:depth] == old):
                self.places[(*new, *path[depth:])] = place


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
