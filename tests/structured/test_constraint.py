"""Constrained replies satisfy a schema, a regular expression or a grammar, with any model."""

from __future__ import annotations

import ctypes
import gc
import json
import math
import random
import re
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.context import Context
from llmtool.engine.llama.model import LlamaModel
from llmtool.errors import LlmtoolError, OutputValidationError, UsageError
from llmtool.machine import allocated_bytes
from llmtool.structured import compiler as compiler_module
from llmtool.structured.compiler import ConstraintCompiler, Matcher
from llmtool.structured.constraint import Constraint
from llmtool.structured.guidance import ByteVocabulary
from llmtool.structured.json_numbers import NumberLength
from llmtool.structured.regex_gbnf import to_gbnf
from llmtool.structured.resolve import resolve
from llmtool.structured.schema_converter import convert
from llmtool.structured.token_mask import allowed_tokens, apply_mask
from llmtool.tasks.pipeline.output_spec import make_output_spec

ARITHMETIC = r"""
# sums of numbers
root ::= term (" + " term)*
term ::= number | "(" root ")"
number ::= [1-9] [0-9]{0,3}
"""
MINUS_INFINITY = float("-inf")


@pytest.fixture(scope="module")
def weights(tiny_model: Callable[..., Path]) -> LlamaModel:
    return load(tiny_model("plain"))


@pytest.fixture(scope="module")
def compiler(weights: LlamaModel) -> ConstraintCompiler:
    return ConstraintCompiler(weights)


def load(path: Path) -> LlamaModel:
    return LlamaModel(path, n_gpu_layers=0, vocab_only=True, cancellation=Cancellation())


SLOW_IMPORT = """
import threading, time
from importlib.machinery import ExtensionFileLoader as Loader

execute = Loader.exec_module
Loader.exec_module = lambda self, module: (time.sleep(0.1), execute(self, module))
from llmtool.structured.guidance import library

found = []
threads = [threading.Thread(target=lambda: found.append(library().LLTokenizer)) for _ in range(4)]
for each in threads: each.start()
for each in threads: each.join()
print(len(found))
"""


def test_threads_wait_for_the_import_of_the_library() -> None:
    done = subprocess.run([sys.executable, "-c", SLOW_IMPORT], capture_output=True, text=True)
    assert done.stdout == "4\n", done.stderr


def json_schema(schema: object) -> Constraint:
    return Constraint("json_schema", json.dumps(schema))


def rejected_after(weights: LlamaModel, matcher: Matcher, text: str) -> bytes | None:
    """Return the bytes of a text that were accepted before a token was rejected, or None."""
    accepted = b""
    for token in weights.tokenize(text.encode(), add_special=False, parse_special=False):
        if not matcher.allows(token):
            return accepted
        matcher.accept(token)
        accepted += weights.piece(token)
    return None


def accepts(
    weights: LlamaModel, compiler: ConstraintCompiler, constraint: Constraint, text: str
) -> bool:
    matcher = compiler.compile(constraint).start()
    return rejected_after(weights, matcher, text) is None and matcher.complete


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ('{"a": [1, 2], "b": {"c": null}}', True),
        (' {"a": [], "b": {}}', True),  # a reply may begin with white space, which is dropped
        ('{"a":[1, 2], "b": {}}', False),
        ('{"a": [1,2], "b": {}}', False),
        ('{"a": [1, 2],\n"b": {}}', False),
        ('{"a": [1, 2 ], "b": {}}', False),
        ('{ "a": [], "b": {}}', False),
        ('{"a": [], "b": {"\\u00e9": 1}}', False),
        ('{"a": [], "b": {"\\ud800": 1}}', False),
    ],
)
def test_json_is_one_line_as_json_dumps_writes_it(
    weights: LlamaModel, compiler: ConstraintCompiler, text: str, accepted: bool
) -> None:
    properties = {"a": {"type": "array"}, "b": {"type": "object"}}
    schema = {"type": "object", "properties": properties, "required": ["a", "b"]}
    assert accepts(weights, compiler, json_schema(schema), text) is accepted


def sample(weights: LlamaModel, matcher: Matcher, seed: int, *, steps: int = 3000) -> str:
    """Sample random allowed tokens until the reply ends; closing brackets become more likely."""
    rng = random.Random(seed)
    closing = {t for t in range(weights.n_vocab) if set(weights.piece(t)) & set(b'"]}')}
    reply = b""
    for step in range(steps):
        token = rng.randrange(weights.n_vocab)
        if not matcher.allows(token):
            logits = (ctypes.c_float * weights.n_vocab)()
            matcher.mask_logits(ctypes.cast(logits, ctypes.POINTER(ctypes.c_float)))
            allowed = [token for token, logit in enumerate(logits) if logit == 0]
            ends = [token for token in allowed if token in closing or weights.is_end(token)]
            token = rng.choice(ends if ends and rng.random() < step / 20 else allowed)
            assert matcher.allows(token)
        matcher.accept(token)
        if weights.is_end(token):
            return reply.decode()
        reply += weights.piece(token)
        if matcher.finished:
            return reply.decode()
    pytest.fail(f"no end after {steps} tokens: {reply[:200]!r}")


NAMES = st.sampled_from(["a", "b", "name", "größe", "日本", 'a"b', "x y", "z\\"])
NUMBERS = st.integers(-1000, 1000)


def bounds(minimum: str, maximum: str, limits: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    return st.tuples(limits, limits).map(lambda two: {minimum: min(two), maximum: max(two)})


LEAVES = st.one_of(
    st.sampled_from([{"type": "null"}, {"type": "boolean"}, {"type": "number"}, {}]),
    st.just({"type": "integer"}),
    bounds("minimum", "maximum", NUMBERS).map(lambda b: {"type": "integer", **b}),
    bounds("minimum", "maximum", NUMBERS).map(lambda b: {"type": "number", **b}),
    bounds("minLength", "maxLength", st.integers(0, 12)).map(lambda b: {"type": "string", **b}),
    st.sampled_from(["date", "time", "date-time", "uuid", "ipv4", "email", "uri"]).map(
        lambda name: {"type": "string", "format": name}
    ),
    st.sampled_from(["^[a-z]{2,5}$", "^(ja|nein)$", "^\\d{3}$", "^[^x]{0,4}$", "é+$"]).map(
        lambda pattern: {"type": "string", "pattern": pattern, "maxLength": 8}
    ),
    st.lists(st.one_of(NAMES, NUMBERS, st.none(), st.booleans()), min_size=1, max_size=4).map(
        lambda values: {"enum": values}
    ),
    st.one_of(NAMES, NUMBERS, st.just([1, {"a": None}])).map(lambda value: {"const": value}),
)


def nest(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def as_object(parts: tuple[dict[str, Any], list[str], bool | None]) -> dict[str, Any]:
        properties, required, additional = parts
        schema = {"type": "object", "properties": properties}
        schema["required"] = [name for name in required if name in properties]
        return schema if additional is None else {**schema, "additionalProperties": additional}

    return st.one_of(
        st.tuples(
            st.dictionaries(NAMES, inner, max_size=4),
            st.lists(NAMES, unique=True, max_size=4),
            st.sampled_from([None, False, True]),
        ).map(as_object),
        st.tuples(inner, bounds("minItems", "maxItems", st.integers(0, 4))).map(
            lambda parts: {"type": "array", "items": parts[0], **parts[1]}
        ),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda items: {
                "type": "array",
                "prefixItems": items,
                "items": False,
                "minItems": len(items),
            }
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
        inner.map(
            lambda value: {"$defs": {}, "type": ["object", "null"], "properties": {"v": value}}
        ),
    )


SCHEMAS = st.recursive(LEAVES, nest, max_leaves=6)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(schema=SCHEMAS, seed=st.integers(0, 2**32))
def test_constrained_reply_is_valid_for_the_schema(
    weights: LlamaModel, compiler: ConstraintCompiler, schema: dict[str, Any], seed: int
) -> None:
    text = sample(weights, compiler.compile(json_schema(schema)).start(), seed)
    if '"format"' in json.dumps(schema):
        schema = json.loads(json.dumps(schema), object_hook=_without_format)
    resolve(schema).parse(text)


def _without_format(node: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key != "format"}


@pytest.mark.parametrize("kind", ["spm", "base"])
@pytest.mark.parametrize("seed", range(3))
def test_every_kind_of_vocabulary_satisfies_a_schema(
    kind: str, seed: int, tiny_model: Callable[..., Path]
) -> None:
    weights = load(tiny_model(kind))
    schema = resolve("name, größe int, tags list, size small|large, born {year int, place?}")
    matcher = ConstraintCompiler(weights).compile(schema.constraint).start()
    schema.parse(sample(weights, matcher, seed))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "regex",
    ["yes|no", r"\d{3}-\d{4}", "^[a-f]{1,9}$", "(ab?)*c", "é{2,3}日?", r"[^\n]{1,20}\.", "", "a*"],
)
def test_constrained_reply_matches_the_whole_regex(
    weights: LlamaModel, compiler: ConstraintCompiler, regex: str, seed: int
) -> None:
    text = sample(weights, compiler.compile(Constraint("regex", regex)).start(), seed)
    assert re.fullmatch(regex, text), text


@pytest.mark.parametrize(
    "regex",
    [
        "a|ab|b",
        "^(a+b?)$",
        "[ab]{1,2}",
        "a{2,}b?",
        r"\d+|\w",
        r"[^a-z\n]",
        r"\S+\s?\S*",
        ".",
        "[^a]b",
        r"(?:x|a)-?[\w-]*?",
        r"\.|\D",
        "(a|b){2}",
    ],
)
def test_grammar_of_a_regex_accepts_the_same_texts(
    weights: LlamaModel, compiler: ConstraintCompiler, regex: str
) -> None:
    grammar = Constraint("gbnf", to_gbnf(regex))
    for text in [
        "a",
        "ab",
        "aab",
        "b",
        "12",
        "1",
        "a1",
        "é",
        "a b",
        "a\n",
        "\t",
        "x-y",
        "aaaa",
        ".",
    ]:
        expected = accepts(weights, compiler, Constraint("regex", regex), text)
        assert accepts(weights, compiler, grammar, text) == expected, text


@pytest.mark.parametrize("regex", ["(?=a)b", r"\ba", "(?i)a", r"(a)\1"])
def test_regex_that_no_grammar_has_is_an_error(regex: str) -> None:
    with pytest.raises(UsageError, match="not supported in its grammars"):
        to_gbnf(regex)


def test_digits_in_a_regex_are_ascii(weights: LlamaModel, compiler: ConstraintCompiler) -> None:
    assert accepts(weights, compiler, Constraint("regex", r"\d/ü"), "3/ü")
    assert not accepts(weights, compiler, Constraint("regex", r"\d/ü"), "٣/ü")


@pytest.mark.parametrize("seed", range(6))
def test_constrained_reply_matches_the_grammar(
    weights: LlamaModel, compiler: ConstraintCompiler, seed: int, tmp_path: Path
) -> None:
    path = tmp_path / "sum.gbnf"
    path.write_text(ARITHMETIC)
    matcher = compiler.compile(Constraint("gbnf", path.read_text())).start()
    text = sample(weights, matcher, seed, steps=2000) if seed < 3 else "7 + (12 + 345)"
    assert isinstance(eval(text), int)
    assert accepts(weights, compiler, Constraint("gbnf", ARITHMETIC), text)


@pytest.mark.parametrize(
    ("grammar", "good", "bad"),
    [
        ('root ::= word "s"\nword ::= [a-z]+', ["cats", "ss"], ["cat", "s", ""]),
        ('root ::= "a" root "b" | ""', ["", "ab", "aaabbb"], ["aab", "ba"]),
        ('root ::= root "+" [0-9] | [0-9]', ["1", "1+2+3"], ["1+", "+1"]),
        ('root ::= ([^"\\\\] | "\\\\" .)* "\\""', ['a"', '\\""', '日"'], ["a", '"a']),
        ("root ::= [\\x41-\\u00e9]{2,}", ["AZ", "Aé"], ["A", "A1"]),
        ('root ::= (\n  "x" | # one\n  "y"\n)+ "\\t"?', ["xy", "x\t"], ["", "\t"]),
        ('root ::= "a"{2} | "b"{0,1} | "c"{1,}', ["aa", "", "b", "cc"], ["a", "bb", "aaa"]),
        ("root ::= [\\U0001F600-\\U0001F602]", ["😀", "😂"], ["😅", "a"]),
        ('root ::= e e e "x"\ne ::= "y"?', ["x", "yyyx"], ["yyyyx", "y"]),
        ("root ::= [a\\]-]", ["a", "-", "]"], ["b"]),
    ],
)
def test_grammar_accepts_the_same_texts_as_in_llama_cpp(
    weights: LlamaModel, compiler: ConstraintCompiler, grammar: str, good: list[str], bad: list[str]
) -> None:
    constraint = Constraint("gbnf", grammar)
    assert [text for text in good if not accepts(weights, compiler, constraint, text)] == []
    assert [text for text in bad if accepts(weights, compiler, constraint, text)] == []


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, ["0", "-12", "\n\n7", " 7"], ["01", "1.5", "\n\n\n7", "7 "]),
        ({"type": "number"}, ["1.5e-9", "0." + "3" * 22], ["0." + "3" * 23, "1e100", "1e"]),
        ({"const": [1, 2]}, ["[1, 2]", "\n[1, 2]"], ["[1,  2]", "[1,2]", "[\n1, 2]", "[1, 2, 3]"]),
        ({"properties": {"a": {}}}, ['{"a": 1}', "{}"], ['{"b": 1}', "3"]),
        (
            {"properties": {"a": {}}, "additionalProperties": True},
            ['{"a": 1, "b": 2}', '{"b": 1}'],
            [],
        ),
        (
            {"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}], "type": "object"},
            ['{"a": 1, "b": 2}'],
            [],
        ),
        (
            {"properties": {"b": {}, "a": {}}, "required": ["a", "b"]},
            ['{"b": 1, "a": 1}'],
            ['{"a": 1, "b": 1}', '{"b": 1}'],
        ),
        ({"type": "array", "uniqueItems": True}, ["[1, 1]"], ["{}"]),
        ({"pattern": "b+", "type": "string"}, ['"abbc"'], ['"ac"']),
        ({"type": "string"}, ['"日本é😀"', '"\\n"'], ['"\n"', '"a']),
    ],
)
def test_schema_accepts_exactly_its_values(
    weights: LlamaModel,
    compiler: ConstraintCompiler,
    schema: dict[str, Any],
    good: list[str],
    bad: list[str],
) -> None:
    constraint = json_schema(schema)
    assert [text for text in good if not accepts(weights, compiler, constraint, text)] == []
    assert [text for text in bad if accepts(weights, compiler, constraint, text)] == []


def test_unenforced_keywords_are_listed(compiler: ConstraintCompiler) -> None:
    enforced = compiler.compile(json_schema({"type": "array"}))
    partly = compiler.compile(json_schema({"type": "array", "uniqueItems": True}))
    assert enforced.unenforced == ""
    assert "uniqueItems" in partly.unenforced


DEEP = '{"items":' * 5000 + "{}" + "}" * 5000


@pytest.mark.parametrize(
    ("kind", "source", "reason"),
    [
        ("json_schema", "{", "JSON Schema: not valid JSON"),
        ("json_schema", "3", "JSON Schema: expected an object"),
        ("json_schema", '{"type": "objekt"}', "Invalid type: objekt"),
        ("json_schema", '{"$ref": "#/$defs/no"}', "'/$defs/no' does not exist"),
        ("json_schema", '{"$ref": "#"}', "no value satisfies it"),
        ("json_schema", '{"$ref": "http://127.0.0.1:9/"}', "does not fetch"),
        ("json_schema", '{"minimum": 5, "maximum": 3, "type": "integer"}', "minimum (5) is"),
        ("json_schema", '{"enum": []}', "JSON Schema: no value satisfies it"),
        ("json_schema", DEEP, "JSON Schema: "),
        ("json_schema", '{"required": 3}', "JSON Schema: "),
        ("json_schema", '{"prefixItems": 3}', "JSON Schema: "),
        ("json_schema", '{"minItems": "3"}', 'minItems: must be an integer, not "3"'),
        ("regex", r"\d{4", r"regex '\d{4': '{' is not closed"),
        ("regex", r"[\d", r"regex '[\d': '[' is not closed"),
        ("regex", r"(\d)\1", r"regex '(\d)\1': backreferences are not supported"),
        ("regex", r"\d\q", r"regex '\d\q': unrecognized escape sequence: '\q'"),
        ("regex", r"\d{3,1}", "the start must be <= the end: '{3,1}'"),
        ("regex", r"\d\b", r"regex '\d\b': \b is not supported"),
        ("regex", "a$b", "regex 'a$b': $ is allowed only at the end"),
        ("regex", "a(", "regex 'a(': '(' is not closed"),
        ("regex", "a)", "regex 'a)': ')' has no opening '('"),
        ("regex", "*", "regex '*': nothing to repeat before '*'"),
        ("regex", "(?=a)b", "look-around is not supported"),
        ("regex", "a\\", "regex 'a\\': nothing follows the last backslash"),
        ("regex", "a\n(", r"regex 'a\n(': '(' is not closed"),
        ("regex", "a\ud800", "regex: not valid Unicode"),
        ("regex", "(" * 50_000 + ")" * 50_000, "longer than 65,536 characters"),
        ("regex", "(" * 5000 + ")" * 5000, "…': nested deeper than 250"),
        ("regex", "[^\\x00-\\U0010FFFF]", "nothing matches it"),
        ("regex", "((a{10}){100}){101}", "expands to more than 100,000 characters"),
        ("regex", r"(\(?:[)\]]{60}){2}{1000}", "expands to more than 100,000 characters"),
        (
            "json_schema",
            '{"type": "string", "pattern": "(a{999}){101}"}',
            "JSON Schema: pattern '(a{999}){101}': expands to more than 100,000 characters",
        ),
        (
            "json_schema",
            r'{"type": "string", "pattern": "^\\d$", "format": "date"}',
            "JSON Schema: no value satisfies it",
        ),
        ("gbnf", "", "line 1, column 1: rule 'root' is missing"),
        ("gbnf", 'root ::= "a', "line 1, column 10: '\"' is not closed"),
        ("gbnf", "root ::= x\nx ::= [a", "line 2, column 7: '[' is not closed"),
        ("gbnf", 'root ::= "a"\n  foo', "line 2, column 6: expected '::='"),
        ("gbnf", "root ::= foo | bar", "line 1, column 10: unknown rule 'foo'"),
        (
            "gbnf",
            'root ::= "a" "b"{3,1}',
            "line 1, column 17: the maximum 1 is less than the minimum 3",
        ),
        ("gbnf", 'root ::= "a"{999999}', "more than 100,000 repetitions"),
        ("gbnf", "root ::= " + "(" * 50_000, "nested deeper than 64"),
        ("gbnf", 'root ::= "\\ud800"', "not a valid Unicode character"),
        ("gbnf", 'root ::= "\\q"', "unknown escape"),
        ("gbnf", "root ::= <|im_end|>", "token references are not supported"),
        ("gbnf", "root ::= root", "grammar: nothing matches it"),
        ("gbnf", 'root ::= "a"\nroot ::= "b"', "line 2, column 1: duplicate rule 'root'"),
        ("gbnf", "\n".join(f"r{i} ::= r{i + 1}" for i in range(3000)), "more than 1,000 rules"),
        ("gbnf", "root ::= " + '"a"? ' * 14_000, "more than 4,000 optional items"),
    ],
)
def test_invalid_constraint_is_reported_as_typed(
    compiler: ConstraintCompiler, kind: Any, source: str, reason: str
) -> None:
    for _ in range(2):  # the second time from the cache
        with pytest.raises(UsageError) as caught:
            compiler.compile(Constraint(kind, source))
        assert reason in str(caught.value)
        assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


HOSTILE = {
    "exponential alternatives": "root ::= a0\n"
    + "\n".join(f'a{i} ::= a{i + 1} "x" | a{i + 1} "y"' for i in range(40))
    + '\na40 ::= "x"',
    "chain of rules": "root ::= a0 root | a0\n"
    + "\n".join(f'a{i} ::= "y"? a{i + 1}' for i in range(900))
    + '\na900 ::= "x"',
    "nested repetitions": 'root ::= (("a"{1,1000}){1,1000}){1,1000}',
    "ambiguous": 'root ::= s\ns ::= "a" s s | "a" s | ""',
    "many optionals": "root ::= " + '"a"? ' * 2000,
    "left recursion": 'root ::= root root | "a"',
    "stars": 'root ::= (("a"*)*)*',
}


@pytest.mark.parametrize("grammar", HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_grammar_ends_quickly(
    weights: LlamaModel, compiler: ConstraintCompiler, grammar: str
) -> None:
    begin = time.monotonic()
    try:
        rejected_after(
            weights, compiler.compile(Constraint("gbnf", grammar)).start(), "ax" + "a" * 60
        )
        logits = (ctypes.c_float * weights.n_vocab)()
        compiler.compile(Constraint("gbnf", grammar)).start().mask_logits(logits)
    except LlmtoolError as exc:
        assert len(str(exc)) < 500
    assert time.monotonic() - begin < 10


def test_replies_of_a_request_share_the_time_of_their_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llmtool.structured.compiler._STEP_SECONDS", 0.2)
    monkeypatch.setattr("llmtool.structured.compiler._SECONDS_PER_TOKEN", 0.0)
    compiler = ConstraintCompiler(ByteVocabulary())
    grammar = 'root ::= s\ns ::= s s s | s s | [a-z] | " "'  # each step takes longer
    compiled = compiler.compile(Constraint("gbnf", grammar)).for_request()
    logits = (ctypes.c_float * 257)()
    steps = []
    for _ in range(2):
        matcher = compiled.start()
        with pytest.raises(OutputValidationError, match="of this grammar take too much time"):
            for n in range(500):
                matcher.mask_logits(logits)
                matcher.accept(ord("a"))
                steps.append(n)
        matcher.close()
    assert steps == [*range(len(steps))], "the second reply cannot begin"
    compiler.compile(Constraint("gbnf", grammar)).start().mask_logits(logits)  # another request


MEASURED = pytest.mark.skipif(allocated_bytes() is None, reason="glibc measures its heaps")


def allocated() -> int:
    gc.collect()
    size = allocated_bytes()
    assert size is not None
    return size


@MEASURED
def test_memory_of_cached_constraints_is_bounded() -> None:
    compiler = ConstraintCompiler(ByteVocabulary())
    compiler.compile(Constraint("regex", "a"))
    before = allocated()
    constraints = [Constraint("regex", f"({'.?' * 700}|{i})") for i in range(12)]
    for each in constraints:
        compiler.compile(each)
    assert 20 << 20 < allocated() - before < 70 << 20
    assert compiler.compile(constraints[-1]) is compiler.compile(constraints[-1])


class PairVocabulary(ByteVocabulary):
    """A vocabulary that also has pairs of letters."""

    n_vocab = 257 + 26 * 26

    def render_piece(self, token: int, *, special: bool) -> bytes:
        first, second = divmod(token - 257, 26)
        is_pair = token >= 257
        return (
            bytes([97 + first, 97 + second])
            if is_pair
            else super().render_piece(token, special=special)
        )


def test_error_of_a_constraint_does_not_keep_its_matcher(monkeypatch: pytest.MonkeyPatch) -> None:
    class Large:
        pass

    matchers = []

    def fail(*_: object) -> None:
        matcher = Large()
        matchers.append(weakref.ref(matcher))
        raise UsageError("invalid")

    monkeypatch.setattr("llmtool.structured.compiler._compile", fail)
    compiler = ConstraintCompiler(ByteVocabulary())
    for _ in range(2):
        with pytest.raises(UsageError, match="invalid"):
            compiler.compile(Constraint("regex", "a"))
    gc.collect()
    assert [each() for each in matchers] == [None], "the error is cached"


@MEASURED
def test_memory_of_steps_is_bounded() -> None:
    compiler, chance = ConstraintCompiler(PairVocabulary()), random.Random(1)
    logits = (ctypes.c_float * PairVocabulary.n_vocab)()
    # Each step adds states to the lexer, which the compiled constraint keeps.
    compiled = compiler.compile(Constraint("regex", "(.*a.{14}b|.*c.{15}d|.*[ef].{16}g)"))
    before, matcher = allocated(), compiled.start()
    with pytest.raises(OutputValidationError, match="too many states"):
        for _ in range(20_000):
            matcher.mask_logits(logits)
            matcher.accept(chance.choice(b"ace"))
    assert allocated() - before < 40 << 20


def doubled(n: int, leaf: str) -> str:
    rules = "".join(f"r{i} ::= r{i + 1} r{i + 1}\n" for i in range(n))
    return f"root ::= r0\n{rules}r{n} ::= {leaf}\n"


PATTERNS = {
    "$defs": {
        **{
            f"a{i}": {"$ref": f"#/$defs/a{i + 1}", "pattern": f".*{i}.*{i + 3}.*"}
            for i in range(80)
        },
        "a80": {"type": "string"},
    },
    "$ref": "#/$defs/a0",
}
COSTLY: dict[str, tuple[Any, str]] = {
    "characters of doubled rules": ("gbnf", doubled(20, '"a"')),
    "optional items of doubled rules": ("gbnf", doubled(15, '"a"?')),
    "repetitions": ("gbnf", "root ::= " + '"a"+ ' * 20_000),
    "empty alternatives": ("gbnf", "root ::= " + '("a"|"") ' * 25_000),
    "optional characters": ("regex", "a?" * 30_000),
    "optional characters of any kind": ("regex", ".?" * 4500),
    "common multiples": (
        "json_schema",
        json.dumps(
            {"allOf": [{"type": "integer", "multipleOf": m} for m in (9973, 9967, 9949, 9941)]}
        ),
    ),
    "intersection of patterns": ("json_schema", json.dumps(PATTERNS)),
}


# Of two cases with the same path to the limits, one.
IN_LONG_RUNS = {"empty alternatives", "optional characters"}


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        pytest.param(*each, id=name, marks=[pytest.mark.long] if name in IN_LONG_RUNS else [])
        for name, each in COSTLY.items()
    ],
)
def test_costly_constraint_is_rejected(
    monkeypatch: pytest.MonkeyPatch, kind: Any, source: str
) -> None:
    monkeypatch.setattr(compiler_module, "_CHECK_SECONDS", 1)
    monkeypatch.setattr(compiler_module, "_compile", None)  # only the child process compiles it
    with pytest.raises(UsageError, match="too much time or memory|expand to more than"):
        ConstraintCompiler(ByteVocabulary()).compile(Constraint(kind, source))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (doubled(20, '"a"'), "its rules expand to more than 262,144 items"),
        ('root ::= "a" #' + "x" * 262_144, "longer than 262,144 characters"),
    ],
    ids=["with its rules", "as typed"],
)
def test_size_of_a_grammar_is_limited_before_it_is_compiled(
    monkeypatch: pytest.MonkeyPatch, source: str, reason: str
) -> None:
    monkeypatch.setattr(compiler_module, "_check_limits", None)
    with pytest.raises(UsageError, match=reason):
        ConstraintCompiler(ByteVocabulary()).compile(Constraint("gbnf", source))


def test_long_constraint_is_compiled() -> None:
    compiler = ConstraintCompiler(ByteVocabulary())
    words = "|".join(f"word{i}" for i in range(2000))
    matcher = compiler.compile(Constraint("regex", f"({words}),")).start()
    assert matcher.allows(ord("w")) and not matcher.allows(ord("x"))


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(["gbnf", "regex", "json_schema"]),
    source=st.one_of(
        st.text(max_size=60),
        st.lists(
            st.sampled_from(
                ["root ::= ", "x ::= ", "root", "x", '"a"', "[a-z]", "[^", "]", "(", ")", "|", "*"]
                + ["+", "?", "{1,3}", "{2}", "\n", "\\x41", '"', "#", ".", "::=", "é", " ", "\\"]
            ),
            max_size=20,
        ).map("".join),
    ),
)
def test_any_text_compiles_or_is_a_usage_error(
    weights: LlamaModel, compiler: ConstraintCompiler, kind: Any, source: str
) -> None:
    logits = (ctypes.c_float * weights.n_vocab)()
    try:
        compiler.compile(Constraint(kind, source)).start().mask_logits(logits)
    except LlmtoolError as exc:
        assert str(exc)


def test_special_tokens_and_markup_are_never_sampled(
    weights: LlamaModel, compiler: ConstraintCompiler
) -> None:
    matcher = compiler.compile(Constraint("regex", "[^x]*")).start()
    for token in range(weights.n_vocab):
        text = weights.token_text(token)
        if text.startswith("<|") or text in ("<think>", "</think>", "<tool>"):
            assert matcher.allows(token) == weights.is_end(token), text


def test_end_tokens_are_allowed_only_where_the_constraint_can_end(
    weights: LlamaModel, compiler: ConstraintCompiler
) -> None:
    ends = [token for token in range(weights.n_vocab) if weights.is_end(token)]
    matcher = compiler.compile(Constraint("regex", "ab?")).start()
    assert len(ends) > 1 and not any(map(matcher.allows, ends))
    assert rejected_after(weights, matcher, "a") is None
    assert all(map(matcher.allows, ends)) and not matcher.finished
    logits = (ctypes.c_float * weights.n_vocab)()
    matcher.mask_logits(logits)
    assert all(logits[end] == 0 for end in ends)
    matcher.accept(ends[1])
    assert matcher.finished and not any(map(matcher.allows, range(weights.n_vocab)))


def test_character_may_be_split_over_tokens(
    weights: LlamaModel, compiler: ConstraintCompiler
) -> None:
    matcher = compiler.compile(Constraint("regex", "🦙")).start()
    parts = [t for t in range(weights.n_vocab) if weights.piece(t) in (b"\xf0\x9f", b"\xa6\x99")]
    first, second = sorted(parts, key=weights.piece, reverse=True)[:2]
    assert matcher.allows(first) and not matcher.allows(second)
    matcher.accept(first)
    assert not matcher.complete
    matcher.accept(second)
    assert matcher.finished


def test_disallowed_token_is_not_accepted(
    weights: LlamaModel, compiler: ConstraintCompiler
) -> None:
    matcher = compiler.compile(Constraint("regex", "a")).start()
    (b,) = weights.tokenize(b"b", add_special=False, parse_special=False)
    with pytest.raises(UsageError, match="constraint: "):
        matcher.accept(b)


class TwoTokens:
    """A vocabulary of "a" and an end token."""

    n_vocab = 2

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        return [0] * len(text)

    def render_piece(self, token: int, *, special: bool) -> bytes:
        return b"" if token else b"a"

    def kind(self, token: int) -> str:
        return "control" if token else "ordinary"

    def is_end(self, token: int) -> bool:
        return token == 1


def test_reply_that_cannot_continue_is_invalid_output() -> None:
    matcher = ConstraintCompiler(TwoTokens()).compile(Constraint("regex", "a[bc]")).start()
    matcher.accept(0)
    with pytest.raises(
        OutputValidationError, match="with this regex: no token is allowed"
    ) as caught:
        matcher.mask_logits((ctypes.c_float * 2)())
    assert caught.value.exit_code == 17


def test_matchers_are_independent(weights: LlamaModel, compiler: ConstraintCompiler) -> None:
    compiled = compiler.compile(json_schema({"enum": ["red", "green", "blue"]}))
    matchers = [compiled.start() for _ in range(3)]
    texts = ['"red"', '"green"', '"blue"']
    tokens = [
        weights.tokenize(text.encode(), add_special=False, parse_special=False) for text in texts
    ]
    for step in range(max(map(len, tokens))):
        for matcher, ids in zip(matchers, tokens, strict=True):
            if step < len(ids):
                matcher.accept(ids[step])
    matchers[0].close()
    assert [matcher.finished for matcher in matchers[1:]] == [True, True]
    assert not compiled.start().complete


def test_constraint_is_compiled_once(compiler: ConstraintCompiler) -> None:
    constraint = json_schema({"enum": [f"value {i}" for i in range(5000)]})
    first = compiler.compile(constraint)
    assert compiler.compile(json_schema({"enum": [f"value {i}" for i in range(5000)]})) is first


def test_allows_agrees_with_the_mask(weights: LlamaModel, compiler: ConstraintCompiler) -> None:
    # Where the grammar forces text, a mask may contain only its canonical tokens.
    constraint = Constraint("regex", '[a-z ]{2,9}"')
    matcher = compiler.compile(constraint).start()
    for _ in range(3):
        logits = (ctypes.c_float * weights.n_vocab)()
        matcher.mask_logits(logits)
        allowed = [t for t in range(weights.n_vocab) if logits[t] == 0]
        assert allowed == [t for t in range(weights.n_vocab) if matcher.allows(t)]
        matcher.accept(next(t for t in allowed if len(weights.piece(t)) == 2))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_mask_leaves_allowed_logits_bit_identical(share: float) -> None:
    rng, n = random.Random(1), 50_003
    mask = bytes(sum((rng.random() < share) << bit for bit in range(8)) for _ in range(n // 8 + 1))
    before = [rng.gauss(0, 10) for _ in range(n)]
    logits = (ctypes.c_float * n)(*before)
    rounded = list(logits)
    apply_mask(mask, ctypes.addressof(logits), n)
    allowed = set(allowed_tokens(mask))
    wrong = [t for t in range(n) if logits[t] != (rounded[t] if t in allowed else MINUS_INFINITY)]
    assert wrong == []


def test_numbers_are_limited_and_strings_are_not() -> None:
    numbers = NumberLength()
    assert numbers.push(b'{"12345678901234567890123456789\\"0000": [-1.5e-9, true, ')
    assert numbers.push(b"9" * 24) and not numbers.fits(b"9") and numbers.fits(b", 1")
    assert not numbers.push(b"9")


@pytest.mark.parametrize(
    ("schema", "closed"),
    [
        ({"properties": {"a": {}}}, True),
        ({"properties": {"a": {}}, "additionalProperties": True}, False),
        ({"properties": {"a": {}}, "required": ["b"]}, False),
        ({"properties": {"a": {}}, "patternProperties": {"b": {}}}, False),
        ({"properties": {"a": {}}, "anyOf": [{"required": ["b"]}]}, False),
        ({"type": "object"}, False),
    ],
)
def test_objects_are_closed_unless_another_schema_describes_them(
    schema: dict[str, Any], closed: bool
) -> None:
    assert (close_objects(schema).get("additionalProperties") is False) == closed


def close_objects(schema: dict[str, Any]) -> dict[str, Any]:
    return convert(schema, lambda part: "")[0]


def test_definitions_in_all_of_stay_open() -> None:
    part: dict[str, Any] = {"properties": {"a": {}}}
    schema = {
        "prefixItems": [
            {"allOf": [{"$ref": "#/$defs/base"}, {"properties": {"b": {}}}]},
            {"$ref": "#/$defs/other"},
        ],
        "$defs": {"base": part, "other": dict(part)},
    }
    definitions = close_objects(schema)["$defs"]
    assert "additionalProperties" not in definitions["base"]
    assert definitions["other"]["additionalProperties"] is False


def test_branches_of_a_single_any_of_are_closed() -> None:
    branch = {"type": "object", "properties": {"a": {}}}
    union = close_objects({"description": "d", "anyOf": [branch, {"type": "null"}]})
    combined = close_objects({"anyOf": [branch], "properties": {"b": {}}})
    assert union["anyOf"][0]["additionalProperties"] is False
    assert "additionalProperties" not in combined["anyOf"][0]


def test_real_llguidance_package_can_be_imported_and_numpy_is_not_needed() -> None:
    program = (
        "import sys\n"
        "from llmtool.structured.guidance import library\n"
        "ours = library()\n"
        "assert 'numpy' not in sys.modules and 'importlib.metadata' not in sys.modules\n"
        "import llguidance\n"
        "print(llguidance.LLMatcher is ours.LLMatcher)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr


def most_likely(logits: Any, n_vocab: int) -> int:
    values = logits[:n_vocab]
    return values.index(max(values))


def test_starter_model_satisfies_a_schema(starter: Path) -> None:
    weights = LlamaModel(starter, n_gpu_layers=0, cancellation=Cancellation())
    context = Context(weights, n_ctx=512, n_threads=1, cancellation=Cancellation())
    schema = resolve("city, country, inhabitants int")
    matcher = ConstraintCompiler(weights).compile(schema.constraint).start()
    prompt = b"Paris as JSON with the keys city, country and inhabitants:\n"
    ids = weights.tokenize(prompt, add_special=True, parse_special=False)
    reply = b""
    while not matcher.finished:
        context.prefill(ids, pos=context.length(0))
        logits = weights._lib.llama_get_logits_ith(context._ctx, -1)
        token = most_likely(logits, weights.n_vocab)
        if not matcher.allows(token):
            matcher.mask_logits(logits)
            token = most_likely(logits, weights.n_vocab)
        matcher.accept(token)
        reply += weights.piece(token)
        ids = [token]
    assert math.isfinite(schema.parse(reply.decode())["inhabitants"])


def test_range_of_one_negative_number_beside_the_same_const_compiles() -> None:
    one = {"type": "number", "minimum": -10, "maximum": -10}
    spec = make_output_spec(schema={"anyOf": [one, {"const": -10}]})
    assert spec is not None
    assert (spec.matches("-10"), spec.matches("10")) == (True, False)
