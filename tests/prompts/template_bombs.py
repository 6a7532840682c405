"""Template files designed to exhaust time or memory; each must fail or stay small."""

from __future__ import annotations

HEAD = "llmtool: 1\nname: bomb\n"
LOOP = "{% for a in range(99999) %}{% endfor %}"


def keys(count: int, value: str, *, indent: str = "") -> str:
    return "".join(f"{indent}k{n}: {value}\n" for n in range(count))


REFUSED = {
    # YAML
    "a billion laughs": HEAD
    + "a: &a [x]\n"
    + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{f'*{chr(97 + n)},' * 9}]\n" for n in range(9)),
    "open brackets": HEAD + "prompt: " + "[" * 500_000,
    "many keys": HEAD + "prompt: x\n" + keys(24_000, "1"),
    "many values": HEAD + "prompt: x\nexamples: [" + "{output: a}," * 60_000 + "]\n",
    "a long file": HEAD + "prompt: '" + "x" * (2 << 20) + "'\n",
    # many of something that is looked at again for each other one
    "many variants": HEAD + "prompt: x\nvariants:\n" + keys(16_000, "{}", indent="  "),
    "variants of a long template": HEAD
    + "prompt: x\nexamples:\n"
    + "- {output: a}\n" * 10_000
    + "variants:\n"
    + keys(50, "{}", indent="  "),
    "long prompts": HEAD
    + "prompt: x\nvariants:\n"
    + keys(7, "{prompt: '" + "{{ 1 }}" * 18_000 + "'}", indent="  "),
    "a wrong input behind many": HEAD
    + "prompt: x\ninputs:\n"
    + keys(5_000, "{type: text}", indent="  ")
    + "  z: {type: q}\nexamples:\n"
    + "- {output: a}\n" * 5_000,
    "a default outside a long enum": HEAD
    + "prompt: x\ninputs: {a: {type: enum, default: z, enum: ["
    + ",".join(f"v{n}" for n in range(40_000))
    + "]}}\n",
    # Jinja, when it is read
    "a long prompt": HEAD + "prompt: '" + "a" * 200_000 + "'\n",
    "braces": HEAD + "prompt: '" + "{" * 120_000 + "'\n",
    "brackets": HEAD + "prompt: '{{ " + "[" * 50_000 + "'\n",
    # Jinja, when it runs
    "nested loops": HEAD
    + "prompt: '"
    + "{% for a in range(99999) %}" * 3
    + "{% endfor %}" * 3
    + "'\n",
    "a loop": HEAD + "prompt: '" + LOOP * 20 + "'\n",
    "a loop for each example": HEAD + f"prompt: '{LOOP}a'\nexamples:\n" + "- {output: a}\n" * 1500,
    "a large text": HEAD + "prompt: \"{{ 'a' * 10 ** 9 }}\"\n",
    "a large text for each example": HEAD
    + "prompt: \"{{ 'a' * 10 ** 7 }}\"\nexamples:\n"
    + "- {output: a}\n" * 100,
    "a power": HEAD + "prompt: '{{ 2 ** (10 ** 10) }}'\n",
    "a growing list": HEAD
    + "prompt: '{% set n = namespace(x=[1]) %}{% for i in range(9999) %}"
    + "{% set n.x = n.x + n.x %}{% endfor %}'\n",
    "a macro calling itself": HEAD + "prompt: '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}'\n",
}
SOUND = {
    "many examples": HEAD + "prompt: x\nexamples:\n" + "- {output: a}\n" * 15_000,
    "many more examples": HEAD + "prompt: x\nexamples+:\n" + "- {output: a}\n" * 15_000,
    "many tests": HEAD + "prompt: x\ntests:\n" + "- {vars: {}}\n" * 12_000,
    "many labels": HEAD
    + "prompt: x\noutput: {labels: ["
    + ",".join(f"v{n}" for n in range(40_000))
    + "]}\n",
    "a few hundred variants": HEAD + "prompt: x\nvariants:\n" + keys(200, "{}", indent="  "),
}
