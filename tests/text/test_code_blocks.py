"""Finding fenced code blocks in replies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtool.text.code_blocks import choose_block, find_blocks

PY = "print(1)\n"
# name: (text, the code of each block)
CASES: dict[str, tuple[str, list[str]]] = {
    "plain": (f"```\n{PY}```\n", [PY]),
    "with a language": (f"```python\n{PY}```", [PY]),
    "prose around": (f"Sure, here it is:\n\n```py\n{PY}```\n\nHope it helps!", [PY]),
    "no fence": ("print(1)\n", []),
    "empty text": ("", []),
    "empty block": ("```\n```", [""]),
    "a blank line inside": ("```\n\n```", ["\n"]),
    "tildes": (f"~~~\n{PY}~~~", [PY]),
    "tildes with a language": (f"~~~ python\n{PY}~~~", [PY]),
    "four backticks": (f"````\n{PY}````", [PY]),
    "closing fence is longer": (f"```\n{PY}`````\nend", [PY]),
    "closing fence is too short": ("````\na\n```\nb\n````", ["a\n```\nb\n"]),
    "tildes do not close backticks": ("```\na\n~~~\nb\n```", ["a\n~~~\nb\n"]),
    "backticks do not close tildes": ("~~~\na\n```\nb\n~~~", ["a\n```\nb\n"]),
    "unclosed": (f"```python\n{PY}x = 2", [f"{PY}x = 2"]),
    "unclosed and empty": ("```python", [""]),
    "unclosed with a newline": ("```python\n", [""]),
    "two blocks": ("```\na\n```\nthen\n```\nb\n```", ["a\n", "b\n"]),
    "two blocks with different fences": ("```\na\n```\n~~~\nb\n~~~", ["a\n", "b\n"]),
    "adjacent blocks": ("```\na\n```\n```\nb\n```", ["a\n", "b\n"]),
    "the second is unclosed": ("```\na\n```\n```\nb", ["a\n", "b"]),
    "three blocks": ("```\na\n```\n```sh\nb\n```\n```\nc\n```", ["a\n", "b\n", "c\n"]),
    "closing fence with trailing spaces": (f"```\n{PY}```   \nend", [PY]),
    "spaces before the info string": (f"```   python   \n{PY}```", [PY]),
    "indented fence": ("  ```\n  a\n    b\n  ```", ["a\n  b\n"]),
    "deeply indented": ("        ```\n        a\n        ```", ["a\n"]),
    "indented with a tab": ("\t```\n\ta\n\t\tb\n\t```", ["a\n\tb\n"]),
    "less indented content": ("    ```\n  a\n b\n    ```", ["a\nb\n"]),
    "blank lines in an indented block": ("  ```\n  a\n\n  b\n  ```", ["a\n\nb\n"]),
    "closing fence is less indented": ("  ```\n  a\n```", ["a\n"]),
    "in a list": ("1. Do this:\n\n   ```sh\n   ls\n   ```\n2. Done", ["ls\n"]),
    "as a list item": ("- ```sh\n  ls\n  ```", ["ls\n"]),
    "as a numbered list item": ("1. ```sh\n   ls\n   ```", ["ls\n"]),
    "in a block quote": ("> ```\n> a\n>  b\n> ```\nend", ["a\n b\n"]),
    "in a block quote without spaces": (">```\n>a\n>```", ["a\n"]),
    "in a nested block quote": ("> > ```\n> > a\n> > ```", ["a\n"]),
    "carriage returns": ("```py\r\na\r\nb\r\n```\r\n", ["a\r\nb\r\n"]),
    "trailing spaces are preserved": ("```\na  \n\tb\t\n```", ["a  \n\tb\t\n"]),
    "no newline before the end": ("```\na", ["a"]),
    "inline code is not a fence": ("Use ```ls``` to list.\n", []),
    "three backticks in a line of text": ("the ``` marks", []),
    "info string with a backtick is not a fence": ("``` a`b\nc\n", []),
    "two backticks are not a fence": ("``\na\n``", []),
    "backticks inside a line of code": ("```\na = `x```\n```", ["a = `x```\n"]),
    "nested with a language": (
        "```markdown\nRun:\n```sh\nls\n```\nDone.\n```\nend",
        ["Run:\n```sh\nls\n```\nDone.\n"],
    ),
    "two nested blocks": (
        "```md\n```sh\na\n```\n```py\nb\n```\n```",
        ["```sh\na\n```\n```py\nb\n```\n"],
    ),
    "nested twice": (
        "```md\n```md\n```sh\na\n```\n```\n```",
        ["```md\n```sh\na\n```\n```\n"],
    ),
    "nested in more backticks": ("````md\n```sh\na\n```\n````", ["```sh\na\n```\n"]),
    "nested in tildes": ("~~~md\n```sh\na\n```\n~~~", ["```sh\na\n```\n"]),
    "bare fences in more backticks": ("````\n```\na\n```\n````", ["```\na\n```\n"]),
    "unclosed fence in a string": (
        '```python\nx = """\n```js\n"""\n```\nend',
        ['x = """\n```js\n"""\n'],
    ),
    "a nested block in a docstring": (
        '```python\n"""\n```py\nf()\n```\n"""\n```',
        ['"""\n```py\nf()\n```\n"""\n'],
    ),
    "missing closing fence before another block": (
        "```sh\na\n\n```py\nb\n```",
        ["a\n\n```py\nb\n"],
    ),
    "tilde fence with an info string in code": ("```\n~~~ x\na\n```\nend", ["~~~ x\na\n"]),
    "text directly after a closing fence": ("```\na\n```b\n```", ["a\n```b\n"]),
    "wide characters": ("说明：\n```python\n打印('你好')\n```\n完", ["打印('你好')\n"]),
    "emoji": ("```\n🙂 = 1\n```", ["🙂 = 1\n"]),
    "NUL and escape": ("```\na\x00\x1b[0m\n```", ["a\x00\x1b[0m\n"]),
    "form feeds and odd separators": ("```\na\x0cb\u2028c\x85d\n```", ["a\x0cb\u2028c\x85d\n"]),
    "only an opening fence": ("```", [""]),
    "HTML around": ("<p>\n```\na\n```\n</p>", ["a\n"]),
    "heading directly before": ("# app.py\n```python\na\n```", ["a\n"]),
    "bold file name directly before": ("**app.py**\n```python\na\n```", ["a\n"]),
    "diff inside": ("```diff\n-a\n+b\n ```c\n```", ["-a\n+b\n ```c\n"]),
    "table directly before": ("| a | b |\n|---|---|\n```\na\n```", ["a\n"]),
    "bare fences in a docstring": (
        '```python\ndef f():\n    """Do.\n\n    ```\n    >>> f()\n    ```\n    """\n```\n\nDone.',
        ['def f():\n    """Do.\n\n    ```\n    >>> f()\n    ```\n    """\n'],
    ),
    "bare fences in a docstring without indentation": (
        '```python\n"""Do.\n\n```\n>>> f()\n```\n"""\nx = 1\n```\nDone.\n```sh\nls\n```',
        ['"""Do.\n\n```\n>>> f()\n```\n"""\nx = 1\n', "ls\n"],
    ),
    "bare fences with two columns of indentation": (
        "```ruby\nf <<~TEXT\n  ```\n  a\n  ```\nTEXT\n```\n```\nb\n```",
        ["f <<~TEXT\n  ```\n  a\n  ```\nTEXT\n", "b\n"],
    ),
    "bare fences in a comment": (
        "```js\n/**\n * ```\n * f()\n * ```\n */\nf()\n```\n```\nb\n```",
        ["/**\n * ```\n * f()\n * ```\n */\nf()\n", "b\n"],
    ),
    "fences with a language in a comment": (
        "```js\n/**\n * ```js\n * f()\n * ```\n */\n```\n```\nb\n```",
        ["/**\n * ```js\n * f()\n * ```\n */\n", "b\n"],
    ),
    "one odd triple quote": (
        '```python\nx = \'"""\'\n```\nthen\n```\nb\n```',
        ['x = \'"""\'\n', "b\n"],
    ),
    "triple quotes before the block": (
        'Use """:\n```python\nx = 1\n```\nor:\n```\nb\n```',
        ["x = 1\n", "b\n"],
    ),
    "closing fence with some indentation": ("```\na\n  ```\nthen\n```\nb\n```", ["a\n", "b\n"]),
    "closing fence with too much indentation": ("```\na\n    ```\nb\n```", ["a\n    ```\nb\n"]),
    "closing fence with four columns of indentation only": ("```\na\n    ```\n", ["a\n"]),
    "quoted fence in code": ("```\n> ```\n> a\n> ```\n```", ["> ```\n> a\n> ```\n"]),
    "longer closing fence with tildes": ("~~~~\na\n~~~\n~~~~~\nb", ["a\n~~~\n"]),
    "nested in a list": (
        "1. Do:\n\n    ```sh\n    ls\n    ```\n\n2. Then:\n\n    ```sh\n    cd\n    ```",
        ["ls\n", "cd\n"],
    ),
    "list item in Markdown": ("```md\n- ```sh\n  ls\n  ```\n```", ["- ```sh\n  ls\n  ```\n"]),
    "a thousand fences": ("```\n" * 1000, ["" for _ in range(500)]),
}


@pytest.mark.parametrize(("text", "codes"), CASES.values(), ids=CASES)
def test_find_blocks(text: str, codes: list[str]) -> None:
    assert [block.code for block in find_blocks(text)] == codes


@pytest.mark.parametrize(
    ("info", "language", "file"),
    [
        ("", "", None),
        ("python", "python", None),
        ("Python", "python", None),
        ("c++", "c++", None),
        ("c#", "c#", None),
        ("objective-c", "objective-c", None),
        ("python app.py", "python", "app.py"),
        ("python:src/app.py", "python", "src/app.py"),
        ('python title="src/app.py"', "python", "src/app.py"),
        ("{.python filename=app.py}", "python", "app.py"),
        ("app.py", "", "app.py"),
        ("src/lib.rs", "", "src/lib.rs"),
        ("dockerfile Dockerfile", "dockerfile", "Dockerfile"),
        ("python, linenos", "python", None),
        ("js {1,3-5}", "js", None),
        ("42", "", None),
    ],
)
def test_language_and_file_are_read_from_the_info_string(
    info: str, language: str, file: str | None
) -> None:
    (block,) = find_blocks(f"```{info}\nx\n```")
    assert (block.language, block.file, block.info) == (language, file, info)


def test_block_has_its_span_and_whether_it_is_closed() -> None:
    text = "So:\n```\nab\n```\n```\ncd"
    first, second = find_blocks(text)
    assert text[first.start : first.end] == "ab\n" and first.is_closed
    assert text[second.start : second.end] == "cd" and not second.is_closed


def test_choose_block_prefers_the_largest_of_the_language() -> None:
    blocks = find_blocks(
        "```sh\npip install everything at once\n```\n```py\na\n```\n```py\nabc\n```"
    )
    assert getattr(choose_block(blocks, "py"), "code", None) == "abc\n"
    assert getattr(choose_block(blocks), "language", None) == "sh"
    assert getattr(choose_block(blocks, "go"), "language", None) == "sh"
    assert choose_block(find_blocks("```\n \n```")) is None
    assert choose_block(()) is None


LINES = st.lists(st.text(alphabet="ab `~#>-\t\r\x00字\u2028", max_size=8), max_size=8)


@given(LINES, st.sampled_from("`~"), st.sampled_from(["", "py", "text here"]), st.text("ab \n"))
def test_fenced_code_is_extracted_byte_for_byte(
    lines: list[str], mark: str, info: str, before: str
) -> None:
    code = "".join(f"{line}\n" for line in lines)
    longest = max((len(run) for run in code.replace("\n", " ").split(" ")), default=0)
    fence = mark * max(3, longest + 1)
    text = f"{before}\n{fence}{info}\n{code}{fence}\nafter\n"
    assert [block.code for block in find_blocks(text)] == [code]


@given(st.text(alphabet="ab`~ \n>-1.\t", max_size=200))
def test_blocks_of_random_text_are_in_order_without_overlap(text: str) -> None:
    at = 0
    for block in find_blocks(text):
        assert at <= block.start <= block.end <= len(text)
        at = block.end
