"""The bodies of Anthropic's API, as far as a local model can serve them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Optional = Any | UnsetType


class Thinking(msgspec.Struct, kw_only=True):
    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Annotated[int, Meta(ge=0)] | None = None


class OutputFormat(msgspec.Struct, kw_only=True):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    format: OutputFormat | None = None
    effort: Optional = UNSET


class PromptFields(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    model: str | None = None
    messages: list[dict[str, Any]]
    system: str | list[dict[str, Any]] | None = None
    thinking: Thinking | None = None
    tools: Optional = UNSET
    tool_choice: Optional = UNSET
    mcp_servers: Optional = UNSET
    compaction: Optional = UNSET
    context_management: Optional = UNSET
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    cache_control: Optional = UNSET
    speed: Optional = UNSET
    user_profile_id: Optional = UNSET
    workspace_id: Optional = UNSET
    billing_policy: Optional = UNSET


class MessagesBody(PromptFields, kw_only=True):
    """The body of `POST /v1/messages`."""

    max_tokens: Annotated[int, Meta(ge=1)]
    stop_sequences: list[str] | None = None
    stream: bool | None = False
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    metadata: Optional = UNSET
    service_tier: Optional = UNSET
    inference_geo: Optional = UNSET
    container: Optional = UNSET
    thread: Optional = UNSET


class CountBody(PromptFields, kw_only=True):
    """The body of `POST /v1/messages/count_tokens`."""


UNSUPPORTED = ("tools", "mcp_servers", "compaction", "context_management")
UNSUPPORTED_IN_MESSAGES = ("container", "thread")
# docs/serve.md lists the options that have no effect on a reply.
