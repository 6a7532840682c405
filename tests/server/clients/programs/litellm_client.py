"""Talk to a server with litellm, over both APIs; print what happened as JSON."""

import asyncio
import json
import sys
import urllib.request

import litellm
import openai
from pydantic import BaseModel

litellm.suppress_debug_info = True  # advice that it prints with errors
MESSAGES = [{"role": "user", "content": "Name a river in Europe."}]


class Answer(BaseModel):
    river: str
    long: bool


def talk(options: dict, report: dict) -> None:
    report["texts"], messages = [], list(MESSAGES)
    for question in ("Where is it?", ""):
        chunks = litellm.completion(
            messages=messages,
            stream=True,
            max_tokens=24,
            stream_options={"include_usage": True},
            **options,
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        report["texts"].append([text])
        messages += [
            {"role": "assistant", "content": text},
            {"role": "user", "content": question},
        ]
    for name, change in (
        ("error", {"model": options["model"].replace("starter", "gpt-4")}),
        ("long", {"messages": [{"role": "user", "content": "word " * 20000}]}),
    ):
        try:
            litellm.completion(**{"messages": MESSAGES, **options, **change})
        except openai.APIStatusError as exc:
            report[name] = [type(exc).__name__, exc.status_code]


def is_running(url: str) -> bool:
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as response:
        return b"llmtool_calls_running 1" in response.read()


async def cancel(url: str, options: dict) -> bool:
    """Cancel a request as soon as it runs; return whether it was cancelled."""
    messages = [{"role": "user", "content": "Tell a long story about a river."}]
    request = litellm.acompletion(messages=messages, max_tokens=1900, **options)
    task = asyncio.ensure_future(request)
    while not (task.done() or await asyncio.to_thread(is_running, url)):
        await asyncio.sleep(0.01)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


url, report = sys.argv[1], {}
for name, base in (("openai", f"{url}/v1"), ("anthropic", url)):
    options = {"model": f"{name}/starter", "api_base": base, "api_key": "none", "num_retries": 0}
    talk(options, report.setdefault(name, {}))
    report[name]["aborted"] = asyncio.run(cancel(url, options))
    if name == "openai":  # with other models of Anthropic, litellm asks for a tool instead
        reply = litellm.completion(
            messages=MESSAGES, response_format=Answer, max_tokens=60, **options
        )
        report[name]["schema"] = json.loads(reply.choices[0].message.content)
sys.stdout.write(json.dumps(report))
