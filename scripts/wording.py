"""Check the wording of code, tests and docs: wording.py [PATH ...]

Lists phrases that readers stumble over, each with what to write instead, and fails if it finds any.
Names count as well: `test_it_is_told` reads as "test it is told".
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PATTERNS = ("*.py", "*.md", "*.yaml", "*.toml")
# Generated files, another language, texts for models to read, and this list itself.
SKIPPED = (
    *("completions/", "README.zh-CN.md", "scripts/wording.py"),
    *("benchmarks/prompts.yaml", "benchmarks/data/", "tests/data/"),
)

# A phrase as a regular expression, and what to write instead.
PHRASES = {
    r"(?:is|are|was|were) no (?!longer|more|less|different|better|one\b)[a-z]+": "not a, unknown",
    r"there (?:is|are|was) not": "does not exist",
    r"(?:is|are|was|be|been) told|tells? of|told (?:by|of|to|in|with)": "reported, passed, warns",
    r"(?:is|are|was|be|been) kept|what is kept": "saved, stored, cached, unchanged",
    r"mend(?:s|ed|ing)?": "fix, repair",
    r"stands? (?:in|at|beside|under|where|as|there|between|before|apart)": "is, appears",
    r"(?<![\"'])g(?:o|oes|ing) on(?! to the)|went on": "continue",
    r"at the (?:most|least)(?! recent)": "at most, at least",
    r"as (?:ever|suits|which)": "(delete)",
    r"left (?:out|alone|aside|as it)": "omitted, unset, unchanged",
    r"(?:of|by|with|for|from|to) what (?:is|it|was|they|a|the)": "(a noun)",
    r"com(?:e|es|ing) of (?!age)|becomes? of|(?:has|have|can|may) come to": "results",
    r"holds? (?:that|when|what|to|its)": "requires, is true",
    r"whoever": "the user, any, the caller",
    r"whatever (?!happens)": "regardless of, any",
    r"in (?:its|their) (?:own )?(?:turn|place)|by turns": "one after the other, instead",
    r"made good|makes? good": "repaired",
    r"does not help": "(say what to do)",
}
COMPILED = {
    re.compile(rf"(?<![a-z]){form}(?![a-z])", re.IGNORECASE): say for form, say in PHRASES.items()
}


def main() -> int:
    found = [hit for path in tracked(sys.argv[1:] or list(PATTERNS)) for hit in check(path)]
    sys.stdout.writelines(f"{hit}\n" for hit in found)
    return 1 if found else 0


def tracked(patterns: list[str]) -> list[Path]:
    """Tracked text files below the paths, or that match the patterns."""
    command = ["git", "ls-files", "-z", "--", *patterns]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    suffixes = {pattern.removeprefix("*") for pattern in PATTERNS}
    return [
        Path(name)
        for name in names
        if Path(name).suffix in suffixes and not name.startswith(SKIPPED)
    ]


def check(path: Path) -> Iterator[str]:
    """Yield one line for each phrase: file, line, the phrase, what to write instead."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.replace("_", " ")
        for form, instead in COMPILED.items():
            for match in form.finditer(words):
                yield f"{path}:{number}: {match.group().strip()!r}: write {instead}"


if __name__ == "__main__":
    sys.exit(main())
