"""Supported template syntax renders like Jinja."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import StrictUndefined
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.exceptions import TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llmtool.errors import TemplateError
from llmtool.templating import Template

VARIABLES: dict[str, object] = {
    "name": "Ada",
    "text": "  one two\nthree  ",
    "number": 7,
    "half": 0.5,
    "empty": "",
    "none": None,
    "yes": True,
    "words": ["pear", "Apple", "fig", "apple"],
    "table": {"b": 2, "a": 1, "items": "shadowed"},
    "rows": [{"k": "x", "v": 2}, {"k": "y", "v": 1}, {"k": "x", "v": 3}],
    "nested": {"deep": [{"er": "here"}]},
    "wide": "ñ😀\x01",
}

SNIPPETS = r"""
Hello {{ name }}!
{{ name.upper() ~ number ~ none ~ half ~ yes }}
{{ words }} {{ table }} {{ (1, 'a') }} {{ [wide] }}
{{ 7 // 2 }} {{ 7 / 2 }} {{ 7 % 4 }} {{ 2 ** 5 }} {{ -number }} {{ +number }} {{ 1 + 2 * 3 - 4 }}
{{ 'ab' * 3 }} {{ [1] * 3 }} {{ [1] + [2] }} {{ 'a' + 'b' }} {{ 3 * 'x' }}
{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ 'a' != 'b' }} {{ 'pear' in words }} {{ 'x' not in name }}
{{ 'da' in name }} {{ 'b' in table }} {{ [1, 2] < [1, 3] }} {{ 3 >= 3 }}
{{ name and number }} {{ empty or 'or' }} {{ not empty }} {{ 'a' if yes else 'b' }} {{ 'a' if empty }}
{{ words[0] }} {{ words[-1] }} {{ words[9] }} {{ words[1:3] }} {{ name[::-1] }} {{ table['b'] }}
{{ nested.deep[0].er }} {{ table.b }} {{ nested['deep'][0]['er'] }} {{ table.missing }} {{ table[3] }}
{{ missing }} {{ missing is defined }} {{ missing|default('d') }} {{ empty|default('e', true) }}
{{ table.items()|list|length }} {{ table['items'] }} {{ table.get('z', 'dflt') }} {{ table.keys()|list }}
{{ name.startswith('A') }} {{ 'a,b,c'.split(',') }} {{ 'a b'.split() }} {{ 'x-y'.split('-', 1)[1] }}
{{ text.strip() }} {{ '<think>x</think>y'.split('</think>')[-1].lstrip('y') }} {{ 'aXb'.replace('X', '-') }}
{{ '-'.join(['a', 'b']) }} {{ 'abc'.find('c') }} {{ 'abcabc'.rfind('b') }} {{ 'a.b'.partition('.') }}
{{ 'ab'.center(6) }}|{{ 'ab'.ljust(4) }}|{{ 'ab'.rjust(4, '.') }}|{{ '7'.zfill(3) }}|{{ 'a\tb'.expandtabs(4) }}
{{ '%s is %d and %.2f, %5s|%-5s|' % ('a', 3, 1.5, 'r', 'l') }} {{ '%(k)s%%' % {'k': 'v'} }} {{ '%r' % ('q',) }}
{{ '{} and {}'.format(1, 'b') }} {{ '{0}{1}{0}'.format('a', 'b') }} {{ '{x:>4}'.format(x=1) }} {{ '{{}}'.format() }}
{{ '%s-%s'|format('a', 1) }} {{ words|join(', ') }} {{ rows|join('-', attribute='k') }} {{ words|length }}
{{ words|first }} {{ words|last }} {{ name|first }} {{ []|first }} {{ words|count }} {{ name|list }}
{{ text|trim }} {{ 'xxaxx'|trim('x') }} {{ name|upper }} {{ name|lower }} {{ 'aB cd-ef (gh'|title }} {{ 'aBC'|capitalize }}
{{ 'one two'|replace('o', '0') }} {{ 'ooo'|replace('o', '0', 2) }} {{ number|string + '!' }} {{ '<&">'|e }} {{ '<b>'|safe }}
{{ '3'|int + 1 }} {{ 'x'|int(9) }} {{ '3.7'|int }} {{ '0x1f'|int(0, 16) }} {{ '2.5'|float }} {{ 'x'|float(1.5) }}
{{ 2.567|round(2) }} {{ 2.1|round(0, 'ceil') }} {{ 2.567|round(1, 'floor') }} {{ (-3)|abs }} {{ 42|round }}
{{ words|sort }} {{ words|sort(case_sensitive=true) }} {{ words|sort(reverse=true) }} {{ rows|sort(attribute='v') }}
{{ rows|sort(attribute='k,v')|map(attribute='v')|list }} {{ table|dictsort }} {{ {'a': 2, 'b': 1}|dictsort(by='value') }}
{{ words|unique|list }} {{ words|map('upper')|list }} {{ rows|map(attribute='k')|join }} {{ rows|sum(attribute='v') }}
{{ [1, 0, 2]|select|list }} {{ [1, 2, 3]|select('odd')|list }} {{ [1, 2, 3]|reject('>', 2)|list }}
{{ rows|selectattr('k', 'equalto', 'x')|list }} {{ rows|rejectattr('v', 'gt', 1)|list }} {{ rows|selectattr('v')|list|length }}
{{ [3, 1, 2]|min }} {{ [3, 1, 2]|max }} {{ rows|max(attribute='v') }} {{ []|max }} {{ words|reverse|list }} {{ 'abc'|reverse }}
{{ [1, 2, 3]|batch(2)|list }} {{ [1, 2, 3]|batch(2, 'x')|list }} {{ [1, 2, 3, 4, 5]|slice(3)|list }} {{ [1, 2, 3]|slice(2, 0)|list }}
{% for k, group in rows|groupby('k') %}{{ k }}={{ group|length }};{% endfor %}
{{ table|items|list }} {{ 'a b c'|wordcount }} {{ 'a\nb\n\nc'|indent }} {{ 'a\nb'|indent(2, true) }} {{ 'a\n\nb'|indent('>', blank=true) }}
{{ 'a long sentence here'|truncate(12) }} {{ 'a long sentence here'|truncate(12, true, '…', 0) }} {{ 'x'|center(5) }}|
{{ number is number }} {{ name is string }} {{ table is mapping }} {{ words is sequence }} {{ none is none }} {{ words is iterable }}
{{ number is odd }} {{ number is even }} {{ number is divisibleby(7) }} {{ yes is boolean }} {{ yes is true }} {{ half is float }}
{{ number is integer }} {{ yes is integer }} {{ 'a' is lower }} {{ 'A' is upper }} {{ 3 is gt(2) }} {{ 3 is in([3]) }} {{ none is sameas(none) }}
{{ missing is undefined }} {{ missing is iterable }} {{ number is not string }} {{ range is callable }} {{ name is callable }}
{% for w in words %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{{ loop.length }};{% endfor %}
{% for w in words %}{{ loop.previtem|default('-') }}<{{ w }}>{{ loop.nextitem|default('-') }} {{ loop.cycle('a', 'b') }}{% endfor %}
{% for w in words %}{{ loop.changed(w|lower) }} {% endfor %}{% for w in [] %}x{% else %}empty{% endfor %}
{% for w in words if w|length > 3 %}{{ loop.index }}{{ w }}{% endfor %}{% for k in table %}{{ k }}{% endfor %}{% for c in name %}{{ c }}.{% endfor %}
{% for k, v in table.items() %}{{ k }}={{ v }};{% endfor %}{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for w in words %}{% if loop.index == 2 %}{% continue %}{% endif %}{% if loop.index == 4 %}{% break %}{% endif %}{{ w }}{% endfor %}
{% for w in [1] %}{% continue %}{% else %}else{% endfor %}{% for x in missing %}x{% else %}none{% endfor %}
{% for n in [{'v': 1, 'c': [{'v': 2, 'c': []}]}] recursive %}{{ loop.depth }}{{ n.v }}{{ loop(n.c) }}{% endfor %}
{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = i + 10 %}{{ x }}{% endfor %}{{ x }}
{% for i in [1, 2] %}{{ y|default('unset') }}{% set y = i %}{% endfor %}{{ y is defined }}
{% if yes %}{% set z = 5 %}{% endif %}{{ z }}{% if empty %}1{% elif number %}2{% else %}3{% endif %}
{% set ns = namespace(a=1, b=[]) %}{% for i in [1, 2] %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set block %}x{{ name }}{% endset %}{{ block }}{% set up|upper %}abc{% endset %}{{ up }}
{% filter upper %}abc {{ name }}{% endfilter %}{% with q = 4, r = number %}{{ q }}{{ r }}{% endwith %}{{ q is defined }}
{% macro m(a, b='B', c=a) %}{{ a }}{{ b }}{{ c }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1) }}{{ m(1, 2, 3, 4) }}{{ m(1, c=5, d=6) }}
{% macro outer() %}[{{ caller('z') }}]{% endmacro %}{% call(x) outer() %}{{ x }}{{ name }}{% endcall %}
{% macro late() %}{{ after }}{% endmacro %}{% set after = 'now' %}{{ late() }}{% macro opt(a) %}{{ a is defined }}{% endmacro %}{{ opt() }}
{% set fact = 5 %}{% macro down(n) %}{{ n }}{% if n > 1 %}{{ down(n - 1) }}{% endif %}{% endmacro %}{{ down(3) }}{{ dict(a=1) }}
a {%- if yes -%}   b   {%- endif -%} c {# note #} d{{- ' e ' -}} f {% raw %}{{ raw }}{% endraw %}
{{ range(5)|list }} {{ range(2, 8, 3)|list }} {{ range(3)|last }} {{ 'é😀'|length }} {{ wide|tojson }}
{{ table|tojson }} {{ rows|tojson(indent=2) }} {{ words|tojson(separators=(',', ':')) }} {{ {'z': 1, 'a': none}|tojson(sort_keys=true) }}
{{ "it's"|tojson }} {{ '<a href="x">'|tojson }} {{ 'é'|tojson(ensure_ascii=true) }} {{ [yes, half]|tojson }}
""".strip().splitlines()  # noqa: E501

WHOLE_FILES = {
    "blocks leave no line behind": "{% if yes %}\n  inside\n  {% endif %}\nafter\n",
    "indented comments": "a\n   {# c #}\nb",
    "a last newline is dropped, a second kept": "a\n\n",
    "CRLF in the template becomes a newline": "a\r\nb{{ name }}\r\n",
    "minus signs strip": "a\n\n  {{- name -}}  \n\n b",
    "generation blocks": "{% generation %}{% set x = 1 %}{{ name }}{% endgeneration %}{{ x }}",
}


def jinja(*, chat: bool) -> ImmutableSandboxedEnvironment:
    """Jinja as transformers sets it up for chat templates."""
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols

    class Generation(Extension):
        tags = {"generation"}

        def parse(self, parser):  # type: ignore[no-untyped-def]
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):  # type: ignore[no-untyped-def]
        return json.dumps(
            value,
            ensure_ascii=ensure_ascii,
            indent=indent,
            separators=separators,
            sort_keys=sort_keys,
        )

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, Generation]
    )
    if not chat:
        environment.undefined = StrictUndefined
    environment.filters["tojson"] = tojson
    return environment


def rendered_by_both(source: str, *, chat: bool = True) -> tuple[str, str]:
    reference = jinja(chat=chat).from_string(source).render(**VARIABLES)
    return Template(source, name="t", chat=chat).render(**VARIABLES), reference


@pytest.mark.parametrize("source", SNIPPETS)
def test_snippets_render_like_jinja(source: str) -> None:
    ours, reference = rendered_by_both(source)
    assert ours == reference


@pytest.mark.parametrize("source", WHOLE_FILES.values(), ids=WHOLE_FILES)
def test_white_space_and_blocks_render_like_jinja(source: str) -> None:
    ours, reference = rendered_by_both(source)
    assert ours == reference


atoms = st.sampled_from(
    [
        "name",
        "number",
        "words",
        "table",
        "rows",
        "none",
        "yes",
        "half",
        "missing",
        "1",
        "'a b'",
        "[]",
    ]
)
operators = st.sampled_from(
    ["+", "-", "*", "~", "==", "!=", "<", ">=", "in", "not in", "and", "or", "//", "%"]
)
filters = st.sampled_from(
    ["|length", "|string", "|list", "|upper", "|first", "|tojson", "|int", "|default('d')", "|join",
     "[0]", ".k", "|sort", "|trim", "|items|list", " is string", " is iterable"]
)  # fmt: skip
expressions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, operators, inner).map(lambda parts: f"({' '.join(parts)})"),
        st.tuples(inner, filters).map(lambda parts: f"({''.join(parts)})"),
        st.tuples(inner, inner, inner).map(lambda p: f"({p[0]} if {p[1]} else {p[2]})"),
        st.tuples(inner, inner).map(lambda p: f"[{p[0]}, {p[1]}]"),
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("chat", [True, False], ids=["chat", "prompt"])
@given(expression=expressions)
def test_any_expression_renders_or_fails_like_jinja(expression: str, chat: bool) -> None:
    source = f"{{{{ {expression} }}}}"
    try:
        reference = jinja(chat=chat).from_string(source).render(**VARIABLES)
    except (JinjaError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError):
        reference = None
    try:
        ours = Template(source, name="t", chat=chat).render(**VARIABLES)
    except TemplateError:
        ours = None
    # In a prompt, an undefined value inside a printed list is an error too.
    assert ours == reference or (ours is None and not chat)


def test_values_are_never_evaluated() -> None:
    value = "{{ 7 * 7 }} {% for x in y %} {x} %s"
    template = Template("{{ a }}|{{ b.c }}", name="t", chat=False)
    assert template.render(a=value, b={"c": value}) == f"{value}|{value}"


@given(st.text())
def test_values_are_preserved(value: str) -> None:
    assert Template("<{{ v }}>", name="t", chat=False).render(v=value) == f"<{value}>"


ERRORS = {
    "a bad tag": ("ok\n{% nonsense %}", "t:2: Encountered unknown tag 'nonsense'"),
    "an open tag": ("{{ a", "t:1: unexpected end of template, expected 'end of print statement'"),
    "a missing variable": ("one\n\n{{ name }}{{ nope }}", "t:3: 'nope' is undefined"),
    "a missing key": ("{{ table.nope }}", "t:1: 'dict object' has no attribute 'nope'"),
    "a missing key in brackets": ("{{ table['nope'] }}", "t:1: 'dict object' has no attribute 'nope'"),  # noqa: E501
    "a value as the key": ("{{ table[name] }}", "t:1: 'dict object' has no such attribute"),
    "a test of a missing variable": ("{% if nope %}{% endif %}", "t:1: 'nope' is undefined"),
    "an unknown filter": (
        "a\n{{ name|uper }}",
        "t:2: unknown filter 'uper'; did you mean 'upper'?",
    ),
    "an unknown test": (
        "{{ name is strng }}",
        "t:1: unknown test 'strng'; did you mean 'string'?",
    ),
    "types that do not add": ("{{ 1 + 'a' }}", "t:1: unsupported operand type(s) for +: 'int' and 'str'"),  # noqa: E501
    "division by zero": ("{{ 1 / 0 }}", "t:1: division by zero"),
    "a call of a text": ("{{ name() }}", "t:1: 'str' object is not callable"),
    "a loop over a number": ("{% for x in 3 %}{% endfor %}", "t:1: 'int' object is not iterable"),
    "too few values": ("{% set a, b = [1] %}", "t:1: not enough values to unpack (expected 2, got 1)"),  # noqa: E501
    "too many arguments": (
        "{% macro m() %}{% endmacro %}{{ m(1) }}",
        "t:1: macro 'm' takes not more than 0 argument(s)",
    ),
    "break outside of a loop": ("a\n{% break %}", "t:2: 'break' outside loop"),
    "include": ("{% include 'x' %}", "t:1: 'include' is not available in templates"),
    "import": ("{% import 'x' as y %}", "t:1: 'import' is not available in templates"),
    "extends": ("{% extends 'x' %}", "t:1: 'extends' is not available in templates"),
    "a changed list": ("{{ words.append(1) }}", "t:1: access to attribute 'append' of 'list' object is unsafe"),  # noqa: E501
}  # fmt: skip


@pytest.mark.parametrize(("source", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_name_line_and_reason(source: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(source, name="t", chat=False).render(**VARIABLES)
    assert str(caught.value) == message


ESCAPES = [
    "{{ ''.__class__.__mro__ }}",
    "{{ name.__class__ }}",
    "{{ name['__class__'] }}",
    "{{ name|attr('__class__') }}",
    "{{ [name]|map(attribute='__class__')|first }}",
    "{{ range.__globals__ }}",
    "{{ range.call }}",
    "{{ range.held }}",
    "{{ namespace.call.__globals__ }}",
    "{{ table.items.__self__ }}",
    "{{ '{0.__class__}'.format(name) }}",
    "{{ ('{0.__class__}'|attr('format'))(name) }}",
    "{{ '{0.__class__}'['format'](name) }}",
    "{{ (['{0.__class__}']|map(attribute='format')|first)(name) }}",
    "{{ '{a.b}'.format(a=name) }}",
    "{{ name.format_map(table) }}",
    "{{ name.encode() }}",
    "{{ self }}",
    "{{ self._TemplateReference__context }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ lipsum() }}",
    "{{ raise_exception('x') }}",
    "{% for x in words %}{{ loop.items }}{% endfor %}",
    "{% for x in words %}{{ loop.__init__ }}{% endfor %}",
    "{% macro m() %}{% endmacro %}{{ m.call }}",
    "{% set n = namespace() %}{{ n.names }}",
    "{{ (1).real }}",
    "{{ none.__class__ }}",
    "{{ open('/etc/passwd') }}",
    "{{ missing.hint }}",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_python_internals_are_unreachable(source: str) -> None:
    with pytest.raises(TemplateError):
        Template(source, name="t", chat=False).render(**VARIABLES)


@pytest.mark.parametrize("source", ESCAPES)
def test_python_internals_are_unreachable_from_chat_templates(source: str) -> None:
    try:
        text = Template(source, name="t", chat=True).render(**VARIABLES)
    except TemplateError:
        return
    assert text == ""


@given(st.text(alphabet="{}%#-ab \n'\"()[].|~+*<=,:0", max_size=60))
def test_any_text_renders_or_fails_cleanly(source: str) -> None:
    try:
        Template(source, name="t", chat=True).render(a="x", b=[1])
    except TemplateError as exc:
        assert str(exc).startswith("t:")
        return
    jinja(chat=True).parse(source)


def test_syntax_errors_name_the_line() -> None:
    source = "a\n\n{{ 'x' "
    with pytest.raises(TemplateSyntaxError) as theirs:
        jinja(chat=True).from_string(source)
    with pytest.raises(TemplateError, match=f"^t:{theirs.value.lineno}: "):
        Template(source, name="t", chat=True)


def test_names_lists_undefined_variables() -> None:
    template = Template(
        "{% set own = 1 %}\n{{ own ~ asked }}{% for x in rows %}{{ x ~ loop.index }}{% endfor %}"
        "\n{% if enable_thinking is defined %}{% endif %}"
        "{% macro m(p) %}{{ p ~ inner }}{% endmacro %}",
        name="t",
        chat=True,
    )
    assert template.names == {"asked": 2, "rows": 2, "enable_thinking": 3, "inner": 3}


def test_strftime_now_uses_the_given_clock() -> None:
    template = Template(
        "{{ strftime_now('%d %b %Y') }}",
        name="t",
        chat=True,
        clock=lambda: datetime(2031, 5, 7),
    )
    assert template.render() == "07 May 2031"


@pytest.mark.parametrize(
    "value", [object(), b"x", {1, 2}, print], ids=["object", "bytes", "set", "function"]
)
def test_values_other_than_plain_data_raise_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="plain data"):
        Template("x", name="t", chat=True).render(v=[value])


def test_jinja2_is_imported_with_the_first_template() -> None:
    check = (
        "import sys; from llmtool.templating import Template as c;"
        "assert 'jinja2' not in sys.modules;"
        "assert c('{{ a }}', name='t', chat=True).render(a=1) == '1'"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


def test_str_format_cannot_reach_internals() -> None:
    assert rendered_by_both("{{ '{0[0]}{1.k}'.format(name, rows[0]) }}")[0] == "Ax"


def test_errors_do_not_quote_values() -> None:
    template = Template("{{ table[key] }}{{ key|int + key }}", name="t", chat=True)
    with pytest.raises(TemplateError) as caught:
        template.render(table={}, key="secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("source", ["{{ 1[1:] }}", "{{ 'a'(1) }}", "{{ 1[0] }}"])
def test_python_warns_of_nothing_in_templates(
    source: str, recwarn: pytest.WarningsRecorder
) -> None:
    Template(source, name="t", chat=True)
    assert not recwarn.list
