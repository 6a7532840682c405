"""The client under test: one call of the store, also as a process with JSON in and out.

    python client.py '{"call": "pull", "reference": "org/name", ...}'

Prints one JSON line: the model or error, the notes, and the first and last progress. With `"live"`,
it also prints an `{"event": …}` line for each progress report and note.
"""

import json
import os
import signal
import sys
import threading
import traceback

import msgspec

from llmtool.config import find_folders
from llmtool.errors import LlmtoolError
from llmtool.models.hub.callbacks import Callbacks
from llmtool.models.hub.retry import RetryPolicy
from llmtool.models.store import Store

RETRY = {
    "connect_seconds": 2,
    "response_seconds": 1,
    "stall_seconds": 1,
    "backoff_seconds": 0.01,
    "max_wait_seconds": 3,
}


def main() -> None:
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    emit(run(json.loads(sys.argv[1]), stopped.is_set))


def run(task, cancelled=lambda: False):
    """Run a call of the store, and return its result or error."""
    notes, progress = [], []

    def on_progress(done, total):
        progress.append([done, total])
        if task.get("live"):
            emit({"event": "progress", "done": done, "total": total})

    def on_note(text):
        notes.append(text)
        if task.get("live"):
            emit({"event": "note", "text": text})

    store = Store(
        find_folders(os.environ),
        task.get("aliases"),
        offline=task.get("offline", False),
        retry=RetryPolicy(**{**RETRY, **task.get("retry", {})}),
    )
    callbacks = Callbacks(on_progress=on_progress, on_note=on_note, cancelled=cancelled)
    result = {"notes": notes}
    if task.get("no_sockets"):
        sys.addaudithook(refuse_sockets)
    try:
        if task["call"] == "pull":
            plan = store.plan(task["reference"], callbacks)
            if "free_bytes" in task:
                plan = msgspec.structs.replace(plan, free_bytes=task["free_bytes"])
            model = store.download(plan, callbacks)
            result |= {"path": str(model.path), "parts": len(model.parts), "name": model.name}
        elif task["call"] == "plan":
            plan = store.plan(task["reference"], callbacks)
            result |= {
                "name": plan.name,
                "size": plan.size_bytes,
                "missing": plan.missing_bytes,
                "fits_disk": plan.fits_disk,
                "files": [file.path for file in plan.files],
            }
        elif task["call"] == "find":
            model = store.find(task["reference"])
            result |= {"path": str(model.path), "modules": sorted(sys.modules)}
        elif task["call"] == "verify":
            found = store.verify(task["reference"])
            result["valid"] = [[file.path.name, file.is_valid] for file in found]
        elif task["call"] == "prune":
            result["removed"] = [[r.reason, r.size_bytes] for r in store.prune()]
        elif task["call"] == "remove":
            result["removed"] = [[r.reason, r.size_bytes] for r in store.remove(task["reference"])]
        elif task["call"] == "get":
            result |= {"path": str(store.get(task["reference"]).path)}
    except LlmtoolError as exc:
        result |= {"error": type(exc).__name__, "code": int(exc.exit_code), "message": str(exc)}
        result["trace"] = traceback.format_exc()  # as printed by --debug
    result["progress"] = progress[:1] + progress[-1:]
    return result


def refuse_sockets(event, args):
    if event.startswith("socket."):
        raise AssertionError(f"a socket was used: {event} {args}")


def emit(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
