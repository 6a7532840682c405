"""What a server supports: which program it runs, its models, and their limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from llmtool.config import Kind
from llmtool.engine.openai.connection import Connection
from llmtool.engine.openai.endpoint import Endpoint
from llmtool.engine.openai.errors import Fatal, Retryable, shorten
from llmtool.errors import LlmtoolError, ModelNotFound, UsageError
from llmtool.option_names import option
from llmtool.suggest import suggest

_MAX_SHOWN = 8  # models in an error
_MAX_NAME = 500  # characters
_PROBE_ATTEMPTS = 2
ConstraintKind = Literal["json_schema", "regex", "gbnf"]
ConstraintField = Literal[
    "response_format", "json_object", "structured_outputs", "grammar", "regex"
]

_LLAMA_CPP_SAMPLING = {
    "top_k": "top_k",
    "min_p": "min_p",
    "typical_p": "typical_p",
    "repeat_penalty": "repeat_penalty",
    "repeat_last_n": "repeat_last_n",
    "dry_multiplier": "dry_multiplier",
    "dry_base": "dry_base",
    "dry_allowed_length": "dry_allowed_length",
    "xtc_probability": "xtc_probability",
    "xtc_threshold": "xtc_threshold",
}
_COMMON = {"top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repeat_penalty"}
_VLLM = {"top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repetition_penalty"}


class Features(msgspec.Struct, frozen=True, kw_only=True):
    """What a program supports beyond the options that all have.

    - `sampling` has the server's names of our sampling options.
    - `constraints` are the kinds of constraints that it enforces while it decodes, with the field
      of the body for each. `strict_subset`: it enforces only schemas of OpenAI's subset.
    - `choices`: a request may have several, of which each has a seed of its own.
    - `prefill`: a last message of the assistant is continued, and with "repeat" is a part of the
      reply; "flags" are vLLM's. "" asks the model to begin so, and removes it from the reply.
    - `thinking` is how reasoning is switched: by `reasoning_effort`, by a variable of the chat
      template, or by Ollama's `think`.
    - `tokenize` is the API that counts tokens; "" if there is none.
    - `bias_by_text`: a key of `logit_bias` may be the text of a token.
    - `suffix`: completions fill in the middle.
    - `scoring` is how given texts are scored: by `/v1/scores`, as a prompt that completions echo,
      or by walking over their tokens; "top-k" if only the most likely tokens are reported.
    - `ids`: a prompt may be a list of token ids.
    """

    sampling: Mapping[str, str] = {}
    constraints: Mapping[ConstraintKind, ConstraintField] = msgspec.field(
        default_factory=lambda: {"json_schema": "response_format"}
    )
    strict_subset: bool = False
    choices: bool = False
    prefill: Literal["", "message", "repeat", "flags"] = ""
    thinking: Literal["effort", "template", "think"] = "effort"
    tokenize: Literal["", "llama.cpp", "vllm"] = ""
    max_tokens: str = "max_tokens"
    max_stop: int | None = None
    bias_by_text: bool = False
    suffix: bool = False
    scoring: Literal["scores", "echo", "walk", "top-k"] = "top-k"
    ids: bool = False


FEATURES: Mapping[Kind, Features] = {
    "llmtool": Features(
        sampling=_LLAMA_CPP_SAMPLING,
        constraints={
            "json_schema": "response_format",
            "regex": "structured_outputs",
            "gbnf": "structured_outputs",
        },
        choices=True,
        prefill="message",
        tokenize="vllm",
        bias_by_text=True,
        suffix=True,
        scoring="scores",
        ids=True,
    ),
    "llama.cpp": Features(
        sampling=_LLAMA_CPP_SAMPLING,
        constraints={"json_schema": "response_format", "regex": "grammar", "gbnf": "grammar"},
        prefill="repeat",
        thinking="template",
        tokenize="llama.cpp",
        scoring="walk",
        ids=True,
    ),
    "llama-cpp-python": Features(
        sampling=_COMMON,
        constraints={"json_schema": "json_object", "regex": "grammar", "gbnf": "grammar"},
    ),
    "vllm": Features(
        sampling=_VLLM,
        constraints={
            "json_schema": "response_format",
            "regex": "structured_outputs",
            "gbnf": "structured_outputs",
        },
        choices=True,
        prefill="flags",
        thinking="template",
        tokenize="vllm",
        scoring="echo",
        ids=True,
    ),
    "sglang": Features(
        sampling=_VLLM,
        constraints={"json_schema": "response_format", "regex": "regex"},
        prefill="flags",
        thinking="template",
        ids=True,
    ),
    "lmstudio": Features(sampling={"top_k": "top_k", "repeat_penalty": "repeat_penalty"}),
    "ollama": Features(
        sampling={
            name: name
            for name in ("top_k", "min_p", "typical_p", "repeat_penalty", "repeat_last_n")
        },
        prefill="message",
        suffix=True,
        thinking="think",
    ),
    "openai": Features(
        choices=True, strict_subset=True, max_tokens="max_completion_tokens", max_stop=4
    ),
    "other": Features(),
}
# What programs say of who owns their models.
_OWNERS: Mapping[str, Kind] = {
    "llmtool": "llmtool",
    "llamacpp": "llama.cpp",
    "vllm": "vllm",
    "sglang": "sglang",
    "library": "ollama",
    "organization_owner": "lmstudio",
    "me": "llama-cpp-python",
}


class ServedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model of a server; `n_ctx` is None if it is not reported.

    `about` has what identifies its weights, such as their number and size, and `rejected` the
    fields of requests that it does not support.
    """

    name: str
    n_ctx: int | None = None
    n_ctx_train: int | None = None
    n_params: int = 0
    about: str = ""
    rejected: tuple[str, ...] = ()


class ServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The program that a server runs, and its models; None if it does not list them."""

    kind: Kind
    models: tuple[ServedModel, ...] | None

    @property
    def features(self) -> Features:
        return FEATURES[self.kind]

    def find(self, endpoint: Endpoint, name: str) -> ServedModel:
        """Return a model; an empty name is the only one, and a file is found by its name alone.

        Raises:
            ModelNotFound: the server does not have it.
            UsageError: the name is empty, and the server has several models, or does not list them.
        """
        if self.models is None:
            if not name:
                given = option("model", f"{endpoint.name}:MODEL")
                raise UsageError(
                    f"{endpoint.name}: the server does not list its models; name one with {given}"
                )
            return ServedModel(name=name)
        names = [each.name for each in self.models]
        if not name and len(names) == 1:
            return self.models[0]
        for each in self.models:
            # Ollama lists `name:latest`.
            if each.name == name or each.name == f"{name}:latest":
                return msgspec.structs.replace(each, name=name)
        of_files = [each for each in self.models if name and _stem(each.name) == _stem(name)]
        if len(of_files) == 1:
            return of_files[0]
        shown = ", ".join(map(shorten, names[:_MAX_SHOWN])) or "none"
        shown += ", …" if len(names) > _MAX_SHOWN else ""
        if not name:
            raise UsageError(f"{endpoint.name}: name one of the models of the server: {shown}")
        hint = suggest(name, names) or f"; models: {shown}"
        raise ModelNotFound(f"{endpoint.name} has no model {name!r}{hint}")


def _stem(name: str) -> str:
    """Return the name of a model file without its folder and ending; other names as they are.

    Example:
        >>> _stem("/models/tiny.gguf"), _stem("org/name")
        ('tiny', 'org/name')
    """
    return name.replace("\\", "/").rpartition("/")[2][:-5] if name.endswith(".gguf") else name


async def detect(connection: Connection, name: str = "") -> ServerInfo:
    """Return what a server says of itself, and of the model that will be used.

    Raises:
        LlmtoolError: it cannot be reached, or rejects the key.
    """
    endpoint = connection.endpoint
    try:
        document = await connection.retry(
            lambda: connection.fetch("GET", f"{endpoint.base_url}/models"),
            n_attempts=_PROBE_ATTEMPTS,
            is_limited=False,
        )
    except UsageError:  # it has no list
        document = None
    listed = document.get("data") if isinstance(document, dict) else document
    entries = (
        [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    )
    kind = _find_kind(endpoint, entries)
    models: tuple[ServedModel, ...] | None = None
    if isinstance(listed, list):
        models = tuple(_read_model(each) for each in entries if _is_name(each.get("id")))
    if kind == "ollama":
        models = await _ollama_models(connection, name) or models
    if kind == "llama.cpp" and models is not None and len(models) == 1:
        n_ctx = await _slot_length(connection)
        models = (msgspec.structs.replace(models[0], n_ctx=n_ctx or models[0].n_ctx),)
    return ServerInfo(kind=kind, models=models)


def _find_kind(endpoint: Endpoint, entries: list[dict[str, Any]]) -> Kind:
    if endpoint.kind != "auto":
        return endpoint.kind
    owners = {str(each.get("owned_by", "")) for each in entries[:_MAX_SHOWN]}
    found = next((kind for owner, kind in _OWNERS.items() if owner in owners), None)
    if found is not None:
        return found
    return guess_kind(endpoint)


def guess_kind(endpoint: Endpoint) -> Kind:
    """Return the program of a server, as far as it is known without a request."""
    if endpoint.kind != "auto":
        return endpoint.kind
    is_openai = endpoint.host.partition(":")[0].endswith("api.openai.com")
    return "openai" if is_openai else "other"


def _read_model(entry: dict[str, Any]) -> ServedModel:
    meta = entry.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    about = {name: entry[name] for name in ("root", "parent") if entry.get(name)}
    about |= {name: meta[name] for name in ("n_vocab", "n_params", "size") if meta.get(name)}
    n_ctx = _positive(entry.get("max_model_len")) or _positive(meta.get("n_ctx"))
    return ServedModel(
        name=entry["id"],
        n_ctx=n_ctx,
        n_ctx_train=_positive(meta.get("n_ctx_train")),
        n_params=_positive(meta.get("n_params")) or 0,
        about=repr(sorted(about.items(), key=str)) if about else "",
    )


async def _slot_length(connection: Connection) -> int | None:
    """Return the context length of one request of llama-server, which divides its context."""
    props = await try_fetch(connection, "/props")
    settings = props.get("default_generation_settings")
    return _positive(settings.get("n_ctx")) if isinstance(settings, dict) else None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_NAME and value.isprintable()


async def _ollama_models(connection: Connection, name: str) -> tuple[ServedModel, ...]:
    """Return the models with digests, and the longest context of the one that will be used."""
    tags = await try_fetch(connection, "/api/tags")
    entries = tags.get("models")
    found = [
        ServedModel(name=each["name"], about=str(each.get("digest", "")))
        for each in (entries if isinstance(entries, list) else [])
        if isinstance(each, dict) and _is_name(each.get("name"))
    ]
    for i, each in enumerate(found):
        if each.name in (name, f"{name}:latest") or len(found) == 1:
            shown = await try_fetch(connection, "/api/show", {"model": each.name})
            details = shown.get("model_info")
            details = details if isinstance(details, dict) else {}
            length = details.get(f"{details.get('general.architecture')}.context_length")
            found[i] = msgspec.structs.replace(
                each,
                n_ctx=_positive(length),
                n_params=_positive(details.get("general.parameter_count")) or 0,
            )
    return tuple(found)


async def try_fetch(connection: Connection, path: str, body: object = None) -> dict[str, Any]:
    """Return the document at a path of the server, {} if there is none."""
    method = "GET" if body is None else "POST"
    try:
        document = await connection.fetch(method, connection.endpoint.root + path, body)
    except (LlmtoolError, Fatal, Retryable):  # it may be off
        return {}
    return document if isinstance(document, dict) else {}


def _positive(value: object) -> int | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and value > 0 else None  # type: ignore[operator,return-value]
