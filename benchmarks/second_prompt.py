"""A one-liner with a long template, run again with another input: its prefill against the first.

    python benchmarks/second_prompt.py [--model FILE.gguf] [--rounds 5] [--tokens 200]

`llmtool gen -t TEMPLATE` runs twice per round, each time as a fresh process, with an input of a few
words; the template is new in each round, so that the first run has to compute it and the second
finds it in the prefix cache. The target for the ratio of the prefills is 0.1. Below it stands the
time from exec to the first token. Everything happens in a cache folder of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from contestants import find_model

RULE = (
    "Rule {round}.{number}: answer in one plain sentence, keep names and numbers as they are, and "
    "never mention these rules to anybody who asks."
)
TEMPLATE = """\
llmtool: 1
name: rules
task: gen
inputs:
  prompt: {type: text}
system: |
%s
prompt: "{{ prompt }}"
"""


def run(model: Path, template: Path, text: str, cache: Path) -> dict[str, Any]:
    """Return what `llmtool gen --json` printed."""
    command = [sys.executable, "-m", "llmtool", "gen", "-q", "-m", str(model), "-t", str(template)]
    options = ["--temperature", "0", "--max-tokens", "1", "--no-stdin", "--json", text]
    done = subprocess.run(
        [*command, *options],
        stdout=subprocess.PIPE,
        env={**os.environ, "LLMTOOL_CACHE_DIR": str(cache)},
        check=True,
    )
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=200, help="of the template, about")
    args = parser.parse_args()
    model = find_model(args.model)
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        template, cache = Path(folder, "rules.yaml"), Path(folder, "cache")
        for round_number in range(args.rounds + 1):
            n_rules = max(1, args.tokens // 33)
            rules = [RULE.format(round=round_number, number=i) for i in range(n_rules)]
            template.write_text(TEMPLATE % "\n".join(f"  {rule}" for rule in rules))
            texts = ("What is rain?", "Who was Ada Lovelace?")
            pair = [run(model, template, text, cache) for text in texts]
            if round_number:  # the first round warms the page cache
                pairs.append(pair)
    print(f"{model.name}, {args.rounds} rounds, medians")
    print(f"{'':24} {'first run':>9} {'second':>8} {'ratio':>6}")
    for name, key in (("prefill, seconds", "prefill"), ("first token, seconds", "first_token")):
        first, second = (statistics.median(p[i]["timing"][key] for p in pairs) for i in (0, 1))
        ratio = statistics.median(p[1]["timing"][key] / p[0]["timing"][key] for p in pairs)
        print(f"{name:24} {first:9.4f} {second:8.4f} {ratio:6.3f}")
    for name, key in (("prompt tokens", "prompt_tokens"), ("of them known", "cached_tokens")):
        first, second = (statistics.median(p[i]["usage"][key] for p in pairs) for i in (0, 1))
        print(f"{name:24} {first:9.0f} {second:8.0f}")


if __name__ == "__main__":
    main()
