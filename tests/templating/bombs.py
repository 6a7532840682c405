"""Templates designed to exhaust time or memory; as a script, render the named ones and report.

python bombs.py NAME…     one JSON line per name: the error, the seconds, the peak in MiB
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path


def doubled(start: str, step: str, times: int = 40) -> str:
    return start + step * times


LISTS = doubled("{% set x = ['a'] %}", "{% set x = [x, x] %}")
TWINS = LISTS + doubled("{% set y = ['a'] %}", "{% set y = [y, y] %}")
TUPLES = doubled("{% set x = (1, 2) %}", "{% set x = (x, x) %}")
BIG = "{% set big = 'a' * 1000000 %}"
GROWING = (
    "{{% set n = namespace(x={0}) %}}"
    "{{% for i in range(9999) %}}{{% set n.x = {1} %}}{{% endfor %}}"
)

BOMBS = {
    # loops
    "nested loops": "{% for a in range(99999) %}" * 4 + "{% endfor %}" * 4,
    "nested loops that print": "{% for a in range(99999) %}" * 2 + "x" + "{% endfor %}" * 2,
    "a range": "{% for a in range(10 ** 15) %}{% endfor %}",
    "a loop over characters": "{% for a in 'a' * 60000000 %}{% endfor %}",
    "a recursive loop": "{% for x in [1] recursive %}{{ loop([1, 2]) }}{% endfor %}",
    # arithmetic
    "text times a number": "{{ 'a' * 10 ** 10 }}",
    "list times a number": "{{ [0] * 10 ** 10 }}",
    "power": "{{ 2 ** (10 ** 10) }}",
    "multiplication": GROWING.format("3", "n.x * n.x"),
    "text plus text": GROWING.format("'a'", "n.x + n.x"),
    "text next to text": GROWING.format("'a'", "n.x ~ n.x"),
    "list plus list": GROWING.format("[1]", "n.x + n.x"),
    "a list in a list": GROWING.format("[]", "[n.x]") + "{{ n.x }}",
    "a growing mapping": GROWING.format("{}", "dict(n.x, **{'k' ~ i: 1})"),
    # values that share their parts
    "shared lists printed": LISTS + "{{ x }}",
    "shared lists as JSON": LISTS + "{{ x|tojson }}",
    "shared lists as text": LISTS + "{{ x|string|length }}",
    "shared lists joined": LISTS + "{{ x|join }}",
    "shared lists formatted": LISTS + "{{ '{}'.format(x) }}",
    "shared lists in a %-format": LISTS + "{{ '%r' % [x] }}",
    "shared lists compared": TWINS + "{{ x == y }}",
    "shared lists ordered": TWINS + "{{ x < y }}",
    "shared lists searched": TWINS + "{{ x in [y] }}",
    "shared lists sorted": TWINS + "{{ [x, y]|sort|length }}",
    "shared lists indexed": TWINS + "{{ [x].index(y) }}",
    "shared lists in a test": TWINS + "{{ x is eq(y) }}",
    "shared lists changing": TWINS + "{% for i in [x, y] %}{{ loop.changed(i) }}{% endfor %}",
    "shared tuples as key": TUPLES + "{{ {x: 1} }}",
    "shared tuples looked up": TUPLES + "{{ {'a': 1}[x] }}",
    "shared mappings": doubled("{% set x = {} %}", "{% set x = {'a': x, 'b': x} %}") + "{{ x }}",
    # captures and macros
    "captures": doubled("{% set x = 'aa' %}", "{% set x %}{{ x }}{{ x }}{% endset %}", 60),
    "filtered captures": doubled(
        "{% set x = 'aa' %}", "{% set x|upper %}{{ x }}{{ x }}{% endset %}"
    ),
    "a macro calling itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "a macro calling itself twice": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}"
    "{% endif %}{% endmacro %}{{ m(40) }}",
    "macros calling each other": "{% macro m0() %}aaaaaaaa{% endmacro %}"
    + "".join(
        f"{{% macro m{n}() %}}{{{{ m{n - 1}() }}}}{{{{ m{n - 1}() }}}}{{% endmacro %}}"
        for n in range(1, 45)
    )
    + "{{ m44() }}",
    "callers": "{% macro m() %}{{ caller() }}{% endmacro %}"
    "{% macro r() %}{% call m() %}{{ r() }}{% endcall %}{% endmacro %}{{ r() }}",
    "many arguments": "{% macro m() %}{{ varargs }}{% endmacro %}{{ m(*([0] * 5000000)) }}",
    # formats and methods
    "a wide %-format": "{{ '%0999999999d'|format(1) }}",
    "a precise %-format": "{{ '%.999999999f' % 1 }}",
    "a %-format with a star": "{{ '%*d' % (999999999, 1) }}",
    "many %-fields": "{{ ('%%' * 20000000) % () }}",
    "a wide format": "{{ '{:>999999999}'.format(1) }}",
    "a format in a format": "{{ '{:{}}'.format(1, 999999999) }}",
    "a repeated field": BIG + "{{ ('{0}' * 1000).format(big) }}",
    "replace": BIG + "{{ big.replace('a', big) }}",
    "replace nothing": BIG + "{{ big|replace('', big) }}",
    "join": BIG + "{{ range(1000)|join(big) }}",
    "str.join": BIG + "{{ big.join(big) }}",
    "ljust": "{{ 'a'.ljust(10 ** 10) }}",
    "zfill": "{{ 'a'.zfill(10 ** 10) }}",
    "center": "{{ 'a'|center(10 ** 10) }}",
    "expandtabs": "{{ ('\t' * 1000000).expandtabs(100000) }}",
    "split": "{{ ('a ' * 30000000).split() }}",
    "splitlines": "{{ ('\n' * 60000000).splitlines() }}",
    "characters": "{{ ('ab' * 30000000)|list|length }}",
    "strip": BIG + "{{ big.strip('b' * 1000000 ~ 'a') }}",
    "rfind": BIG + "{{ (big * 10).rfind('b' ~ big) }}",
    "repeated search": BIG
    + "{% for i in range(99999) %}{% if big ~ 'b' in big %}{% endif %}{% endfor %}",
    "repeated comparison": BIG
    + "{% for i in range(99999) %}{% if big == big ~ '' %}{% endif %}{% endfor %}",
    # filters
    "indent": "{{ 'a\nb'|indent(10 ** 10) }}",
    "indent many lines": "{{ ('a\n' * 1000000)|indent(10000) }}",
    "JSON with indent": "{{ ([[[1]]] * 1000000)|tojson(indent=10000) }}",
    "batch": "{{ [1]|batch(10 ** 10, 'x') }}",
    "slice": "{{ [1]|slice(10 ** 10) }}",
    "round": "{{ 5|round(-10 ** 10) }}",
    "title": "{{ ('a ' * 20000000)|title }}",
    "escape": "{{ ('<' * 20000000)|e }}",
    "upper": "{{ ('\u0390' * 20000000)|upper }}",
    "escapes in JSON": "{{ ('\x01' * 20000000)|tojson }}",
    "escapes in repr": "{{ ['\x01' * 20000000] }}",
    "wide characters": "{% set x = 'a' * 20000000 %}{{ x }}{{ x }}{{ '\U0001f600' }}",
    "map": "{{ range(99999)|list|map(attribute='q')|list }}" * 99,
    "sort": BIG + "{% for i in range(999) %}{{ [big ~ 1, big ~ 2]|sort|length }}{% endfor %}",
    "a long attribute path": "{{ [1]|map(attribute='a.' * 10000000)|list }}",
    "a time format": "{{ strftime_now('%0999999999d') }}",
    # sources
    "a long source": "a" * 300_000,
    "parentheses": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "a long sum": "{{ 1" + "+1" * 60_000 + " }}",
    "brackets": "{{ " + "[" * 20_000 + "]" * 20_000 + " }}",
    "many ifs": "{% if 1 %}" * 8000 + "{% endif %}" * 8000,
    "a chain of filters": "{{ 'a'" + "|upper" * 30_000 + " }}",
    "a long integer": "{{ " + "9" * 200_000 + " }}",
    "keys of one hash": "{{ {" + ",".join(f"{n * (2**61 - 1)}:1" for n in range(1, 9000)) + "} }}"
    "{{ [0] * 10 ** 10 }}",
    "open tags": "{{" * 100_000,
    "spaces": (" " * 100 + "{%" + " " * 100) * 1000,
}


def peak_mib() -> float:
    """Return the peak memory of this process; on Linux getrusage includes the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024**2 if sys.platform == "darwin" else peak / 1024


def main(names: list[str]) -> None:
    from llmtool.errors import TemplateError
    from llmtool.templating import Template

    for name in names:
        start = time.perf_counter()
        try:
            Template(BOMBS[name], name="bomb", chat=True).render()
            error = None
        except TemplateError as exc:
            error = str(exc)
        seconds = time.perf_counter() - start
        report = {"name": name, "error": error, "seconds": seconds, "peak_mib": peak_mib()}
        sys.stdout.write(json.dumps(report) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
