"""The Model Context Protocol, spoken by the official client: over HTTP, and on stdin and stdout."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from command import LLMTOOL
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS
from running_server import Serve

from llmtool.engine.scripted import ScriptedEngine

GREET = """\
llmtool: 1
name: greet
description: Greet someone.
inputs:
  name: {type: string, required: true, description: Who is greeted.}
system: Be polite.
prompt: "Greet {{ name }}."
"""


def run(client: Client, use: Callable[[Client], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with client:
            return await use(client)

    return asyncio.run(main())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "greet.yaml").write_text(GREET)
    return tmp_path


def test_functions_are_tools(serve: Serve, folder: Path) -> None:
    server = serve(ScriptedEngine("Hello, Ada."), folders=[folder])

    async def use(client: Client) -> Any:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        return tools, await client.call_tool("greet", {"name": "Ada"})

    tools, result = run(Client(f"{server.url}/mcp"), use)
    assert {"classify", "sum", "translate", "sentiment", "greet"} <= set(tools)
    assert tools["greet"].input_schema["required"] == ["name"]
    assert tools["greet"].output_schema["properties"]["text"] == {"type": "string"}
    assert not result.is_error
    assert result.content[0].text == "Hello, Ada."
    assert result.structured_content["text"] == "Hello, Ada."


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("greet", {"nmae": "Ada"}, "did you mean 'name'"),
        ("greet", {}, "'name' of greet is missing"),
        ("grete", {}, "unknown function 'grete'; did you mean 'greet'"),
    ],
)
def test_an_invalid_call_is_an_error_that_the_assistant_sees(
    serve: Serve, folder: Path, name: str, arguments: dict[str, Any], message: str
) -> None:
    server = serve(ScriptedEngine("Hello."), folders=[folder])

    async def use(client: Client) -> Any:
        return await client.call_tool(name, arguments)

    result = run(Client(f"{server.url}/mcp"), use)
    assert result.is_error
    assert message in result.content[0].text


def test_templates_are_prompts(serve: Serve, folder: Path) -> None:
    server = serve(ScriptedEngine("Hello."), folders=[folder])

    async def use(client: Client) -> Any:
        prompts = {prompt.name: prompt for prompt in (await client.list_prompts()).prompts}
        return prompts, await client.get_prompt("greet", {"name": "Ada"})

    prompts, found = run(Client(f"{server.url}/mcp"), use)
    assert prompts["greet"].arguments[0].required
    assert [(each.role, each.content.text) for each in found.messages] == [
        ("user", "Be polite.\n\nGreet Ada.")
    ]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("grete", {}, "unknown function 'grete'; did you mean 'greet'"),
        ("greet", {}, "needs a value for 'name'"),
        ("greet", {"nmae": "secret"}, "no input 'nmae'; did you mean 'name'"),
        ("classify", {}, "classify is a task"),
    ],
)
def test_an_invalid_prompt_is_an_error_without_a_log(
    serve: Serve,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    arguments: dict[str, str],
    message: str,
) -> None:
    server = serve(ScriptedEngine("Hello."), folders=[folder])

    async def use(client: Client) -> Any:
        with pytest.raises(MCPError, match=message) as caught:
            await client.get_prompt(name, arguments)
        return caught.value

    assert run(Client(f"{server.url}/mcp"), use).code == INVALID_PARAMS
    assert not caplog.records


def test_calls_at_the_same_time_are_answered(serve: Serve, folder: Path) -> None:
    server = serve(ScriptedEngine(lambda prompt: prompt.split()[-1]), folders=[folder])

    async def use(client: Client) -> Any:
        names = [f"N{i}" for i in range(20)]
        calls = [client.call_tool("greet", {"name": name}) for name in names]
        return names, [each.content[0].text for each in await asyncio.gather(*calls)]

    names, texts = run(Client(f"{server.url}/mcp"), use)
    assert texts == [f"{name}." for name in names]


def test_what_is_not_a_request_gets_an_error_of_the_protocol(serve: Serve) -> None:
    client = serve(ScriptedEngine("Hi")).client
    headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    for body, change, status in (
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b'{"jsonrpc": "2.0", "id": NaN}', {}, 400),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{}", {"Accept": "text/html"}, 406),
    ):
        response = client.post("/mcp", content=body, headers={**headers, **change})
        assert response.status_code == status, response.text
        assert response.json()["error"]["code"] < 0


def test_mcp_requires_the_key(serve: Serve) -> None:
    client = serve(ScriptedEngine("Hi"), keys=["k"]).client
    assert client.post("/mcp", json={}).status_code == 401


def test_the_command_serves_on_stdin_and_stdout(tiny: Path, tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    prompts = tmp_path / "config" / "llmtool" / "prompts"
    prompts.mkdir(parents=True)
    (prompts / "greet.yaml").write_text(GREET)
    command, *args = [*LLMTOOL, "mcp", "-m", str(tiny), "--threads", "1", "--offline"]
    parameters = StdioServerParameters(command=command, args=args, env=environment)

    async def use(client: Client) -> Any:
        return await client.call_tool("greet", {"name": "Ada"})

    result = run(Client(stdio_client(parameters)), use)
    assert not result.is_error
    assert result.structured_content["model"].endswith(".gguf")
