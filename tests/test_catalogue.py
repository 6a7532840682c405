"""The tables of guarantees in README.md name tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
TABLES = (HERE / "README.md").read_text().partition("\n# Guarantees\n")[2]
LINES = [line for line in TABLES.splitlines() if line.startswith("| ")]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES]
CASES = [row for row in ROWS if row[0] != "case"]
ENTRY = re.compile(r"`([\w/]+\.py)::(\w+)`")
NAMED = sorted({found for row in CASES for found in ENTRY.findall(row[1])})


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_named_tests_exist(file: str) -> None:
    named = {name for each, name in NAMED if each == file}
    assert named <= functions(HERE / file)
    assert all(name.startswith("test_") for name in named)


def test_every_row_has_tests_or_a_note() -> None:
    assert len(CASES) > 100
    for row in CASES:
        assert len(row) == 3, row
        if row[1] == "none":
            assert row[2], row
        else:
            wrong = [entry for entry in row[1].split(", ") if not ENTRY.fullmatch(entry)]
            assert wrong == [], row


def test_test_names_appear_only_in_table_cells() -> None:
    assert TABLES.count("::") == sum(row[1].count("::") for row in CASES)
