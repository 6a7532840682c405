"""From a request to the body that the API expects.

What the user asks for and the server cannot do is an error before anything is sent
(`check_supported`). Penalties of a template and constraints that a task sets are not sent then:
they improve replies, which the task checks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from llmtool.engine.openai.capabilities import Features
from llmtool.engine.openai.endpoint import Endpoint
from llmtool.engine.types import DEFAULT_MAX_TOKENS, Effort, Prompt, Request, Sampling
from llmtool.errors import UsageError
from llmtool.option_names import option
from llmtool.structured.constraint import Constraint
from llmtool.structured.regex_gbnf import to_gbnf

CHAT, TEXT = "/chat/completions", "/completions"
# Standard options whose default means that they do nothing.
STANDARD_PENALTIES = {"frequency_penalty": 0.0, "presence_penalty": 0.0}
CONSTRAINT_OPTIONS = {"json_schema": "schema", "regex": "regex", "gbnf": "grammar"}
# For each sampling option that not all servers have, the value that disables it.
_EXTENDED: Mapping[str, float] = {
    "top_k": 0,
    "min_p": 0.0,
    "typical_p": 1.0,
    "repeat_penalty": 1.0,
    "dry_multiplier": 0.0,
    "xtc_probability": 0.0,
}
# Options that have an effect only with another one.
_DETAILS = {
    "repeat_last_n": "repeat_penalty",
    "dry_base": "dry_multiplier",
    "dry_allowed_length": "dry_multiplier",
    "xtc_threshold": "xtc_probability",
}


class Body(NamedTuple):
    """The path of an API, and the document to send to it."""

    path: str
    document: dict[str, Any]


def make_body(
    request: Request,
    *,
    endpoint: Endpoint,
    features: Features,
    model: str,
    seed: int,
    bias: Mapping[str, float] = {},
    stream: bool = True,
) -> Body:
    """Return what to send for a request.

    Args:
        seed: the seed of its first choice.
        bias: `logit_bias`, as the server expects its keys.

    Raises:
        UsageError: the server lacks what the request needs.
    """
    check_prompt(request, endpoint, features)
    sampling, prompt = request.sampling, request.prompt
    is_chat = prompt.text is None and prompt.token_ids is None
    document: dict[str, Any] = {"model": model}
    if is_chat:
        document["messages"] = _messages(prompt, features)
        if prompt.prefill and features.prefill == "flags":
            document |= {"continue_final_message": True, "add_generation_prompt": False}
        document |= _thinking(prompt.thinking, features)
        if sampling.logprobs:
            document |= {"logprobs": True, "top_logprobs": sampling.logprobs}
    else:
        document["prompt"] = (
            list(prompt.token_ids)
            if prompt.token_ids is not None
            else (prompt.text or "") + prompt.prefill
        )
        if prompt.suffix is not None:
            document["suffix"] = prompt.suffix
        if sampling.logprobs:
            document["logprobs"] = sampling.logprobs
    document |= _sampling(sampling, features, seed)
    if is_chat and features.max_tokens != "max_tokens" and "max_tokens" in document:
        document[features.max_tokens] = document.pop("max_tokens")
    if bias:
        document["logit_bias"] = dict(bias)
    if sampling.constraint is not None:
        document |= _constraint(features, sampling.constraint)
    if request.n > 1:
        document["n"] = request.n
    if stream:
        document |= {"stream": True, "stream_options": {"include_usage": True}}
    return Body(CHAT if is_chat else TEXT, document)


def check_prompt(request: Request, endpoint: Endpoint, features: Features) -> None:
    """Check that a server can do what a request needs.

    Raises:
        UsageError: it cannot.
    """
    prompt = request.prompt
    if prompt.adapters:
        raise UsageError(
            f"{option('lora')}: not supported by the server {endpoint.name}; serve the adapter "
            "there, and choose it as a model"
        )
    if prompt.token_ids is not None and not features.ids:
        raise UsageError(
            f"the server {endpoint.name} does not accept the ids of tokens; pass a text"
        )
    if prompt.suffix is not None and not features.suffix:
        raise UsageError(
            f"the server {endpoint.name} does not fill in the middle of a text; use a local model, "
            "or `llmtool serve`"
        )
    if request.echo:
        raise UsageError(f"{option('echo')}: not supported for models of a server; omit it")


def check_supported(
    endpoint: Endpoint,
    features: Features,
    sampling: Mapping[str, Any],
    constraint: Constraint | None,
) -> None:
    """Check sampling options, a prefill and a constraint on replies that the user gave.

    Raises:
        UsageError: the server does not support one.
    """
    unsupported = unsupported_sampling(sampling, features)
    if sampling.get("prefill") and not features.prefill:
        unsupported.append("prefill")
    for name in unsupported:
        raise UsageError(
            f"{option(name, sampling[name])}: not supported by the server {endpoint.name}; omit it"
        )
    if constraint is not None and constraint.kind not in features.constraints:
        name = option(CONSTRAINT_OPTIONS[constraint.kind])
        raise UsageError(
            f"{name}: not supported by the server {endpoint.name}; use {option('schema')}, or "
            "another server"
        )


def unsupported_sampling(given: Mapping[str, Any], features: Features) -> list[str]:
    """Return the options that a server does not have, of those that are in effect.

    Example:
        >>> from llmtool.engine.openai.capabilities import Features
        >>> unsupported_sampling({"top_k": 5, "min_p": 0, "temperature": 1}, Features())
        ['top_k']
    """
    return [
        name
        for name, value in given.items()
        if name not in features.sampling
        and (name in _DETAILS or (name in _EXTENDED and value != _EXTENDED[name]))
    ]


def _messages(prompt: Prompt, features: Features) -> list[dict[str, str]]:
    messages = [{"role": each.role, "content": each.content} for each in prompt.messages]
    if prompt.prefill and messages and not features.prefill:
        messages[-1]["content"] += f"\n\nBegin the reply with exactly this text:\n{prompt.prefill}"
    elif prompt.prefill:
        messages.append({"role": "assistant", "content": prompt.prefill})
    return messages


def _sampling(sampling: Sampling, features: Features, seed: int) -> dict[str, Any]:
    document: dict[str, Any] = {"temperature": sampling.temperature}
    if sampling.temperature > 0:
        document["top_p"] = sampling.top_p
        document["seed"] = seed
    for name, neutral in STANDARD_PENALTIES.items():
        if (value := getattr(sampling, name)) != neutral:
            document[name] = value
    for name, theirs in features.sampling.items():
        parent = _DETAILS.get(name)
        if parent is not None and getattr(sampling, parent) == _EXTENDED[parent]:
            continue
        document[theirs] = getattr(sampling, name)
    n_answer = DEFAULT_MAX_TOKENS if sampling.max_tokens is None else sampling.max_tokens
    # The server counts the reasoning as well, and has no limit for it alone.
    document["max_tokens"] = n_answer + (sampling.think_tokens or 0)
    if sampling.stop:
        document["stop"] = list(sampling.stop[: features.max_stop])
    return document


def _thinking(thinking: bool | Effort | None, features: Features) -> dict[str, Any]:
    if thinking is None:
        return {}
    if features.thinking == "template":
        effort = {"reasoning_effort": thinking} if isinstance(thinking, str) else {}
        switches = {"enable_thinking": bool(thinking), "thinking": bool(thinking)}
        return {"chat_template_kwargs": {**switches, **effort}}
    if thinking is False:
        return {"reasoning_effort": "none"}
    return {"reasoning_effort": "medium" if thinking is True else thinking}


def _constraint(features: Features, constraint: Constraint) -> dict[str, Any]:
    """Return the fields for a constraint; one that is not supported is only checked afterwards."""
    field = features.constraints.get(constraint.kind)
    if field is None:
        return {}
    if field == "response_format":
        schema = json.loads(constraint.source)
        strict = not features.strict_subset or _is_strict(schema)
        content = {"name": "reply", "schema": schema, "strict": strict}
        return {field: {"type": "json_schema", "json_schema": content}}
    if field == "json_object":
        schema = json.loads(constraint.source)
        return {"response_format": {"type": "json_object", "schema": schema}}
    if field == "structured_outputs":
        return {field: {"regex" if constraint.kind == "regex" else "grammar": constraint.source}}
    if field == "grammar" and constraint.kind == "regex":
        return {field: to_gbnf(constraint.source)}
    return {field: constraint.source}


def _is_strict(schema: object) -> bool:
    """Return whether all objects of a schema are closed, and all their properties required."""
    if isinstance(schema, list):
        return all(map(_is_strict, schema))
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or properties is not None:
        required = schema.get("required")
        names = set(properties) if isinstance(properties, dict) else set()
        is_closed = schema.get("additionalProperties") is False
        if not is_closed or names != set(required if isinstance(required, list) else ()):
            return False
    return all(map(_is_strict, schema.values()))
