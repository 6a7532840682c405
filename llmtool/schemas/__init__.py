"""What a reply's JSON must be: from a schema, a type or a short form, to a checked value.

The grammar keeps a reply on its way, but not every keyword fits into a grammar: the finished reply
is validated as a whole, formats included.
"""

from llmtool.schemas.resolve import from_argument, resolve
from llmtool.schemas.schema import Schema

__all__ = ["Schema", "from_argument", "resolve"]
