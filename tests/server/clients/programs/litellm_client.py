"""Talk to a server with litellm, over both APIs; print what happened as JSON."""

import asyncio
import json
import sys

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


async def cancel(options: dict) -> bool:
    request = litellm.acompletion(messages=MESSAGES, max_tokens=1900, **options)
    task = asyncio.ensure_future(request)
    await asyncio.sleep(2)
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
    report[name]["aborted"] = asyncio.run(cancel(options))
    if name == "openai":  # with other models of Anthropic, litellm asks for a tool instead
        reply = litellm.completion(
            messages=MESSAGES, response_format=Answer, max_tokens=60, **options
        )
        report[name]["schema"] = json.loads(reply.choices[0].message.content)
sys.stdout.write(json.dumps(report))
