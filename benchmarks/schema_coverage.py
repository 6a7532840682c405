"""JSON Schema coverage: which schemas compile, and which values the compiled schemas accept.

    python benchmarks/schema_coverage.py FOLDER [--list]

FOLDER is the `data` folder of JSONSchemaBench (github.com/guidance-ai/jsonschemabench, every file
is a schema) or a copy of the JSON Schema Test Suite (github.com/json-schema-org; files with values
for schemas). No model is used. `--list` prints each failure.

A value is written as a model would: properties in the order of the schema, numbers in their
shortest form. "Closed" are values that are accepted only if the schema allows other properties
explicitly: by design, objects have only the properties that the schema names. "Long numbers" have
more than 24 characters. "Refused afterwards" are values that only the check of the reply refuses.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from llmtool.errors import LlmtoolError, UsageError
from llmtool.structured.resolve import resolve
from llmtool.structured.schema import Schema
from llmtool.tasks.pipeline.output_spec import OutputSpec, make_output_spec

SKIPPED = ("format", "refRemote", "vocabulary", "zeroTerminatedFloats")
LONG_NUMBER = re.compile(r"-?\d{25,}")
DRAFTS = {
    "draft4": "http://json-schema.org/draft-04/schema#",
    "draft6": "http://json-schema.org/draft-06/schema#",
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--list", action="store_true", help="print each failure")
    options = parser.parse_args()
    suite = options.folder / "tests"
    if suite.is_dir():
        run_suite(suite, show=options.list)
    else:
        compile_all(options.folder, show=options.list)


def compile_all(folder: Path, *, show: bool) -> None:
    """Compile every schema below a folder and print the share that compiles, by subfolder."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    seconds = []
    for path in sorted(folder.rglob("*.json")):
        schema = json.loads(path.read_text())
        begin = time.perf_counter()
        try:
            spec = make_spec(schema)
            outcome = "partly" if spec.unenforced else "fully"
        except Exception as exc:
            outcome = "rejected" if isinstance(exc, LlmtoolError) else "crashed"
            if show:
                print(f"{path.relative_to(folder)}: {exc}")
        seconds.append(time.perf_counter() - begin)
        counts[path.parent.name][outcome] += 1
        counts["all"][outcome] += 1
    print("| folder | schemas | compiled | of these fully enforced | rejected |")
    print("|---|---|---|---|---|")
    for name, found in counts.items():
        n = found.total()
        compiled = found["fully"] + found["partly"]
        rejected = found["rejected"] + found["crashed"]
        print(f"| {name} | {n} | {compiled / n:.2%} | {found['fully'] / n:.2%} | {rejected} |")
    seconds.sort()
    p50, p99 = (seconds[int(len(seconds) * share)] for share in (0.5, 0.99))
    print(f"\nseconds per schema: median {p50:.4f}, p99 {p99:.3f}, maximum {seconds[-1]:.2f}")


def run_suite(suite: Path, *, show: bool) -> None:
    """Compile each schema of the test suite, and check its values."""
    columns = ["schemas", "rejected", "other documents", "valid values", "accepted", "closed"]
    columns += ["long numbers", "refused", "invalid values", "refused", "refused afterwards"]
    print("| draft | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for draft, uri in DRAFTS.items():
        counts: Counter[str] = Counter()
        for path in sorted((suite / draft).rglob("*.json")):
            if "format" in path.parts or path.stem in SKIPPED:
                continue
            for group in json.loads(path.read_text()):
                for test, outcome in outcomes(group, uri):
                    counts[outcome] += 1
                    if show and outcome in ("rejected", "valid refused", "invalid accepted"):
                        print(f"{draft}/{path.stem}: {group['description']}: {test}: {outcome}")
        n_schemas = sum(counts[name] for name in ("compiled", "rejected", "other documents"))
        n_valid = sum(n for name, n in counts.items() if name.startswith("valid"))
        n_invalid = sum(n for name, n in counts.items() if name.startswith("invalid"))
        cells = [n_schemas, counts["rejected"], counts["other documents"], n_valid]
        cells += [counts[f"valid {name}"] for name in ("accepted", "closed", "long", "refused")]
        cells += [n_invalid, counts["invalid refused"], counts["invalid refused afterwards"]]
        print(f"| {draft} | " + " | ".join(map(str, cells)) + " |")


def outcomes(group: dict[str, Any], uri: str) -> Iterator[tuple[str, str]]:
    """Yield (description, outcome) of the schema and of each value of a group."""
    schema = group["schema"]
    schema = {"$schema": uri, **(schema if isinstance(schema, dict) else {"allOf": [schema]})}
    try:
        spec, resolved = make_spec(schema), resolve(schema)
    except UsageError as exc:
        reason = str(exc)
        if "no value" in reason and not any(test["valid"] for test in group["tests"]):
            yield reason, "unsatisfiable"
        else:
            is_remote = "other documents" in reason or "Unknown meta-schema" in reason
            yield reason, "other documents" if is_remote else "rejected"
        return
    yield "", "compiled"
    for test in group["tests"]:
        texts = spellings(test["data"], schema)
        in_grammar = any(map(spec.matches, texts))
        is_checked = passes_check(resolved, texts[0])
        if not test["valid"]:
            outcome = "accepted" if is_checked else "refused afterwards"
            outcome = outcome if in_grammar else "refused"
        elif in_grammar and is_checked:
            outcome = "accepted"
        elif is_checked and any(map(make_spec(opened(schema)).matches, texts)):
            outcome = "closed"
        else:
            outcome = "long" if LONG_NUMBER.search(texts[0]) else "refused"
        kind = "valid" if test["valid"] else "invalid"
        yield f"{test['description']} ({texts[0]})", f"{kind} {outcome}"


def make_spec(schema: dict[str, Any]) -> OutputSpec:
    spec = make_output_spec(schema=schema)
    assert spec is not None
    return spec


def passes_check(schema: Schema, text: str) -> bool:
    """Return whether the check of a finished reply accepts a text."""
    try:
        schema.parse(text)
    except LlmtoolError:
        return False
    return True


def opened(node: Any) -> Any:
    """Return a schema in which objects explicitly allow other properties."""
    if isinstance(node, list):
        return [opened(each) for each in node]
    if not isinstance(node, dict):
        return node
    node = {key: opened(value) for key, value in node.items()}
    is_schema = "properties" in node and isinstance(node.get("type", ""), (str, list))
    return {"additionalProperties": True, **node} if is_schema else node


def names_of(schema: object) -> list[str]:
    """Return the property names of a schema in their order."""
    if isinstance(schema, list):
        return [name for item in schema for name in names_of(item)]
    if not isinstance(schema, dict):
        return []
    objects = [schema.get("properties"), schema.get("const")]
    own = [name for each in objects if isinstance(each, dict) for name in each]
    own += [name for name in schema.get("required") or () if isinstance(name, str)]
    return own + [name for value in schema.values() for name in names_of(value)]


def spellings(value: object, schema: dict[str, Any]) -> list[str]:
    """Return the value as JSON text in the order of its properties, and in that of the schema."""
    order = {name: at for at, name in reversed(list(enumerate(names_of(schema))))}

    def canonical(item: object, *, is_sorted: bool) -> object:
        if isinstance(item, list):
            return [canonical(each, is_sorted=is_sorted) for each in item]
        if isinstance(item, float) and item.is_integer():
            return int(item)
        if not isinstance(item, dict):
            return item
        names = sorted(item, key=lambda name: order.get(name, len(order))) if is_sorted else item
        return {name: canonical(item[name], is_sorted=is_sorted) for name in names}

    values = [canonical(value, is_sorted=is_sorted) for is_sorted in (False, True)]
    return [json.dumps(each, ensure_ascii=False) for each in values]


if __name__ == "__main__":
    main()
