"""Text wraps at words on a terminal, also while streamed; Chinese punctuation is not split off."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import pyte
import pytest
from rich.console import Console as RichConsole
from terminal.screen import display
from terminal.talk import Start, say, wait_for_prompt

from llmtool.cli.render.markdown import MarkdownStream
from llmtool.cli.render.tables import make_rich_console
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.interrupts import Interrupts
from llmtool.cli.terminal.wrap import WordWrap, wrap, wrap_message

NO_START = "，。！？；：、）」』”》,.!?;:)"
NO_END = "（「『“《("
ENGLISH = "Internationalization and localization are words that stay whole at the right edge. "
CHINESE = (
    "他说，“今天（星期一）天气很好。”我用Python写了一个程序；它能运行吗？能！"
    "《书名》也完整、正确：好。"
)


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("", 5, [""]),
        ("one two", 7, ["one two"]),
        ("one two", 6, ["one ", "two"]),
        ("one   two", 4, ["one   ", "two"]),
        ("a sesquipedalian", 8, ["a ", "sesquipe", "dalian"]),
        ("see https://example.com/x", 12, ["see ", "https://exam", "ple.com/x"]),
        ("你好，世界", 4, ["你", "好，", "世界"]),
        ("你好世界", 5, ["你好", "世界"]),
        ("他说：“好。”", 8, ["他说：", "“好。”"]),
        ("他用（或许）", 6, ["他用", "（或", "许）"]),
        ("用Python写", 6, ["用", "Python", "写"]),
        ("한국어 문장", 8, ["한국어 ", "문장"]),
        ("ちょっと", 6, ["ちょっ", "と"]),
        ("日本ー", 4, ["日", "本ー"]),
        ("甲👩\u200d👩", 5, ["甲", "👩\u200d👩"]),
        ("一e\u0301二", 3, ["一e\u0301", "二"]),
        ("字", 1, ["字"]),
    ],
)
def test_wrap_splits_between_words_and_ideographs(text: str, columns: int, rows: list[str]) -> None:
    assert wrap(text, columns) == rows


def test_rows_before_the_last_do_not_change_if_text_is_appended() -> None:
    choice = random.Random(5)
    for _ in range(2000):
        text = "".join(choice.choices("ab  字，。（）\u0301가！", k=40))
        columns = choice.randint(2, 12)
        rows = [""]
        for at in range(0, len(text), 3):
            rows[-1:] = wrap(rows[-1] + text[at : at + 3], columns)
        assert rows == wrap(text, columns) and "".join(rows) == text


def test_a_message_does_not_split_words_that_are_longer_than_a_row() -> None:
    assert wrap_message("see https://example.com/x ok", 12) == "see\nhttps://example.com/x ok"
    assert wrap_message("no file at\nall", 8) == "no file\nat\nall"


def show_words(chunks: Iterable[str], columns: int) -> Iterator[tuple[str, list[str]]]:
    """Yield what is written for each chunk of a text, and the rows of the screen."""
    screen = pyte.Screen(columns, 60)
    screen.set_mode(pyte.modes.LNM)
    stream, words = pyte.Stream(screen), WordWrap()
    for chunk in chunks:
        written = words.push(chunk, columns)
        stream.feed(written)
        yield written, [row.ljust(columns) for row in display(screen)]


@pytest.mark.parametrize("columns", [20, 33, 80])
def test_streamed_words_are_not_split_and_no_newline_is_added(columns: int) -> None:
    text = ENGLISH * 2 + "\n\n" + ENGLISH * 3
    words, written = set(text.split()), ""
    for part, rows in show_words(text, columns):
        written += part
        *seen, _ = "\n".join(rows).split()
        assert words.issuperset(seen)
    assert written.count("\n") == 2
    # A terminal copies full rows without a newline.
    assert "".join(rows).split() == text.split()


@pytest.mark.parametrize("columns", [20, 21, 40])
def test_streamed_chinese_punctuation_does_not_start_a_row(columns: int) -> None:
    for _, rows in show_words(CHINESE * 3, columns):
        check_punctuation([row.rstrip().replace("\0", "") for row in rows])
    assert "".join("".join(rows).replace("\0", "").split()) == CHINESE * 3


@pytest.mark.parametrize(
    "text",
    [
        "```python\n" + "value = 1 + 2 " * 9 + "\n```\n",
        "a\tb " * 20,
        "x" * 100,
        "short lines\n" * 3,
    ],
    ids=["code", "tabs", "one word", "short"],
)
def test_text_without_words_to_wrap_is_written_unchanged(text: str) -> None:
    for step in (1, 7, len(text)):
        chunks = [text[at : at + step] for at in range(0, len(text), step)]
        assert "".join(written for written, _ in show_words(chunks, 40)) == text


def test_text_after_a_code_block_is_wrapped() -> None:
    *_, (_, rows) = show_words(["```\nx\n```\n", "one two three"], 8)
    assert [row.strip() for row in rows[:5]] == ["```", "x", "```", "one two", "three"]


class Screen:
    """A terminal that shows a stream of Markdown."""

    def __init__(self, columns: int, *, lines: int = 50) -> None:
        self.screen = pyte.Screen(columns, lines)
        self.screen.set_mode(pyte.modes.LNM)
        feed = pyte.Stream(self.screen).feed
        self.raw = ""

        def write(text: str) -> None:
            self.raw += text
            feed(text)

        def console(width: int) -> RichConsole:
            return make_rich_console(CONSOLE, width)

        self.markdown = MarkdownStream(write, size=lambda: (columns, lines), console=console)

    def rows(self) -> list[str]:
        return [row.replace("\0", "") for row in display(self.screen)]


CONSOLE = Console(Interrupts())
CONSOLE.configure(color="always")


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_no_word_is_split_while_it_arrives(columns: int) -> None:
    text, shown = ENGLISH * 4, Screen(columns)
    for at, character in enumerate(text):
        shown.markdown.push(character)
        assert "\n".join(shown.rows()).split() == text[: at + 1].split()
    shown.markdown.end()
    assert "\n".join(shown.rows()).split() == text.split()


@pytest.mark.parametrize("columns", [20, 21, 40, 80])
@pytest.mark.parametrize("prefix", ["", "- ", "> ", "# ", "| a |\n|---|\n| "])
def test_chinese_punctuation_does_not_start_a_row(columns: int, prefix: str) -> None:
    shown = Screen(columns)
    for character in prefix + CHINESE * 3:
        shown.markdown.push(character)
        check_punctuation(shown.rows())
    shown.markdown.end()
    check_punctuation(shown.rows())
    text = "".join("".join(shown.rows()).split())
    assert all(text.count(character) >= 3 for character in "，。“”（）《》、：；！？")


def check_punctuation(rows: list[str]) -> None:
    texts = [text for row in rows if (text := row.strip("•▌>-# "))]
    assert not [text for text in texts if text[0] in NO_START]
    assert not [text for text in texts[:-1] if text[-1] in NO_END]


def test_code_is_not_wrapped() -> None:
    line = "x = " + " + ".join(f"value_{i}" for i in range(20))
    shown = Screen(40)
    for character in f"```python\n{line}\n```\n":
        shown.markdown.push(character)
    shown.markdown.end()
    rows = shown.rows()
    assert "".join(row.ljust(40) for row in rows[1:8]).startswith(line)


def test_code_has_the_background_of_the_terminal() -> None:
    shown = Screen(40)
    quoted = "> ```py\n> x = 1\n> ```\n"
    block = "```py\ny = 2\n```\n"
    shown.markdown.push(f"Call `main()`.\n\n{quoted}\n{block}\n| `a` |\n|---|\n| `b` |\n")
    shown.markdown.end()
    text = "\n".join(shown.rows())
    assert "x = 1" in text and "y = 2" in text
    assert "\x1b[" in shown.raw
    backgrounds = {cell.bg for row in shown.screen.buffer.values() for cell in row.values()}
    assert backgrounds == {"default"}


def test_errors_wrap_at_words(chat: Start) -> None:
    with chat("fine", columns=30) as terminal:
        wait_for_prompt(terminal)
        say(terminal, "／export pdf", "[FILE]", 2)
        assert terminal.screen()[4:7] == [
            "llmtool: unknown format 'pdf';",
            "use /export md|json|html",
            "[FILE]",
        ]


def test_notes_wrap_at_words(chat: Start) -> None:
    with chat("fine", columns=30) as terminal:
        wait_for_prompt(terminal)
        rows = terminal.screen()
        assert rows[:4] == [
            "llmtool: scripted, session",
            "'work' (/help for commands,",
            "Ctrl-D to exit)",
            ">",
        ]
