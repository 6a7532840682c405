"""Tables of fixed width in reStructuredText: they grow with the texts of their cells."""

from __future__ import annotations

import pytest
from documents.rewriting import rewrite

from llmtool.documents.accounting import count_protected
from llmtool.documents.formats import parse
from llmtool.documents.types import find_unaccounted

TABLES = {
    "grid": (
        """\
+-------+-----+-------+
| Head  | Two | 12    |
+=======+=====+=======+
| a     | two columns |
+-------+-----+-------+
| two   | - b | 图书  |
| rows  | - c +-------+
|       |     | ``x`` |
+-------+-----+-------+
""",
        """\
+--------+-------+----------+
| HHeadd | TTwoo | 12       |
+========+=======+==========+
| aaa    | ttwoo ccolumnss  |
+--------+-------+----------+
| ttwoo  | - bbb | 图图书书 |
| rrowss | - ccc +----------+
|        |       | ``x``    |
+--------+-------+----------+
""",
    ),
    "simple": (
        """\
=====  ===  ======
  Both      End
----------  ------
one    a b  c
=====  ===  ======
two         d e
            f

..     g    h
=====  ===  ======
""",
        """\
=====  =======  ======
  BBothh        EEndd
--------------  ------
oonee  aaa bbb  ccc
=====  =======  ======
ttwoo           ddd
                eee
                fff
..     ggg      hhh
=====  =======  ======
""",
    ),
    "indented, with a combining character": (
        """\
.. table:: One

   == ===
   e\u0301e c

   d  e
   == ===
""",
        """\
.. table:: OOnee

   ==== ===
   ee\u0301ee ccc

   ddd  eee
   ==== ===
""",
    ),
}


def double_ends(text: str) -> str:
    """Double the first and last letter of each word."""
    return " ".join(word[:1] + word + word[-1:] if word else "" for word in text.split(" "))


@pytest.mark.parametrize("name", TABLES)
def test_table_grows_with_its_texts(name: str) -> None:
    source, expected = TABLES[name]
    document = parse(source, "rst")
    changed = {}
    for index, segment in enumerate(document.segments):
        parts = [double_ends(part) if isinstance(part, str) else part for part in segment.parts]
        assert document.find_fault(segment, parts) is None
        changed[index] = parts
    output = rewrite(document, changed)
    assert output == expected
    assert document.compare(output) is None


def test_every_letter_of_a_table_is_accounted_for() -> None:
    document = parse(TABLES["grid"][0].replace("``x``", ":a: b"), "rst")
    assert find_unaccounted(document) == []
    assert count_protected(document) == {"field or option": 1}


def test_text_that_changes_the_content_of_a_cell_is_a_fault() -> None:
    document = parse(TABLES["simple"][0], "rst")
    (segment,) = document.segments
    parts = ["- End" if part == "End" else part for part in segment.parts]
    assert document.find_fault(segment, parts) == "starts like another kind of block"
