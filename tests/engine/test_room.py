"""How large a context becomes, and what happens where there is no memory for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llmtool.engine.local import LocalEngine
from llmtool.engine.types import Failed, Finished, Prompt, Request, Sampling

# 16 requests of 30,000 tokens each, in a process that may take so many more MB.
PROGRAM = """
import resource, sys
from pathlib import Path
from llmtool.engine.local import LocalEngine
from llmtool.engine.types import Failed, Finished, Prompt, Request, Sampling
engine = LocalEngine(Path(sys.argv[1]), n_threads=1, n_parallel=16)
sampling = Sampling(max_tokens=30_000, temperature=0, stop=("e",))
requests = [Request(id=i, prompt=Prompt(text="hello"), sampling=sampling) for i in range(16)]
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
limit = taken + (int(sys.argv[2]) << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
events = list(engine.stream(requests))
sequences = engine.room.sequences
print(sum(isinstance(each, Finished) for each in events),
      sum(isinstance(each, Failed) for each in events),
      sequences.context.n_ctx // 30_000 if sequences else 0)
for each in events:
    if isinstance(each, Failed):
        print(each.error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("megabytes", "finished", "parallel"), [(2000, 16, 16), (200, 16, 8), (20, 0, 1)]
)
def test_where_memory_is_short_fewer_run_at_once(
    megabytes: int, finished: int, parallel: int, tiny_model: Callable[..., Path]
) -> None:
    model = tiny_model("plain", n_ctx=65536)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, model, str(megabytes)], capture_output=True, text=True
    )
    counts, *errors = done.stdout.splitlines()
    ended, failed, width = map(int, counts.split())
    assert (ended, failed) == (finished, 16 - finished)
    assert (width >= parallel) == (parallel > 8), "room for as many at once"
    assert (width > 0) == (finished > 0)
    assert all("memory" in error and "\n" not in error for error in errors)


def serve(engine: LocalEngine, n: int, **sampling: int) -> None:
    requests = [
        Request(id=i, prompt=Prompt(text="hello"), sampling=Sampling(temperature=0, **sampling))
        for i in range(n)
    ]
    events = list(engine.stream(requests))
    assert sum(isinstance(event, Finished) for event in events) == n
    assert not any(isinstance(event, Failed) for event in events)


def test_short_requests_together_keep_to_the_short_rope_factors(
    tiny_model: Callable[..., Path],
) -> None:
    metadata = {"llama.rope.scaling.original_context_length": 512}
    engine = LocalEngine(tiny_model("plain", metadata=metadata), n_threads=1)
    serve(engine, 16, max_tokens=100)
    assert engine.info.n_cells == 512
    serve(engine, 1, max_tokens=700)
    assert engine.info.n_cells == 768, "one that is longer gets its room"
    engine.close()


def test_a_context_is_kept_while_it_is_large_enough(tiny: Path) -> None:
    engine = LocalEngine(tiny, n_threads=1)
    serve(engine, 8, max_tokens=100)
    first = engine.room.sequences
    serve(engine, 3, max_tokens=50)
    assert engine.room.sequences is first
    serve(engine, 8, max_tokens=300)
    assert engine.room.sequences is not first
    engine.close()
