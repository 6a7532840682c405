"""Template files designed to exhaust time or memory, through the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from command import error_line
from prompts.template_bombs import REFUSED, SOUND

CPU_SECONDS = 6  # of each command, half of it on a fast machine
PEAK_MIB = 256
TESTS = Path(__file__).resolve().parents[1]
SHOW = ("prompts", "show", "--rendered", "--no-stdin", "--json")
# Runs the command with each file in one process; writes a line about each, with the peak so far.
# A command that exceeds its processor time ends the process.
DRIVER = f"""
import json, os, resource, sys, time
from in_process import run_in_process
from templating.bombs import peak_mib
if len(sys.argv) == 1:
    block = b"x" * (300 << 20)
    print(peak_mib())
for path in sys.argv[1:]:
    limit = int(time.process_time()) + {CPU_SECONDS}
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
    done = run_in_process([*{SHOW}, path], env=dict(os.environ), cwd="/")
    line = done.returncode, done.stdout.decode(), done.stderr.decode(), peak_mib()
    print(json.dumps(line), flush=True)
"""


def run_driver(env: dict[str, str], *paths: Path) -> subprocess.CompletedProcess[bytes]:
    env = {**env, "PYTHONPATH": f"{env['PYTHONPATH']}{os.pathsep}{TESTS}"}
    command = [sys.executable, "-c", DRIVER, *paths]
    return subprocess.run(command, env=env, capture_output=True, timeout=110)


def find_offenders(
    env: dict[str, str], folder: Path, cases: Mapping[str, str], check: Callable[[Any], None]
) -> list[str]:
    """Render templates by name; return the names of those that fail or exceed a limit."""
    paths = [folder / f"{n}.yaml" for n in range(len(cases))]
    for path, text in zip(paths, cases.values(), strict=True):
        path.write_text(text)
    done = run_driver(env, *paths)
    lines = done.stdout.splitlines()
    found = []
    for name, line in zip(cases, lines, strict=False):
        code, stdout, stderr, peak = json.loads(line)
        result = subprocess.CompletedProcess(SHOW, code, stdout.encode(), stderr.encode())
        try:
            check(result)
            assert peak < PEAK_MIB
        except AssertionError as exc:
            found.append(f"{name}: {exc}")
    unfinished = [*cases][len(lines) :][:1]
    return found + [f"{name}: it ends the process: {done.stderr!r}" for name in unfinished]


def test_bomb_fails_in_one_line(env: dict[str, str], tmp_path: Path) -> None:
    def check(result: Any) -> None:
        assert len(error_line(result, 12)) < 1000

    assert not find_offenders(env, tmp_path, REFUSED, check)


def test_large_template_renders(env: dict[str, str], tmp_path: Path) -> None:
    def check(result: Any) -> None:
        assert result.returncode == 0, result.stderr

    assert not find_offenders(env, tmp_path, SOUND, check)


def test_peak_memory_is_measured(env: dict[str, str]) -> None:
    assert float(run_driver(env).stdout) > PEAK_MIB


def test_template_code_cannot_reach_python(run_llmtool: Callable[..., Any], tmp_path: Path) -> None:
    for code in (
        "{{ ''.__class__.__mro__ }}",
        "{{ x|attr('__globals__') }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.environ }}",
        "{{ range.__self__ }}",
        "{{ '{0.__class__}'.format(1) }}",
    ):
        text = f'llmtool: 1\nname: bomb\ninputs: {{x: {{type: string}}}}\nprompt: "{code}"\n'
        (tmp_path / "code.yaml").write_text(text)
        result = run_llmtool(*SHOW, tmp_path / "code.yaml")
        assert os.environ["PATH"].encode() not in result.stdout
        error_line(result, 12)
