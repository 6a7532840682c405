"""The bodies of Anthropic's API, as far as a local model can serve them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from llmtool.engine.types import MAX_COUNT, Effort

Object = dict[str, Any] | None


class Thinking(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whether a model reasons; `display` "summarized" is the API's default."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Annotated[int, Meta(ge=0, le=MAX_COUNT)] | None = None
    display: Literal["summarized"] | None = None


class OutputFormat(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    format: OutputFormat | None = None
    effort: Effort | None = None


class PromptFields(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    field_names: ClassVar = {"stop": "stop_sequences", "think_tokens": "thinking.budget_tokens"}
    model: str | None = None
    messages: list[dict[str, Any]]
    system: str | list[dict[str, Any]] | None = None
    thinking: Thinking | None = None
    tools: list[Any] | None = None
    tool_choice: Object = None
    mcp_servers: list[Any] | None = None
    compaction: Object = None
    context_management: Object = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    cache_control: Object = None
    speed: str | None = None
    user_profile_id: str | None = None
    workspace_id: str | None = None
    billing_policy: Object = None


class MessagesBody(PromptFields, kw_only=True):
    """The body of `POST /v1/messages`."""

    max_tokens: Annotated[int, Meta(ge=1, le=MAX_COUNT)]
    stop_sequences: list[Annotated[str, Meta(min_length=1)]] | None = None
    stream: bool | None = False
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    metadata: Object = None
    service_tier: str | None = None
    inference_geo: str | None = None
    container: str | Object = None
    thread: Object = None


class CountBody(PromptFields, kw_only=True):
    """The body of `POST /v1/messages/count_tokens`."""


UNSUPPORTED = ("tools", "mcp_servers", "compaction", "context_management")
UNSUPPORTED_IN_MESSAGES = ("container", "thread")
IGNORED_IN_PARTS = ("cache_control", "citations")
# docs/serve.md lists the options that have no effect on a reply.
