"""Run several commands in one child process, for tests of the start of the interpreter."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent


def run_in_one_process(
    calls: Sequence[tuple[Sequence[str | Path], Path]],
    *,
    env: Mapping[str, str],
    site: Path,
    input: bytes = b"",
    each_env: Sequence[Mapping[str, str]] = (),
) -> list[subprocess.CompletedProcess[bytes]]:
    """Run `llmtool` with each of the arguments in its folder.

    `site` has a `sitecustomize.py`, which Python imports at start-up. `each_env` has variables for
    each command.
    """
    task = {
        "calls": [([str(arg) for arg in args], str(folder)) for args, folder in calls],
        "input": input.decode(),
        "each_env": [dict(each) for each in each_env] or [{}] * len(calls),
    }
    path = os.pathsep.join([str(site), env["PYTHONPATH"], str(TESTS)])
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps(task).encode(),
        env={**env, "PYTHONPATH": path},
        cwd=calls[0][1],
        capture_output=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr.decode()
    return [
        subprocess.CompletedProcess(args, code, base64.b64decode(out), base64.b64decode(err))
        for args, code, out, err in json.loads(done.stdout)
    ]


def main() -> None:
    from in_process import run_in_process

    task: dict[str, Any] = json.load(sys.stdin)
    os.chdir("/")  # `run_in_process` opens the current folder, to return to it
    results = []
    for (args, folder), variables in zip(task["calls"], task["each_env"], strict=True):
        done = run_in_process(
            args, env={**os.environ, **variables}, cwd=folder, input=task["input"].encode()
        )
        streams = [base64.b64encode(each or b"").decode() for each in (done.stdout, done.stderr)]
        results.append((args, int(done.returncode), *streams))
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
