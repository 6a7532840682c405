"""Arguments for every command, with the files that they read, and cases that fail."""

from __future__ import annotations

import subprocess
from pathlib import Path

from llmtool.cli.app import root_command
from llmtool.cli.framework.completion import walk

LABELS = ("-l", "good,bad")
ASK = """llmtool: 1
name: ask
inputs: {text: {type: text}}
prompt: "{{ text }}"
tests:
- vars: {text: Continue}
  assert: [{type: contains, value: river}]
"""
FILES = {
    "app.py": b"def f(x):\n    return x\n",
    "app.diff": b"--- a/app.py\n+++ b/app.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n",
    "rows.jsonl": b'{"text": "The river rose", "label": "good"}\n',
    "tune.jsonl": b"".join(b'{"text": "Go on %d", "expected": "Yes"}\n' % n for n in range(20)),
    "ask.yaml": ASK.encode(),
    "broken.yaml": b'llmtool: 1\nname: broken\nprompt: "{% if"\n',
    "empty.txt": b"",
    "latin.txt": b"caf\xe9 \xc3\xa9t\xc3\xa9\n",
    "long.txt": b"the river and the hill " * 2000,
    "long.py": b"x = 1  # the river and the hill\n" * 500,
    "bad.gguf": b"This is not a model.\n",
}
# Commands that run a model.
ASKING = {
    "gen": ("gen", "Go on"),
    "run": ("run", "./ask.yaml", "Go on"),
    "sum": ("sum", "app.py"),
    "classify": ("classify", "Go on", *LABELS),
    "classify eval": ("classify", "eval", "rows.jsonl", *LABELS),
    "translate": ("translate", "Go on", "--to", "de"),
    "code": ("code", "a list", "-l", "python"),
    "code explain": ("code", "explain", "app.py"),
    "code review": ("code", "review", "-f", "app.diff"),
    "code fix": ("code", "fix", "app.py", "-e", "it fails"),
    "code complete": ("code", "complete", "app.py:1:3"),
    "code tests": ("code", "tests", "app.py"),
    "code commit": ("code", "commit"),
    "chat": ("chat", "Go on"),
    "prompts test": ("prompts", "test", "./ask.yaml"),
    "prompts tune": ("prompts", "tune", "./ask.yaml", "--data", "tune.jsonl", "--budget", "60"),
    "bench": ("bench", "--quick"),
}
# Commands that take a model as their argument, and commands without a model.
NAMING = {name: tuple(name.split()) for name in ("models pull", "models info", "models verify")}
NAMING |= {"models rm": ("models", "rm"), "models import": ("models", "import")}
OTHERS = {
    **{f"models {verb}": ("models", verb) for verb in ("ls", "alias", "prune", "recommend")},
    **{f"sessions {verb}": ("sessions", verb) for verb in ("ls", "show", "search", "rm", "export")},
    **{f"prompts {verb}": ("prompts", verb, "title") for verb in ("show", "lint", "new", "import")},
    **{f"prompts {verb}": ("prompts", verb) for verb in ("ls", "schema")},
    **{f"config {verb}": ("config", verb) for verb in ("show", "set", "unset")},
    "logs": ("logs",),
    "batch merge": ("batch", "merge", "rows.jsonl"),
    "batch run": ("batch", "run", "rows.jsonl"),
    "batch submit": ("batch", "submit", "rows.jsonl"),
    "batch status": ("batch", "status", "rows.jsonl"),
    "batch fetch": ("batch", "fetch", "rows.jsonl"),
    "batch create": ("batch", "create", "-o", "job.jsonl", "gen"),
    "batch parse": ("batch", "parse", "rows.jsonl", "--from", "job.jsonl"),
    **{"cache ls": ("cache", "ls"), "cache clear": ("cache", "clear")},
    **{"serve": ("serve",), "mcp": ("mcp",), "ps": ("ps",), "stop": ("stop",)},
    **{"doctor": ("doctor",), "completions": ("completions", "bash")},
}
EVERY = {**ASKING, **NAMING, **OTHERS}
# Commands that read a file; tests add its name.
READING = {
    "gen": ("gen", "-f"),
    "run": ("run", "./ask.yaml", "-f"),
    "sum": ("sum",),
    "classify": ("classify", *LABELS, "-f"),
    "classify eval": ("classify", "eval", *LABELS),
    "translate": ("translate", "--to", "de", "-f"),
    "code": ("code", "a list", "-l", "python", "-f"),
    "code explain": ("code", "explain"),
    "code review": ("code", "review", "-f"),
    "code fix": ("code", "fix", "-e", "it fails"),
    "code complete": ("code", "complete"),
    "code tests": ("code", "tests"),
    "chat": ("chat", "Go on", "-f"),
    "sum, files": ("sum", "app.py"),
    "prompts tune": ("prompts", "tune", "./ask.yaml", "--data"),
    "gen, second file": ("gen", "-f", "app.py", "-f"),
    "gen, schema": ("gen", "Go on", "--schema"),
    "gen, grammar": ("gen", "Go on", "--grammar"),
    "classify, examples": ("classify", "Go on", *LABELS, "--examples"),
}
OVERFLOWING = {
    "gen": ("gen", "-f", "long.txt"),
    "run": ("run", "./ask.yaml", "-f", "long.txt"),
    "sum": ("sum", "long.txt", "--strategy", "stuff"),
    "classify": ("classify", "-f", "long.txt", *LABELS),
    "code": ("code", "a list", "-l", "python", "-f", "long.txt"),
    "code explain": ("code", "explain", "long.py"),
    "code fix": ("code", "fix", "long.py", "-e", "it fails"),
    "code tests": ("code", "tests", "long.py"),
    "translate": ("translate", "-f", "long.txt", "--to", "de"),
    "chat": ("chat", "Go on", "-f", "long.txt"),
}
TEMPLATES = {
    **{name: (*words, "-t", "./broken.yaml") for name, words in ASKING.items()},
    "run": ("run", "./broken.yaml", "Go on"),
    "prompts tune": ("prompts", "tune", "./broken.yaml", "--data", "tune.jsonl"),
}
# `prompts test` reports a broken template as a failed test.
for _without in ("classify eval", "code complete", "bench", "prompts test"):
    del TEMPLATES[_without]


def names_of_all() -> set[str]:
    """Return the words of every command; a default verb has those of its group."""
    return {
        " ".join(each.words)
        for each in walk(root_command())
        if each.words
        and (not each.subcommands or len(each.flags) > 1)  # a group without options has only --help
    }


def stage(folder: Path, env: dict[str, str]) -> None:
    """Make a folder a git repository with everything staged, for `code commit`."""
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=folder, env=env, check=True)
