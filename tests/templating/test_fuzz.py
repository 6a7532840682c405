"""Long fuzzing: whole templates of random statements, against Jinja and against the clock."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmtool.errors import TemplateError
from llmtool.templating import Template

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

values = st.recursive(
    st.sampled_from(["x", "y", "n.x", "i", "1", "3", "'ab'", "[x, y]", "(y, x)", "{'k': x}"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "*", "~", "%", "**", "==", "<", "in"]), inner).map(
            lambda parts: f"({' '.join(parts)})"
        ),
        st.tuples(
            inner,
            st.sampled_from(
                ["|string", "|tojson", "|list", "|sort", "|join", "|unique", "|reverse", "|upper"]
                + ["|map('string')|list", "|batch(2)", "[1:]", ".split('a')", ".replace('', x)"]
                + ["|indent", "|replace('a', y)", ".join(y)", "|length", "|e", "|title"]
            ),
        ).map("".join),
    ),
    max_leaves=4,
)
statements = st.recursive(
    st.one_of(
        values.map(lambda value: f"{{{{ {value} }}}}"),
        values.map(lambda value: f"{{% set x = {value} %}}"),
        values.map(lambda value: f"{{% set n.x = {value} %}}"),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        inner.map(lambda body: f"{{% for i in range(99) %}}{body}{{% endfor %}}"),
        inner.map(lambda body: f"{{% for y in x %}}{body}{{% endfor %}}"),
        inner.map(lambda body: f"{{% set y %}}{body}{{% endset %}}"),
        inner.map(
            lambda body: f"{{% macro m(x) %}}{body}{{% endmacro %}}{{{{ m(y) }}}}{{{{ m(x) }}}}"
        ),
        st.tuples(values, inner).map(lambda p: f"{{% if {p[0]} %}}{p[1]}{{% endif %}}"),
    ),
    max_leaves=8,
)


@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
@given(statements)
def test_any_template_ends_within_limits(body: str) -> None:
    source = "{% set n = namespace(x='a') %}{% set x = 'ab' %}{% set y = ['a'] %}" + body * 3
    started = time.thread_time()
    try:
        Template(source, name="t", chat=True).render(i=0)
    except TemplateError as exc:
        assert str(exc).startswith("t:")
    assert time.thread_time() - started < 5


@settings(max_examples=20_000, deadline=None)
@given(st.text(alphabet="{}%#-+ \n'\"()[].|~*<=,:0abfi\\", max_size=200))
def test_any_source_compiles_or_fails_within_limits(source: str) -> None:
    started = time.thread_time()
    try:
        Template(source, name="t", chat=True).render(a="x", b=[1])
    except TemplateError as exc:
        assert str(exc).startswith("t:")
    assert time.thread_time() - started < 5
