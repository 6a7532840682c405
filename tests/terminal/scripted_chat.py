"""A chat at the terminal with a scripted engine, for tests of the chat loop.

Usage: scripted_chat.py FOLDER SCRIPT, where SCRIPT is JSON: `replies` (a list, or one text),
`delay` (seconds before each token), `n_ctx`, `session`, `keeps`, `first`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from llmtool.cli.commands.chat import loop
from llmtool.cli.commands.chat.context import ChatContext
from llmtool.cli.commands.chat.render import ReplyView
from llmtool.cli.terminal import signals
from llmtool.cli.terminal.console import Console, ensure_std_fds
from llmtool.cli.terminal.interrupts import Interrupts
from llmtool.config import Folders, Settings
from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.text_stream import ReasoningTags
from llmtool.engine.types import Event, Failed, Request
from llmtool.errors import Cancelled, LlmtoolError, ModelNotFound
from llmtool.local_model import ReadyModel
from llmtool.sessions.store import Sessions
from llmtool.tasks.chat.chat import Chat
from llmtool.tasks.pipeline.context import TaskContext


class SlowEngine(ScriptedEngine):
    """Waits before each event."""

    delay = 0.0

    def stream(self, requests: Iterable[Request | Failed | None]) -> Iterator[Event]:
        for event in super().stream(requests):
            time.sleep(self.delay)
            yield event


def main(console: Console, folder: Path, script: dict[str, Any]) -> None:
    folders = Folders(
        config=folder / "config",
        data=folder / "data",
        cache=folder / "cache",
        hub_cache=folder / "hub",
    )
    settings = Settings()

    def open_context(name: str) -> TaskContext:
        if name == "missing":
            raise ModelNotFound("model 'missing' not found")
        cancellation = signals.install(console.interrupts)
        engine = SlowEngine(
            script.get("replies", "fine"),
            n_ctx=script.get("n_ctx", 4096),
            reasoning_tags=ReasoningTags("<think>", "</think>") if script.get("thinks") else None,
            cancellation=cancellation,
        )
        engine.delay = script.get("delay", 0.0)
        return TaskContext(
            ReadyModel(engine=engine, name=name),
            settings=settings,
            folders=folders,
            cancellation=cancellation,
            cached=False,
        )

    context = open_context("scripted")
    keeps = script.get("keeps", True)
    store = Sessions(folders.data / "sessions") if keeps else None
    session, view = script.get("session", "work"), ReplyView(console)
    with Chat(context, session=session, store=store, on_note=view.note) as chat:
        loop.run(
            ChatContext(console, chat, context, Sessions(folders.data / "sessions"), view),
            script.get("first"),
            history=folders.data / "chat_history" if keeps else None,
            open_context=open_context,
        )


if __name__ == "__main__":
    console = Console(Interrupts(), closed=ensure_std_fds())
    try:
        main(console, Path(sys.argv[1]), json.loads(sys.argv[2]))
    except Cancelled as exc:
        signals.end_by_signal(console, exc.reason or console.interrupts.received)
    except LlmtoolError as exc:
        console.error(str(exc))
        os._exit(int(exc.exit_code))
    os._exit(0)
