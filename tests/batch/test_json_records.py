"""JSON records: arrays, pretty-printed values, numbers as written, nested fields, messages."""

from __future__ import annotations

import json
import os
import random
import tracemalloc
from collections.abc import Iterator
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import pytest

from llmtool.batch.json_records import MISSING, find_field, join_lines
from llmtool.batch.lines import Line
from llmtool.batch.readers import Reader, Record
from llmtool.batch.runner import BatchOptions
from llmtool.config import Folders, Settings
from llmtool.engine.scripted import ScriptedEngine
from llmtool.toolbox import Toolbox


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def read(content: str, **options: Any) -> list[Record]:
        path = tmp_path / "input.json"
        path.write_text(content)
        return [record for record in Reader("jsonl", [str(path)], **options) if record]

    return read


@pytest.fixture
def prompts() -> list[str]:
    """The prompts sent to the model, in order."""
    return []


@pytest.fixture
def run(tmp_path: Path, prompts: list[str]) -> Any:
    """Run `gen` or another template on JSON; return the rows."""

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        return "Yes"

    folders = Folders(
        config=tmp_path / "config",
        data=tmp_path / "data",
        cache=tmp_path / "cache",
        hub_cache=tmp_path / "hub",
    )
    box = Toolbox(engine=ScriptedEngine(answer), folders=folders, settings=Settings(), environ={})

    def run(content: str, *, template: str = "gen", **options: Any) -> list[str]:
        source = tmp_path / "in.jsonl"
        source.write_text(content)
        reader = Reader("jsonl", [str(source)], **options.pop("reader", {}))
        output = BatchOptions(output=options.pop("output", None), resume=True)
        batch = box.prepare_batch(template, reader, output, **options)
        return [row.line.decode() for row in batch.run()]

    return run


VALUES = ['"]"', '{"a": [1, {"b": "}"}]}', '"\\"\\\\"', "[]", "1.50", '"é,[\\""', "null", "{}"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1 << 16])
def test_elements_of_an_array_are_records(
    read: Any, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("llmtool.batch.lines._CHUNK_BYTES", size)
    generator = random.Random(5)
    for _ in range(20):
        texts = generator.choices(VALUES, k=generator.randrange(6))
        rows = [{"text": f"{i}", "value": json.loads(text)} for i, text in enumerate(texts)]
        content = json.dumps(rows, indent=generator.choice([None, 2]), ensure_ascii=False)
        records = read(generator.choice(["", "\ufeff", "\n "]) + content + "\n")
        assert [record.fields for record in records] == rows
        assert not any(record.error for record in records)


def test_records_of_an_array_have_line_numbers(read: Any) -> None:
    records = read('[\n  {"text": "a"},\n\n  {"text":\n "b"}, {"text": }\n, "c"\n]\n')
    assert [record.line for record in records] == [2, 4, 5, 6]
    assert [record.error is None for record in records] == [True, True, False, True]


@pytest.mark.parametrize(
    ("content", "n_good", "n_bad"),
    [
        ("", 0, 0),
        (" \n", 0, 0),
        ("[]", 0, 0),
        ("[]\n", 0, 0),
        ("[1]", 0, 1),
        ("[1]\n[2]\n", 0, 2),
        ('[{"text": "a"}, {"text": "b"}', 2, 1),
        ('[{"text": "a"},', 1, 1),
        ('[{"text": "a"}, {"text": "b', 1, 2),
        ('[{"text": "a"},, {"text": "b"}]', 2, 1),
        ('[{"text": "a"}] x', 1, 1),
        ('[{"text": "a"}] {"text": "b"}', 2, 0),
        ("[", 0, 1),
        ("[[1], 2]", 0, 2),
    ],
)
def test_malformed_array(read: Any, content: str, n_good: int, n_bad: int) -> None:
    records = read(content)
    assert sum(record.error is None for record in records) == n_good
    assert sum(record.error is not None for record in records) == n_bad


def test_unclosed_array_is_an_error(read: Any) -> None:
    good, end = read('[{"text": "a"}\n\n')
    assert (good.error, end.line) == (None, 3)
    assert str(end.error).endswith("input.json, line 3: not valid JSON: ends too early")


def test_array_from_a_pipe_is_read_as_it_arrives() -> None:
    r, w = os.pipe()
    records: Iterator[Record | None] = iter(Reader("jsonl", [f"/dev/fd/{r}"]))
    os.write(w, b"[")
    assert next(records) is None
    os.write(w, b'\n{"text": "a"},\n{"te')
    first = next(records)
    assert first is not None and first.fields == {"text": "a"}
    assert next(records) is None
    os.write(w, b'xt": "b"}]')
    second = next(records)
    while second is None:
        second = next(records)
    assert second.fields == {"text": "b"}
    os.close(w)
    assert list(filter(None, records)) == []


@pytest.mark.parametrize("size", [1, 3, 1 << 16])
@pytest.mark.parametrize("indent", [0, 1, 2, "\t"])
def test_pretty_printed_objects_are_records(
    read: Any, monkeypatch: pytest.MonkeyPatch, size: int, indent: Any
) -> None:
    monkeypatch.setattr("llmtool.batch.lines._CHUNK_BYTES", size)
    generator = random.Random(6)
    for end in ("\n", "\r\n", "\n\n"):
        texts = generator.choices(VALUES, k=generator.randrange(1, 6))
        rows = [
            {"id": i, "value": {"list": [{}, json.loads(text)]}} for i, text in enumerate(texts)
        ]
        indents = [generator.choice([None, indent, indent]) for _ in rows]
        parts = [
            json.dumps(row, indent=n) for row, n in zip(rows, [indent, *indents], strict=False)
        ]
        content = end.join(parts).replace("\n", "\r\n" if end == "\r\n" else "\n")
        records = read(generator.choice(["", "\ufeff", "\n"]) + content)
        assert [record.fields for record in records] == rows
        assert not any(record.error for record in records)


PRETTY = '{\n  "text": "a",\n  "n": [\n    {"k": 1.50}\n  ]\n}'


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (f"{PRETTY}\n{PRETTY}\n", "1 7"),
        (f'{PRETTY}{PRETTY} {{"text": "b"}}', "1 6 11"),
        (f'{PRETTY}\n"text"\n{PRETTY}\n{{"text": "}}"}}\n', "1 7 8 14"),
        (f'{{"text": 5,\n{PRETTY}\n', "-1 2"),
        (PRETTY.replace('"n"', '"n') + f"\n{PRETTY}\n", "-1 7"),
        (PRETTY.replace("]", "}") + f"\n{PRETTY}\n", "-1 7"),
        (PRETTY.replace("]\n}", "]") + f"\n{PRETTY}\n", "-1 6"),
        (f"{PRETTY},\n{PRETTY}\n", "-1 7"),
        (f"{PRETTY}\n}}\n{PRETTY}\n", "1 -7 8"),
        (f"{PRETTY}\n{{\n", "1 -7"),
        ('{"text": 1,\n{"text": "b"}\n', "-1 2"),
        ('{"text":\n{"text": "b"}\n{"text": [\n{"text": "c"}\n', "-1 2 -3 4"),
        ('{"text":\n\n{"text": "b"}\n', "-1 3"),
        ('{"text": [\n"b"\n{"text": "c"}\n', "-1 2 3"),
        ('{"text": "a\nb"}\n{"text": "c"}\n', "-1 -2 3"),
        ('{"text": "{"}\n{"text": "\\"}"}\n{"text": "["}\n', "1 2 3"),
        ('{"text": "a"}\n[{"role":\n[{"role": "user", "content": "b"}]\n', "1 -2 3"),
        ("[[[\n" + PRETTY + "\n", "-1 2"),
    ],
)
def test_lines_of_records_and_of_errors(read: Any, content: str, lines: str) -> None:
    content = '{"text": "first"}\n' + content
    found = [-r.line if r.error else r.line for r in read(content)[1:] if r.line]
    assert [abs(line) - 1 for line in found] == [abs(int(line)) for line in lines.split()]
    assert [line > 0 for line in found] == [int(line) > 0 for line in lines.split()]


def test_error_in_a_value_over_several_lines_has_its_line(read: Any) -> None:
    _, bad = read(PRETTY + "\n" + PRETTY.replace('"n":', '"n"'))
    assert bad.line == 7
    assert str(bad.error).endswith("line 7: not valid JSON: expected ':' (line 9, byte 6)")


def test_value_over_several_lines_that_is_too_long(
    read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmtool.batch.json_records.MAX_BYTES", 1000)
    rows = "".join(f"  {n},\n" for n in range(500))
    bad, good = read(f'{{"text": [\n{rows}]}}\n{PRETTY}\n')
    assert "line 1 is longer than" in str(bad.error)
    assert (good.error, good.line) == (None, 503)


def test_damaged_value_is_read_in_bounded_memory(tmp_path: Path) -> None:
    lines = (Line(b'"' + b"x" * 10**6 + b'",', b"\n", n, n) for n in count(2))
    joined = join_lines(chain([Line(b'{"a": [', b"\n", 1, 0)], lines))
    tracemalloc.start()
    assert list(islice(joined, 60)) == [None] * 60
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * 10**6


def test_resume_continues_after_values_over_several_lines(run: Any, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    rows = [f'{{\n  "text": "{text}",\n  "n": 1.50\n}}\n' for text in "abc"]
    assert len(run("".join(rows[:2]), output=output)) == 2
    (row,) = run("".join(rows), output=output)
    assert '{"input_text":"c","n":1.50,' in row


@pytest.mark.parametrize(
    "number",
    ["12345678901234567890.5", "1.50", "-0", "1e5", "1E+400", "9" * 5000, "0.1000000000000000055"],
)
def test_numbers_pass_through_as_written(run: Any, prompts: list[str], number: str) -> None:
    (row,) = run(f'{{"text": "a", "n": {number}, "list": [{{"n": {number}}}]}}')
    assert f'"n":{number},' in row and f'{{"n":{number}}}' in row.replace(" ", "")
    run(f'{{"text": "a", "data": {{"n": {number}}}}}', field="data.n")
    assert prompts[-1].strip().endswith(number)


def test_nan_becomes_null_and_other_numbers_stay_as_written(run: Any) -> None:
    (row,) = run('{"text": "a", "score": NaN, "list": [-Infinity, 1.50]}')
    assert row.startswith('{"input_text":"a","score":null,"list":[null,1.50],')


def test_last_of_repeated_keys_counts(run: Any, prompts: list[str]) -> None:
    (row,) = run('{"text": "a", "n": 1, "text": "b"}')
    assert row.startswith('{"input_text":"b","n":1,')
    assert prompts[-1].strip().endswith("b")


def test_half_of_a_surrogate_pair_is_an_error_or_replaced(read: Any) -> None:
    content = '{"text": "a\\ud83d", "n": 1.50}\n{"text": "\\ud83d\\ude00"}\n'
    bad, good = read(content)
    assert "line 1: \\ud83d is half of a surrogate pair; pass errors='replace'" in str(bad.error)
    assert good.fields == {"text": "\U0001f600"}
    assert read(content, errors="replace")[0].fields == {"text": "a\ufffd", "n": 1.5}


def test_rows_with_unusual_numbers_are_resumed(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    content = '{"text": "a", "n": 1e400}\n{"text": "b", "n": NaN}\n{"text": "c"}\n'
    assert len(run(content, output=out)) == 3
    whole = out.read_bytes()
    out.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
    assert len(run(content, output=out)) == 1
    assert out.read_bytes() == whole


def test_numbers_of_inputs_are_as_written(run: Any, prompts: list[str]) -> None:
    run('{"input": "a", "prompt": 12345678901234567890.50}')
    assert "12345678901234567890.50\n" in prompts[-1]


@pytest.mark.parametrize(
    ("value", "path", "found"),
    [
        ({"data": {"text": "x"}}, "data.text", "x"),
        ({"data.text": "dot", "data": {"text": "x"}}, "data.text", "dot"),
        ({"a": {"b.c": 1, "b": {"c": 2}}}, "a.b.c", 1),
        ({"a.b": {"c": 1}, "a": {"x": 2}}, "a.b.c", 1),
        ({"a": [{"b": 1}, {"b": 2}]}, "a.1.b", 2),
        ({"a": [1]}, "a.1", MISSING),
        ({"a": [1]}, "a.x", MISSING),
        ({"a": "text"}, "a.b", MISSING),
        ({"a": {"": 1}}, "a.", 1),
        ({"a": None}, "a", None),
    ],
)
def test_nested_fields(value: Any, path: str, found: Any) -> None:
    assert find_field(value, path) is found or find_field(value, path) == found


def test_missing_nested_field_fails_its_record(run: Any, prompts: list[str]) -> None:
    good, bad = run('{"data": {"text": "x"}}\n{"data": {}}\n', field="data.text")
    assert '"text":"Yes"' in good
    assert "field 'data.text' is missing; fields: data" in bad
    assert prompts[0].strip().endswith("x")


CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "1"},
    {"role": "user", "content": [{"type": "text", "text": "Two?"}]},
    {"role": "assistant", "content": "2"},
]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"id": 1, "messages": CHAT}),
        json.dumps([{"id": 1, "messages": CHAT}]),
        json.dumps(CHAT) + "\n" + json.dumps(CHAT),
    ],
    ids=["object", "array", "lines of lists"],
)
def test_reply_continues_a_conversation(run: Any, prompts: list[str], content: str) -> None:
    rows = run(content)
    assert all('"text":"Yes"' in row for row in rows)
    assert prompts[0].split("\n") == [
        "system: Be brief.",
        "user: One?",
        "assistant: 1",
        "user: Two?",
    ]


def test_conversation_is_a_text_for_a_template_with_a_prompt(run: Any, prompts: list[str]) -> None:
    run(json.dumps({"chat": CHAT, "id": 1}), field="chat", options={"variables": {"prompt": "Sum"}})
    assert "Sum" in prompts[-1] and "User: One?\n\nAssistant: 1" in prompts[-1]
    run(json.dumps({"messages": CHAT}), template="title")
    assert "System: Be brief.\n\nUser: One?" in prompts[-1]


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([{"role": "assistant", "content": "x"}], "have none with the role user"),
        ([{"role": "tool", "content": "x"}, CHAT[1]], "unknown role 'tool'"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "message 1 has content other"),
        ([{"role": "user", "content": ""}], "have none with the role user"),
        ([], "is a list; it must be text"),
        (["a"], "is a list; it must be text"),
    ],
)
def test_invalid_messages_fail_their_record(run: Any, messages: Any, reason: str) -> None:
    (row,) = run(json.dumps({"messages": messages}))
    assert reason in json.loads(row)["error"]
