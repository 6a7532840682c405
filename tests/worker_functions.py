"""Functions that `test_worker` calls in the child process."""

from __future__ import annotations

import os
import signal
import time

from selectolax.lexbor import LexborHTMLParser

from llmtool.errors import UsageError

_kept: list[bytes] = []


def join(text: str, content: bytes, nothing: None) -> list[str]:
    return [text, content.decode(), repr(nothing)]


def process_id() -> int:
    return os.getpid()


def spin() -> None:
    while True:
        pass


def limits() -> list[int]:
    import resource

    kinds = resource.RLIMIT_CPU, resource.RLIMIT_DATA, resource.RLIMIT_CORE
    return [resource.getrlimit(kind)[0] for kind in kinds]


def sleep(*_: object) -> None:
    time.sleep(600)


def allocate(megabytes: str) -> int:
    return len(b"x" * (int(megabytes) << 20))


def keep(megabytes: str) -> None:
    _kept.append(b"x" * (int(megabytes) << 20))


def allocate_in_steps() -> None:
    blocks = []
    while True:
        blocks.append(b"x" * (1 << 20))


def fill() -> None:
    """Leave no memory for the error."""
    values = {}
    number = 0
    while True:
        values[number] = str(number)
        number += 1


def parse_pages() -> None:
    pages = []
    while True:
        pages.append(LexborHTMLParser("<a b=c>" * 100_000))


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def crash_when_large() -> None:
    keep("100")
    time.sleep(0.2)
    crash()


def end() -> None:
    os._exit(3)


def fail(kind: str) -> None:
    raise {"usage": UsageError("wrong"), "index": IndexError("out\nof range")}[kind]


def print_text() -> str:
    os.write(1, b"printed")
    os.write(2, b"written")
    return "returned"


def surrogate() -> str:
    return "\ud800"
