"""What a reply must follow, as a value; `constraints.compiler` (14 ms to import) makes it work."""

from __future__ import annotations

from typing import Literal

import msgspec


class Constraint(msgspec.Struct, frozen=True):
    """What a reply must follow: the text of a JSON Schema, a regular expression, or a grammar.

    It holds for the answer, not for a thinking model's thought before it.
    """

    kind: Literal["json_schema", "regex", "gbnf"]
    source: str
