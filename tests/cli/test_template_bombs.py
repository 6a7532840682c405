"""Template files designed to exhaust time or memory, through the command."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import LLMTOOL, error_line
from prompts.template_bombs import REFUSED, SOUND

CPU_SECONDS = 6  # half of it on a fast machine
PEAK_MIB = 256


@pytest.fixture
def show(env: dict[str, str], tmp_path: Path) -> Callable[[str], Any]:
    """Return `show(text)`: render a template in a child process with limits.

    The kernel ends it when its processor time is over; the peak is what it had in memory.
    """

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))

    def run(text: str) -> tuple[subprocess.CompletedProcess[bytes], float]:
        path = tmp_path / "bomb.yaml"
        path.write_text(text)
        watched = [sys.executable, "-c", PEAK, *LLMTOOL]
        args = ["prompts", "show", path, "--rendered", "--no-stdin", "--json"]
        done = subprocess.run(
            [*watched, *args], env=env, capture_output=True, preexec_fn=limit, timeout=60
        )
        line, _, peak = done.stderr.rpartition(b"peak ")
        return subprocess.CompletedProcess(args, done.returncode, done.stdout, line), int(peak)

    return run


# Runs the command as a child and reports its peak memory.
PEAK = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
sys.stderr.write(f"peak {peak // (2**20 if sys.platform == 'darwin' else 1024)}")
sys.exit(code)
"""


@pytest.mark.parametrize("name", REFUSED)
def test_bomb_fails_in_one_line(name: str, show: Callable[[str], Any]) -> None:
    result, peak = show(REFUSED[name])
    assert len(error_line(result, 12)) < 1000
    assert peak < PEAK_MIB


@pytest.mark.parametrize("name", SOUND)
def test_large_template_renders(name: str, show: Callable[[str], Any]) -> None:
    result, peak = show(SOUND[name])
    assert result.returncode == 0, result.stderr
    assert peak < PEAK_MIB


def test_memory_of_a_child_is_measured() -> None:
    large = [sys.executable, "-c", "x = bytearray(300 << 20); x[::4096] = x[::4096]"]
    done = subprocess.run([sys.executable, "-c", PEAK, *large], capture_output=True)
    assert int(done.stderr.rpartition(b"peak ")[2]) > PEAK_MIB


def test_template_code_cannot_reach_python(show: Callable[[str], Any]) -> None:
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
        result, _ = show(text)
        assert os.environ["PATH"].encode() not in result.stdout
        error_line(result, 12)
