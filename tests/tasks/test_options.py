"""Options of tasks as values."""

from __future__ import annotations

import msgspec

from llmtool.tasks.options import ClassifyOptions


def test_an_explicit_default_is_the_default() -> None:
    """Keys of rows and caches are hashes of options as JSON, which omits defaults."""
    defaults = ClassifyOptions()
    texts = {
        name: "".join([value[:1], value[1:]])  # an equal string that is another object
        for name in defaults.__struct_fields__
        if isinstance(value := getattr(defaults, name), str)
    }
    assert texts
    assert msgspec.json.encode(ClassifyOptions(**texts)) == msgspec.json.encode(defaults)
