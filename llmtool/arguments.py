"""Check the types of the arguments of public functions, by their annotations."""

from __future__ import annotations

import ast
import functools
import inspect
import math
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple, TypeVar, cast, get_args, get_origin

from llmtool.errors import UsageError
from llmtool.file_kinds import Dialect, Format
from llmtool.option_names import known_names, option, show_value
from llmtool.suggest import suggest

F = TypeVar("F", bound=Callable[..., Any])

_ALIASES = {
    "CaseValues": "str | Mapping[str, Any]",
    "Format": f"Literal[{', '.join(map(repr, get_args(Format)))}]",
    "Dialect": f"Literal[{', '.join(map(repr, get_args(Dialect)))}]",
    "Effort": "Literal['low', 'medium', 'high']",
    "GenerateKeywords": "Mapping[str, Any]",
    "KVType": "Literal['f16', 'q8_0']",
    "Labels": "Iterable[str] | Mapping[str, str] | type[L]",
    "OverflowPolicy": "Literal['summarize', 'drop']",
    "Style": "Literal['paragraph', 'bullets', 'headline', 'tldr']",
    "Strategy": "Literal['extract', 'write', 'stuff']",
    "OnNote": "Callable[[str], None]",
    "OnDownload": "Callable[[int, int], None]",
    "OnProgress": "Callable[[float, float], None]",
}
_CLASSES = {"Template", "Session", "Reader", "BatchOptions", "Request", "Settings", "Folders"}
_CLASSES |= {"Cancellation"}
_DESCRIPTIONS = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "True or False",
    "None": "None",
    "Mapping": "a mapping",
    "tuple": "a pair of strings",
    "Callable": "a function",
    "type": "a class",
    "PathLike": "a path",
}


_SIMILAR = 0.81  # of a misspelled option, which `formality` is not of `format`
_EXAMPLES = {"length": "50 words"}


class _Type(NamedTuple):
    """One alternative of an annotation: `Sequence[str]` has the `item` `str`."""

    head: str
    item: str = ""
    values: tuple[object, ...] = ()


def checked(function: F, reject: Callable[[str], UsageError | None] | None = None) -> F:
    """Return a function that checks its arguments by the annotations of its signature.

    `reject` returns the error for a keyword that is not in the signature, None if it is valid; by
    default, all are valid if the function has `**keywords`, else none.

    Numbers and strings of other libraries, such as numpy, become Python's. The items of an iterator
    are checked when they are read.

    Example:
        >>> @checked
        ... def greet(name: "str", n: "int" = 1) -> str:
        ...     return "Hello " * n + name
        >>> greet("Ada", n=True)
        Traceback (most recent call last):
        llmtool.errors.UsageError: n=True: must be an integer
    """
    parameters = inspect.signature(function).parameters
    named = {
        each.name: each.annotation
        for each in parameters.values()
        if each.kind is not each.VAR_KEYWORD
    }

    def reject_any(name: str) -> UsageError | None:
        known = [each for each in named if each != "self"]
        return unknown_option(name, known) if len(named) == len(parameters) else None

    find_error = reject or reject_any

    def check(name: str, value: object) -> object:
        if name not in named and (error := find_error(name)) is not None:
            raise error
        annotation = named.get(name, inspect.Parameter.empty)
        if annotation is inspect.Parameter.empty:  # `self`, and other keywords
            return value
        return check_argument(name, value, annotation)

    def check_all(*args: Any, **kwargs: Any) -> tuple[list[object], dict[str, object]]:
        positional = [check(*pair) for pair in zip(named, args, strict=False)]
        return positional, {name: check(name, value) for name, value in kwargs.items()}

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        positional, keywords = check_all(*args, **kwargs)
        return function(*positional, *args[len(named) :], **keywords)

    call.check_arguments = check_all  # type: ignore[attr-defined]
    return cast(F, call)


def unknown_option(
    name: str,
    known: Sequence[str],
    *,
    positional: Sequence[str] = (),
    instead: Callable[[str], str] = lambda _: "",
) -> UsageError:
    """Return the error for a keyword argument that a function does not have.

    Args:
        name: the keyword.
        known: the keywords that it has.
        positional: the names of other arguments.
        instead: returns what to do instead of passing `name`, or our name of it; "" if unknown.

    Example:
        >>> unknown_option("num_ctx", ["n_ctx", "n_threads"])
        UsageError("unknown option 'num_ctx'; did you mean 'n_ctx'?")
    """
    hint = ""
    for ours in (*known_names(name), name):
        hint = hint or (f"did you mean {ours!r}?" if ours in (*known, *positional) else "")
        hint = hint or instead(ours)
    if not hint:
        longer = [each for each in known if each.startswith(f"{name}_")]
        near = suggest(name, longer, n=2, cutoff=0) or suggest(name, known, cutoff=_SIMILAR)
        hint = near.removeprefix("; ") or f"valid options: {', '.join(known)}"
    return UsageError(f"unknown option {name!r}; {hint}")


def check_argument(name: str, value: object, annotation: str) -> object:
    """Return a value that the annotation accepts.

    Raises:
        UsageError: it does not; the message says what is accepted.
    """
    types = _parse(annotation)
    for kind in types:
        matches, found = _match(name, value, kind)
        if matches:
            return found
    raise UsageError(
        f"{option(name, value)}: must be {_describe(types)}{_hint(name, value, types)}",
        option=name,
    )


def check_range(
    name: str,
    value: float,
    low: float | None = None,
    high: float | None = None,
    *,
    above: float | None = None,
) -> None:
    """Check that a number is at least `low`, at most `high` and above `above`.

    Raises:
        UsageError: it is not.

    Example:
        >>> check_range("temperature", -1, 0, 100)
        Traceback (most recent call last):
        llmtool.errors.UsageError: temperature=-1: must be between 0 and 100
    """
    if (
        (low is None or value >= low)
        and (high is None or value <= high)
        and (above is None or value > above)
    ):
        return
    limits = f"above {above}" if above is not None else f"at least {low}"
    if high is not None:
        limits = f"at most {high}" if low is None else f"between {low} and {high}"
    raise UsageError(f"{option(name, value)}: must be {limits}{_not_nan(value)}", option=name)


def _not_nan(value: object) -> str:
    return ", not nan" if value != value else ""


def _match(name: str, value: object, kind: _Type) -> tuple[bool, object]:
    """Return whether a value has a type, and the value to use."""
    head = kind.head
    if head == "str":
        is_str = isinstance(value, str)
        return is_str, str.__str__(value) if is_str else value
    if head == "bool":
        return isinstance(value, bool), value
    if head == "int":
        is_int = isinstance(value, Integral) and not isinstance(value, bool)
        return is_int, operator.index(cast(int, value)) if is_int else value
    if head == "float":
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if is_number and not isinstance(value, int):
            value = float(cast(Real, value))
        return is_number and not math.isnan(cast(float, value)), value
    if head == "None":
        return value is None, value
    if head == "Literal":
        return isinstance(value, str) and value in kind.values, value
    if head == "Mapping":
        if not isinstance(value, Mapping):
            return False, value
        return True, _check_entries(name, value, kind.item)
    if head == "tuple":
        is_pair = isinstance(value, (list, tuple)) and len(value) == 2
        return is_pair and all(isinstance(each, str) for each in cast(list[str], value)), value
    if head == "PathLike":
        return isinstance(value, os.PathLike), value
    if head == "type":
        return isinstance(value, type) or get_origin(value) is Literal, value
    if head == "Callable":
        return callable(value), value
    if head in ("Iterable", "Iterator", "Sequence"):
        wanted = Sequence if head == "Sequence" else Iterable
        if isinstance(value, (str, bytes, bytearray, Mapping, type)) or get_origin(value):
            return False, value
        if not isinstance(value, wanted):
            return False, value
        return True, _check_items(name, value, kind.item)
    if head in _CLASSES:
        return any(each.__name__ == head for each in type(value).__mro__), value
    return True, value  # protocols and types of other libraries, which the task checks


def _check_items(name: str, values: Iterable[object], annotation: str) -> Iterable[object]:
    checked = (check_argument(f"{name}[{n}]", value, annotation) for n, value in enumerate(values))
    if isinstance(values, (list, tuple)):
        return type(values)(checked) if type(values) in (list, tuple) else values
    return checked if isinstance(values, Iterator) else list(checked)


def _check_entries(name: str, values: Mapping[object, object], annotation: str) -> object:
    keys, _, item = annotation.strip("()").partition(", ")
    known = {"str": "strings", "int | str": "integers or strings"}.get(keys, "")
    for key in values:
        if known and not any(_match(name, key, kind)[0] for kind in _parse(keys)):
            message = f"{option(name)} has the key {show_value(key)}; keys must be {known}"
            raise UsageError(message, option=name)
    return {
        key: check_argument(f"{name}[{show_value(key)}]", value, item or "Any")
        for key, value in values.items()
    }


@lru_cache(maxsize=256)
def _parse(annotation: str) -> tuple[_Type, ...]:
    """Return the alternatives of an annotation."""
    return tuple(_alternatives(ast.parse(annotation, mode="eval").body))


def _alternatives(node: ast.expr) -> Iterator[_Type]:
    if isinstance(node, ast.BinOp):
        yield from _alternatives(node.left)
        yield from _alternatives(node.right)
        return
    inner = node.slice if isinstance(node, ast.Subscript) else None
    name = node.value if isinstance(node, ast.Subscript) else node
    head = ast.unparse(name).rpartition(".")[2]
    if isinstance(name, ast.Constant) and isinstance(name.value, str):  # a quoted annotation
        yield from _parse(name.value)
    elif head in _ALIASES:
        yield from _parse(_ALIASES[head])
    elif head == "Literal" and inner is not None:
        items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        for item in items:
            if isinstance(item, ast.Constant):
                yield _Type("Literal", values=(item.value,))
            else:
                yield from _alternatives(item)
    else:
        yield _Type(head, item="" if inner is None else ast.unparse(inner))


def _describe(types: Sequence[_Type]) -> str:
    words = []
    for kind in types:
        if kind.head == "Literal":
            words.append(repr(*kind.values))
        elif kind.head in ("Iterable", "Iterator", "Sequence"):
            items = " or ".join(
                {"str": "strings", "Mapping": "mappings", "tuple": "pairs"}.get(each.head, "")
                for each in _parse(kind.item)
            )
            one = "a list" if kind.head == "Sequence" else "a list or iterator"
            words.append(f"{one} of {items}" if items.strip(" or") else one)
        elif kind.head in _DESCRIPTIONS:
            words.append(_DESCRIPTIONS[kind.head])
        elif kind.head in _CLASSES:
            words.append(f"a {kind.head}")
    *rest, last = dict.fromkeys(words)
    return f"{', '.join(rest)} or {last}" if rest else last


_TO_UNPACK = "to translate a Word document or EPUB book, pass llmtool.documents.packages.unpack"


def _is_message(value: object) -> bool:
    """Return whether a value is a message of a conversation, or a list of messages."""
    first = value[0] if isinstance(value, (list, tuple)) and value else value
    return "role" in first if isinstance(first, Mapping) else hasattr(first, "role")


def _hint(name: str, value: object, types: Sequence[_Type]) -> str:
    if not any(kind.head == "str" for kind in types):
        return _not_nan(value) if isinstance(value, Real) else ""
    if name in _EXAMPLES:
        return f", such as {_EXAMPLES[name]!r}"
    if name.startswith("prompt") and _is_message(value):
        return "; for a conversation, pass messages="
    if isinstance(value, os.PathLike):
        if "template" in name or name in ("session", "file"):
            return "; pass str(path)"
        if name.startswith("text") and os.fsdecode(value).endswith((".docx", ".epub")):
            return f"; {_TO_UNPACK}(path.read_bytes())"
        return "; for the text of the file, pass path.read_text()"
    if isinstance(value, (bytes, bytearray)):
        if name.startswith("text") and value.startswith(b"PK\x03\x04"):
            return f"; {_TO_UNPACK}(…)"
        return "; decode it first, for example with .decode('utf-8')"
    return ""
