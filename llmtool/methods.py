"""Decorators for the methods of `Toolbox`: signatures with options, and asyncio variants."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

import msgspec

from llmtool.tasks import options as task_options
from llmtool.tasks.options import SamplingOptions

if TYPE_CHECKING:
    from llmtool.tasks.pipeline.context import TaskContext


class HasContext(Protocol):
    """An object whose methods can have asyncio variants."""

    @property
    def context(self) -> TaskContext: ...


F = TypeVar("F", bound=Callable[..., object])
P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=HasContext)


class _Unquoted(str):
    """An annotation that `help` shows without quotes."""

    __repr__ = str.__str__


def _unquoted(annotation: Any) -> Any:
    return _Unquoted(annotation) if isinstance(annotation, str) else annotation


def list_options(method: F) -> F:
    """Replace `**options` in a method's signature with the keyword arguments that it accepts.

    They are the fields of the struct `…Options` for an annotation `Unpack[…Keywords]`, which type
    checkers read.

    Example:
        >>> @list_options
        ... def reply(prompt: str, **options: Unpack[SamplingKeywords]) -> str: ...
        >>> str(inspect.signature(reply))[:46]
        '(prompt: str, *, max_tokens: int | None = None'
    """
    signature = inspect.signature(method)
    *parameters, keywords = signature.parameters.values()
    task = keywords.annotation.removeprefix("Unpack[").removesuffix("Keywords]")
    kind: type[msgspec.Struct] = getattr(task_options, f"{task}Options")
    for struct in (kind, SamplingOptions) if hasattr(kind, "sampling") else (kind,):
        defaults = struct()
        types = {
            name: text
            for base in reversed(struct.__mro__)
            for name, text in inspect.get_annotations(base).items()
        }
        parameters += [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=getattr(defaults, name),
                annotation=types[name],
            )
            for name in struct.__struct_fields__
            if name != "sampling"
        ]
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[each.replace(annotation=_unquoted(each.annotation)) for each in parameters],
        return_annotation=_unquoted(signature.return_annotation),
    )
    return method


def for_asyncio(
    method: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """Return the asyncio variant of a method, with the same arguments and result.

    Example: `asummarize = for_asyncio(summarize)`
    """

    @functools.wraps(method)
    async def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self.context.bridge.call(lambda: method(self, *args, **kwargs))

    call.__name__ = f"a{method.__name__}"
    call.__doc__ = (
        f"Run `{method.__name__}` for asyncio, in a thread; cancelling the asyncio task stops it."
        f"\n\n{inspect.getdoc(method)}"
    )
    return call


def stream_for_asyncio(
    method: Callable[Concatenate[S, P], Iterator[R]],
) -> Callable[Concatenate[S, P], AsyncIterator[R]]:
    """Return the asyncio variant of a method that yields events.

    Example: `astream_generate = stream_for_asyncio(stream_generate)`
    """

    @functools.wraps(method)
    def stream(self: S, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[R]:
        return self.context.bridge.stream(lambda: method(self, *args, **kwargs))

    stream.__name__ = f"a{method.__name__}"
    stream.__doc__ = f"Run `{method.__name__}` for asyncio.\n\n{inspect.getdoc(method)}"
    signature = inspect.signature(method)
    returned = _unquoted(f"Async{signature.return_annotation}")
    stream.__signature__ = signature.replace(return_annotation=returned)  # type: ignore[attr-defined]
    return stream
