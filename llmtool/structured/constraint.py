"""A constraint on replies, as a value. `compiler`, which takes 14 ms to import, compiles it."""

from __future__ import annotations

from typing import Literal

import msgspec


class Constraint(msgspec.Struct, frozen=True):
    """The source of a JSON Schema, a regular expression or a GBNF grammar that a reply must match.

    It applies to the answer, not to the reasoning before it.
    """

    kind: Literal["json_schema", "regex", "gbnf"]
    source: str
