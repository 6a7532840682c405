"""Convert the rules of a GBNF grammar to a Lark grammar in llguidance's dialect."""

from __future__ import annotations

from collections.abc import Iterator

from llmtool.structured.gbnf import (
    Alternation,
    CharacterClass,
    Node,
    Repeat,
    RuleReference,
    Sequence,
)

_MAX_SIZE = 1 << 30


def to_lark(rules: dict[str, Node]) -> str:
    """Return a Lark grammar that accepts the same texts as `root`.

    Rules without recursion become terminals (upper-case names in Lark), which llguidance joins to
    one regular expression.

    Example:
        >>> from llmtool.structured.gbnf import parse
        >>> print(to_lark(parse('root ::= [ab]+')), end="")
        start: R0
        R0: (/[\\x{61}\\x{62}]/)+
    """
    used, _, recursive = _survey(rules)
    letter = "r" if recursive else "R"
    names = {rule: f"{letter}{index}" for index, rule in enumerate(used)}
    lines = [f"start: {names['root']}"]
    lines += [f"{name}: {_write(rules[rule], names)}" for rule, name in names.items()]
    return "\n".join(lines) + "\n"


def expanded_size(rules: dict[str, Node]) -> int:
    """Return the number of characters that `root` has when all rules are inserted, up to a limit.

    In a recursive grammar, none are: it is the size of the rules.

    Example:
        >>> from llmtool.structured.gbnf import parse
        >>> expanded_size(parse('root ::= a a\\na ::= b b\\nb ::= "xyz"*'))
        12
    """
    _, ended, recursive = _survey(rules)
    sizes: dict[str, int] = {}
    for rule in ended:  # after those that it refers to
        references = sum(1 if recursive else sizes[each] for each in _references(rules[rule]))
        sizes[rule] = min(_MAX_SIZE, references + _count_characters(rules[rule]))
    return sum(sizes.values()) if recursive else sizes["root"]


def _count_characters(node: Node) -> int:
    if isinstance(node, RuleReference):
        return 0
    if isinstance(node, Repeat):
        return _count_characters(node.item)
    if isinstance(node, Sequence):
        return sum(map(_count_characters, node.items))
    return sum(map(_count_characters, node.alternatives)) if isinstance(node, Alternation) else 1


def _survey(rules: dict[str, Node]) -> tuple[list[str], list[str], bool]:
    """Return the rules reachable from `root`, and whether any is recursive.

    They are in the order in which they begin, and in that in which they end.
    """
    open_rules: set[str] = {"root"}
    seen: dict[str, None] = {"root": None}
    ended: list[str] = []
    stack = [("root", _references(rules["root"]))]
    recursive = False
    while stack:
        rule, rest = stack[-1]
        following = next(rest, None)
        if following is None:
            open_rules.discard(rule)
            ended.append(rule)
            stack.pop()
        elif following in open_rules:
            recursive = True
        elif following not in seen:
            seen[following] = None
            open_rules.add(following)
            stack.append((following, _references(rules[following])))
    return list(seen), ended, recursive


def _references(node: Node) -> Iterator[str]:
    if isinstance(node, RuleReference):
        yield node.rule
    elif isinstance(node, Repeat):
        yield from _references(node.item)
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from _references(item)
    elif isinstance(node, Alternation):
        for alternative in node.alternatives:
            yield from _references(alternative)


def _write(node: Node, names: dict[str, str]) -> str:
    if isinstance(node, CharacterClass):
        return f"/{_class(node)}/"
    if isinstance(node, RuleReference):
        return names[node.rule]
    if isinstance(node, Repeat):
        return f"({_write(node.item, names)}){_quantifier(node)}"
    if isinstance(node, Alternation):
        return "(" + " | ".join(_write(item, names) for item in node.alternatives) + ")"
    return " ".join(f"{_write(item, names)}" for item in node.items) or '""'


def _quantifier(node: Repeat) -> str:
    minimum, maximum = node.minimum, node.maximum
    if maximum is None:
        return {0: "*", 1: "+"}.get(minimum, f"{{{minimum},}}")
    return "?" if (minimum, maximum) == (0, 1) else f"{{{minimum},{maximum}}}"


def _class(node: CharacterClass) -> str:
    # Hexadecimal, so that no character is special in Lark or in the regular expression.
    ranges = (
        f"\\x{{{low:x}}}" if low == high else f"\\x{{{low:x}}}-\\x{{{high:x}}}"
        for low, high in node.ranges
    )
    return f"[{'^' if node.negated else ''}{''.join(ranges)}]"
