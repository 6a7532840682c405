"""Decorators for the methods of `Toolbox`: signatures with options, and asyncio variants."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

import msgspec

from llmtool.arguments import check_argument, checked
from llmtool.errors import UsageError
from llmtool.tasks.options import SamplingOptions, annotations_of, unknown_task_option
from llmtool.tasks.streams import AsyncStream, Limit, Stream, make_limit, read_within

if TYPE_CHECKING:
    from llmtool.tasks.pipeline.context import TaskContext


class HasContext(Protocol):
    """An object whose methods can have asyncio variants."""

    @property
    def context(self) -> TaskContext: ...


F = TypeVar("F", bound=Callable[..., object])
P = ParamSpec("P")
E = TypeVar("E")
R = TypeVar("R")
S = TypeVar("S", bound=HasContext)
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


class _Unquoted(str):
    """An annotation that `help` shows without quotes."""

    __repr__ = str.__str__


def _unquoted(annotation: Any) -> Any:
    return _Unquoted(annotation) if isinstance(annotation, str) else annotation


def list_options(kind: type[msgspec.Struct]) -> Callable[[F], F]:
    """Return a decorator that replaces `**options` in a signature with the fields of a struct.

    The method then also checks the types of its arguments, and has the option `timeout`.

    Example:
        >>> import inspect
        >>> from llmtool.tasks.options import SamplingOptions
        >>> @list_options(SamplingOptions)
        ... def reply(prompt: str, **options: object) -> str: ...
        >>> str(inspect.signature(reply))[:46]
        '(prompt: str, *, max_tokens: int | None = None'
    """
    options = []
    for struct in (kind, SamplingOptions) if hasattr(kind, "sampling") else (kind,):
        defaults = struct()
        types = annotations_of(struct)
        options += [
            inspect.Parameter(
                name,
                _KEYWORD,
                default=getattr(defaults, name),
                annotation=_Unquoted(types[name]),
            )
            for name in struct.__struct_fields__
            if name != "sampling"
        ]
    annotation = _Unquoted("float | None")
    timeout = inspect.Parameter("timeout", _KEYWORD, default=None, annotation=annotation)

    def with_options(method: F) -> F:
        signature = inspect.signature(method)
        *parameters, _ = signature.parameters.values()
        own = [each.name for each in parameters if each.kind is _KEYWORD]
        known = list(dict.fromkeys([*(each.name for each in options), *own, timeout.name]))
        positional = [each.name for each in parameters if each.kind is not _KEYWORD][1:]

        def reject(name: str) -> UsageError | None:
            if name in known:
                return None
            return unknown_task_option(name, kind, known, positional=positional)

        method = checked(method, reject)
        if timeout.name in own:
            added = options
        else:
            method, added = with_timeout(method), [*options, timeout]
        method.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[
                *(each.replace(annotation=_unquoted(each.annotation)) for each in parameters),
                *added,
            ],
            return_annotation=_unquoted(signature.return_annotation),
        )
        return method

    return with_options


def with_timeout(method: F) -> F:
    """Return a method with the option `timeout`, the time limit of its result in seconds.

    If it returns a stream or an iterator, the limit is for all of it.

    Raises:
        TimeoutExpired: the result is not complete in time.
    """

    @functools.wraps(method)
    def call(self: HasContext, /, *args: Any, timeout: object = None, **kwargs: Any) -> object:
        if timeout is None:
            return method(self, *args, **kwargs)
        limit = make_limit(self.context.cancellation, timeout)
        with limit:
            result = method(self, *args, **kwargs)
        if isinstance(result, Stream):
            return result.within(limit)
        return read_within(limit, result) if isinstance(result, Iterator) else result

    return cast(F, call)


def _pop_limit(self: HasContext, keywords: dict[str, Any]) -> Limit:
    return make_limit(self.context.cancellation, keywords.pop("timeout", None))


def for_asyncio(
    method: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """Return the asyncio variant of a method, with the same arguments and result.

    Example: `asummarize = for_asyncio(summarize)`
    """

    @functools.wraps(method)
    async def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with _pop_limit(self, kwargs):
            return await self.context.bridge.call(lambda: method(self, *args, **kwargs))

    _document(call, method, "{}; cancelling the asyncio task stops it")
    return call


def stream_for_asyncio(
    method: Callable[Concatenate[S, P], Stream[E, R]],
) -> Callable[Concatenate[S, P], AsyncStream[E, R]]:
    """Return the asyncio variant of a method that returns a stream.

    Example: `astream_generate = stream_for_asyncio(stream_generate)`
    """

    result_type = str(inspect.signature(method).return_annotation).split(", ")[-1].split("[")[0]

    @functools.wraps(method)
    def stream(self: S, /, *args: P.args, **kwargs: P.kwargs) -> AsyncStream[E, R]:
        limit = _pop_limit(self, kwargs)
        method.check_arguments(self, *args, **kwargs)  # type: ignore[attr-defined]
        start = lambda: method(self, *args, **kwargs)  # noqa: E731
        return AsyncStream(self.context.bridge, start, limit, of=result_type.rstrip("]"))

    signature = _document(stream, method, "{}")
    returned = _unquoted(f"Async{signature.return_annotation}")
    stream.__signature__ = signature.replace(return_annotation=returned)  # type: ignore[attr-defined]
    return stream


def each_for_asyncio(
    method: Callable[Concatenate[S, Iterator[str], P], Iterator[R]],
) -> Callable[Concatenate[S, Iterable[str], P], AsyncIterator[R]]:
    """Return the asyncio variant of a method for many texts, which yields results in order.

    Example: `asummarize_each = each_for_asyncio(summarize)`
    """

    @functools.wraps(method)
    def stream(
        self: S, texts: Iterable[str], /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncIterator[R]:
        items = cast("Iterable[str]", check_argument("texts", texts, "Iterable[str]"))
        limit = _pop_limit(self, kwargs)
        return self.context.bridge.stream(lambda: method(self, iter(items), *args, **kwargs), limit)

    stream.__name__ += "_each"
    signature = _document(stream, method, "{} on many texts; yield each result when it is ready")
    this, _, *others = signature.parameters.values()
    kind = inspect.Parameter.POSITIONAL_ONLY
    texts = inspect.Parameter("texts", kind, annotation=_Unquoted("Iterable[str]"))
    result, *_ = signature.return_annotation.split(" | ")
    stream.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[this.replace(kind=kind), texts, *others],
        return_annotation=_Unquoted(f"AsyncIterator[{result}]"),
    )
    return stream


def _document(variant: Any, method: Callable[..., object], summary: str) -> inspect.Signature:
    """Set the name and docstring of an asyncio variant; return the method's signature."""
    summary = summary.format(f"Run `{method.__name__}` for asyncio")
    variant.__name__ = f"a{variant.__name__}"
    variant.__doc__ = f"{summary}.\n\n{inspect.getdoc(method)}"
    return inspect.signature(method)
