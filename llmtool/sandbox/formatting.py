"""`'%s' % x` and `'{}'.format(x)` without their traps.

Each field is formatted on its own, so that widths and precisions are bounded and every result is
paid for. Left out of `str.format`: attributes and indexes (`{0.a[b]}`), and fields inside a field's
specification; left out of `%`: a `*` as width or precision.
"""

from __future__ import annotations

import re

from llmtool.sandbox.budget import Budget, Fault, join
from llmtool.sandbox.values import SCALARS, Undefined, kind, text_of

MAX_WIDTH = 1000

_PERCENT = re.compile(
    r"%(?:\((?P<key>[^()]*)\))?"
    r"(?P<flags>[#0\- +]*)(?P<width>\d*)(?P<precision>\.\d*)?[hlL]?(?P<conversion>.)?",
    re.DOTALL,
)
_DIGITS = re.compile(r"\d+")


def _bounded(specification: str) -> str:
    for digits in _DIGITS.findall(specification):
        if len(digits) > 4 or int(digits) > MAX_WIDTH:
            raise Fault(f"a format is wider than {MAX_WIDTH} characters")
    return specification


def percent(template: str, values: object, budget: Budget) -> str:
    """Return `template % values`."""
    positional = values if isinstance(values, tuple) else (values,)
    parts: list[str] = []
    taken = position = 0
    budget.scan(template)
    for field in _PERCENT.finditer(template):
        budget.step(4)
        parts.append(budget.built(template[position : field.start()]))
        position = field.end()
        if field["conversion"] == "%":
            parts.append("%")
            continue
        if field["key"] is not None:
            if not isinstance(values, dict) or field["key"] not in values:
                raise Fault(f"the format needs a value named {field['key']!r}")
            value = values[field["key"]]
        elif taken < len(positional):
            value = positional[taken]
            taken += 1
        else:
            raise Fault("the format has more fields than values")
        parts.append(budget.built(_percent_field(field, value, budget)))
    if taken < len(positional) and not isinstance(values, (dict, list, Undefined)):
        raise Fault("the format has fewer fields than values")
    parts.append(budget.built(template[position:]))
    return join(parts, "", budget)


def _percent_field(field: re.Match[str], value: object, budget: Budget) -> str:
    conversion = field["conversion"] or ""
    if conversion not in "diouxXeEfFgGcrsa" or not conversion:
        raise Fault(f"unsupported format character {conversion!r}")
    plain = "%" + _bounded(field["flags"] + field["width"] + (field["precision"] or ""))
    if conversion == "s":
        return (plain + "s") % text_of(value, budget)
    if conversion in "ra":
        listed = text_of([value], budget)[1:-1]
        return (plain + "s") % (ascii(listed) if conversion == "a" else listed)
    if isinstance(value, Undefined):
        value.fail()
    if not isinstance(value, SCALARS):
        raise Fault(f"%{conversion} needs a number, not {kind(value)}")
    return (plain + conversion) % (value,)


def str_format(
    budget: Budget, template: str, args: tuple[object, ...], kwargs: dict[str, object]
) -> str:
    """Return `template.format(*args, **kwargs)`."""
    import string

    parts: list[str] = []
    automatic = 0
    budget.scan(template)
    for literal, name, specification, conversion in string.Formatter().parse(template):
        budget.step(4)
        parts.append(budget.built(literal))
        if name is None:
            continue
        if not name:
            name, automatic = str(automatic), automatic + 1
        value = _named(name, args, kwargs)
        if conversion == "r":
            value = text_of([value], budget)[1:-1]
        elif conversion == "s":
            value = text_of(value, budget)
        elif conversion:
            raise Fault(f"unsupported conversion !{conversion}")
        parts.append(budget.built(_format_field(value, specification or "", budget)))
    return join(parts, "", budget)


def _named(name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
    if name.isascii() and name.isdigit():
        if len(name) < 5 and int(name) < len(args):
            return args[int(name)]
    elif name in kwargs:
        return kwargs[name]
    elif "." in name or "[" in name:
        raise Fault("attributes and indexes are not available in a format field")
    raise Fault(f"the format needs a value for the field {name!r}")


def _format_field(value: object, specification: str, budget: Budget) -> str:
    if "{" in specification:
        raise Fault("a format field cannot hold another one")
    if not specification:
        return text_of(value, budget)
    if isinstance(value, Undefined):
        value.fail()
    if not isinstance(value, SCALARS) or value is None:
        raise Fault(f"{kind(value)} takes no format specification")
    return format(value, _bounded(specification))
