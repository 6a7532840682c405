"""The bodies of OpenAI's API, as far as a local model can serve them.

Options that would change the meaning of a reply and are not supported are errors.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta

from llmtool.engine.types import MAX_COUNT, MAX_LOGPROBS, Effort

Stop = str | list[str] | None
Count = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Object = dict[str, Any] | None
ToolChoice = str | Object
Verbosity = Literal["medium"]  # the default; a local model has no other


class SamplingFields(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What all bodies have: OpenAI's sampling options, and llama.cpp's."""

    model: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int | None = None
    seed: Seed | None = None
    stop: Stop = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    top_k: int | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repeat_penalty: float | None = None
    repeat_last_n: int | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None

    def sampling(self) -> dict[str, Any]:
        """Return the sampling options that were given."""
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        seed = None if self.seed is None else self.seed % 2**32 % (2**32 - 1)
        same = {name: getattr(self, name) for name in _SAME_NAMES}
        return {**same, "seed": seed, "stop": stop or None, "logit_bias": self.logit_bias or None}


_SAME_NAMES = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "repeat_last_n",
    "dry_multiplier",
    "dry_base",
    "dry_allowed_length",
    "xtc_probability",
    "xtc_threshold",
    "frequency_penalty",
    "presence_penalty",
)


class StreamOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    include_usage: bool = False
    include_obfuscation: bool = False


class JsonSchemaFormat(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    schema: Any = UNSET
    name: str = ""
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class StructuredOutputs(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Constraints on a reply in vLLM's form, of which one is given."""

    json: Any = UNSET
    regex: str | None = None
    grammar: str | None = None


class ChatBody(SamplingFields, kw_only=True):
    """The body of `POST /v1/chat/completions`."""

    messages: list[dict[str, Any]]
    max_tokens: int | None = None
    max_completion_tokens: Count | None = None
    logprobs: bool | None = False
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_LOGPROBS)] | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    reasoning_effort: Effort | Literal["none", "minimal"] | None = None
    tools: list[Any] | None = None
    tool_choice: ToolChoice = None
    functions: list[Any] | None = None
    function_call: ToolChoice = None
    modalities: list[Literal["text"]] | None = None
    audio: Object = None
    web_search_options: Object = None
    prediction: Object = None
    parallel_tool_calls: bool | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: Object = None
    prompt_cache_retention: str | None = None
    moderation: Object = None
    verbosity: Verbosity | None = None

    @property
    def field_names(self) -> dict[str, str]:
        """The fields of options that have another name here."""
        limit = "max_completion_tokens" if self.max_tokens is None else "max_tokens"
        return {"max_tokens": limit, "thinking": "reasoning_effort"}


UNSUPPORTED_IN_CHAT = ("tools", "functions", "audio", "web_search_options", "moderation")
# docs/serve.md lists the options that have no effect on a reply. The fields of a message are what
# this server and the clients add to a reply.
IGNORED_IN_MESSAGES = ("reasoning_content", "annotations", "parsed")
IGNORED_IN_PARTS = ("cache_control", "prompt_cache_breakpoint")


class CompletionBody(SamplingFields, kw_only=True):
    """The body of `POST /v1/completions`; a prompt is a text or the ids of its tokens."""

    prompt: str | list[str | int | list[int]] = ""
    suffix: str | None = None
    max_tokens: int | None = 16
    echo: bool | None = False
    logprobs: Annotated[int, Meta(ge=0, le=MAX_LOGPROBS)] | None = None
    best_of: int | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None


LOGPROBS = "message.output_text.logprobs"
# The others belong to reasoning that OpenAI stores, to tools and to images, which no reply has.
Includable = Literal[
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "web_search_call.action.sources",
    "web_search_call.results",
]


class TextFormat(JsonSchemaFormat, kw_only=True, omit_defaults=True):
    """`response_format` in the form of responses."""

    type: Literal["text", "json_object", "json_schema"]


class TextOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    format: TextFormat | None = None
    verbosity: Verbosity | None = None


class ReasoningOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    effort: Effort | Literal["none", "minimal"] | None = None
    summary: str | None = None
    generate_summary: str | None = None  # the earlier name


class ResponseStreamOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    include_obfuscation: bool = False


class ResponseBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/responses`. The server stores nothing."""

    field_names: ClassVar = {"max_tokens": "max_output_tokens", "thinking": "reasoning.effort"}
    model: str | None = None
    input: str | list[dict[str, Any]]
    instructions: str | None = None
    max_output_tokens: Count | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_LOGPROBS)] | None = None
    include: list[Includable] | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    stream: bool | None = False
    stream_options: ResponseStreamOptions | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: Object = None
    prompt_cache_retention: str | None = None
    parallel_tool_calls: bool | None = None
    tool_choice: ToolChoice = None
    truncation: Literal["disabled"] | None = None
    tools: list[Any] | None = None
    background: bool | None = None
    background_options: Object = None
    context_management: list[Any] | None = None
    moderation: Object = None
    conversation: str | Object = None
    previous_response_id: str | None = None
    prompt: Object = None
    max_tool_calls: Count | None = None


UNSUPPORTED_IN_RESPONSES = (
    "tools",
    "background",
    "context_management",
    "conversation",
    "moderation",
    "previous_response_id",
    "prompt",
)
IGNORED_IN_ITEMS = ("type", "id", "status", "phase")
PARTS_OF_ITEMS = ("input_text", "output_text", "text")
IGNORED_IN_PARTS_OF_ITEMS = ("annotations", "logprobs", "parsed", "prompt_cache_breakpoint")
