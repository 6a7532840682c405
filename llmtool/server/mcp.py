"""The Model Context Protocol: functions are tools, and templates are prompts.

The SDK takes a second to import, so `/mcp` imports it for the first request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import mcp_types as types
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from llmtool._version import __version__
from llmtool.errors import LlmtoolError, UsageError
from llmtool.option_names import use_format
from llmtool.prompts.render import render
from llmtool.server.bodies import MAX_BODY
from llmtool.server.errors import describe, format_field, naming_fields
from llmtool.server.functions.calls import call, find
from llmtool.server.functions.catalogue import Function
from llmtool.server.responses import JSON
from llmtool.server.service import Service
from llmtool.toolbox import Toolbox

_INSTRUCTIONS = (
    "Tools that run on a local language model: classification with scores, summaries, translation, "
    "extraction and other prompt templates. Their input stays on the user's machine."
)

_NAMES = {"max_tokens": "the server's setting max_tokens"}  # tools have no such argument


def make_server(service: Service) -> Server[Any]:
    """Return an MCP server for the functions of a service."""

    async def list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_tool(each) for each in service.functions.values()])

    async def call_tool(_context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        try:
            function = find(service.functions, params.name)
            _, box = service.find(None)
            arguments = params.arguments or {}
            with naming_fields(_NAMES):
                result = await service.call(box, lambda: call(box.context, function, arguments, {}))
        except LlmtoolError as exc:
            content = types.TextContent(text=describe(exc).message)
            return types.CallToolResult(content=[content], is_error=True)
        return types.CallToolResult(
            content=[types.TextContent(text=result.text)], structured_content=result.to_dict()
        )

    async def list_prompts(_context: Any, _params: Any) -> types.ListPromptsResult:
        functions = service.functions.values()
        return types.ListPromptsResult(
            prompts=[_prompt(each) for each in functions if each.template]
        )

    async def get_prompt(_context: Any, params: types.GetPromptRequestParams) -> Any:
        try:
            function = find(service.functions, params.name)
            return _render(service, function, params.arguments or {})
        except LlmtoolError as exc:  # the SDK would log others with the values of arguments
            raise MCPError(types.INVALID_PARAMS, describe(exc).message) from None

    return Server(
        "llmtool",
        version=__version__,
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
    )


def _tool(function: Function) -> types.Tool:
    return types.Tool(
        name=function.name,
        description=function.description,
        input_schema=function.parameters,
        output_schema=function.result,
        annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )


def _prompt(function: Function) -> types.Prompt:
    arguments = [
        types.PromptArgument(
            name=name,
            description=schema.get("description"),
            required=name in function.required,
        )
        for name, schema in function.arguments.items()
    ]
    return types.Prompt(name=function.name, description=function.description, arguments=arguments)


def _render(
    service: Service, function: Function, arguments: dict[str, str]
) -> types.GetPromptResult:
    """Return the messages of a template. MCP has no system messages; they precede the first one."""
    if function.template is None:
        raise UsageError(f"{function.name} is a task, not a template; call it as a tool")
    name, _ = service.find(None)
    rendered = render(function.template, arguments, model_name=name)
    messages: list[types.PromptMessage] = []
    system = ""
    prompt = rendered.prompt()
    for message in prompt.messages:
        if message.role == "system":
            system = f"{message.content}\n\n"
            continue
        content = types.TextContent(text=system + message.content)
        messages.append(types.PromptMessage(role=message.role, content=content))
        system = ""
    if prompt.text is not None:
        messages = [types.PromptMessage(role="user", content=types.TextContent(text=prompt.text))]
    return types.GetPromptResult(description=function.description, messages=messages)


def run_stdio(boxes: Mapping[str, Toolbox], functions: Mapping[str, Function]) -> None:
    """Serve over standard input and output until the client closes them."""

    async def serve() -> None:
        service = Service(boxes, functions=functions)
        server = make_server(service)
        try:
            async with stdio_server() as (reader, writer):
                await server.run(reader, writer, server.create_initialization_options())
        finally:
            service.close()

    with use_format(format_field):
        asyncio.run(serve())


class HttpEndpoint:
    """The endpoint `/mcp` as an ASGI application, which keeps no sessions."""

    def __init__(self, service: Service) -> None:
        self._manager = StreamableHTTPSessionManager(
            make_server(service), stateless=True, max_request_body_size=MAX_BODY
        )
        self._started, self._stopped = asyncio.Event(), asyncio.Event()
        self._running = asyncio.ensure_future(self._run())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = Headers(scope=scope).get("content-type", "")
        if scope["method"] == "POST" and kind.partition(";")[0].strip() != "application/json":
            # The SDK would report it as plain text.
            message = f"Content-Type {kind!r}: must be application/json"
            error = {"code": types.INVALID_REQUEST, "message": message}
            document = {"jsonrpc": "2.0", "id": None, "error": error}
            status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
            await JSON(document, status_code=status)(scope, receive, send)
            return
        await self._started.wait()
        await self._manager.asgi_app(scope, receive, send)

    async def close(self) -> None:
        self._stopped.set()
        await self._running

    async def _run(self) -> None:
        async with self._manager.run():
            self._started.set()
            await self._stopped.wait()
