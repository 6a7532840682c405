"""Files in which text was lost, syntax translated or an encoding not found: none happens again."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmtool import Toolbox
from llmtool.documents.formats import detect, parse
from llmtool.documents.readers.readable import read_document
from llmtool.engine.scripted import ScriptedEngine

CASES = Path(__file__).parent / "cases"
CORPUS = Path(__file__).parent / "corpus"
SEGMENTS = {
    "arrow_text.srt": ["Step 1 --> Step 2: press start", "Good"],
    "big_inline_js.html": ["A page", "One short paragraph."],
    "bom.json": ["Good morning"],
    "bom.srt": ["Good morning, everybody!", "The café is closed today."],
    "capital_labels.json": [
        "CANCEL",
        "SAVE",
        "Login/Register",
        "sign-in",
        "‹<b>›Warning‹</b>›",
        "and/or",
    ],
    "cjk_beside_address.txt": [
        "如有问题请发邮件到‹help@example.org›咨询我们。",
        "请访问‹https://example.org/a›获取更多信息。",
        "设置‹$HOME›变量后重启。",
    ],
    "cjk_values.json": [
        "请在3天内完成付款。",
        "支持JPG、PNG格式，不超过5MB",
        "点击‹<b>›这里‹</b>›继续",
        "请输入‹{user_name}›",
        "共‹{total}›条/每页‹{size}›条",
        "確認メールを2通送信しました。",
    ],
    "colon_milliseconds.srt": ["Colons for milliseconds", "Good"],
    "context.po": ["Open", "Open", "Empty"],
    "docusaurus_title.md": [
        "Remember the milk",
        "Buy it on the way home.",
        "An important heading",
        "Text below it.",
    ],
    "drawing.srt": ["Good words"],
    "emphasis.md": ["This is **bold** text, and **Note:** it stays."],
    "form_labels.html": [
        "Your name",
        "Type here",
        "Send now",
        "Go on",
        "First choice",
        "Second choice",
        "Say it",
    ],
    "good_morning.ass": ["‹{\\pos(10,20)}›Good morning, everybody!"],
    "greeting.xlf": ["Good morning"],
    "hr_first.md": ["The report", "First paragraph of the report.", "Second paragraph."],
    "hugo.md": [
        "Heads up",
        "Restart the server afterwards.",
        "It deletes all files.",
        "The panel of the machine",
        'See ‹{{< ref "install.md" >}}› and ‹{{< figure\n  src="a.png"\n  caption="The '
        'panel of the machine" >}}›',
    ],
    "inline_attributes.html": [
        "A red bike",
        "The manual",
        'See ‹<img alt="A red bike" src=x>› in the yard, and ‹<a title="The manual" '
        "href=y>›read it",
    ],
    "inline_tag_over_two_lines.md": [
        "y",
        "See ‹<a href='x'\n   title='y'>›this page‹</a>› now, please.",
    ],
    "latex_brackets.md": ["The sum is given by", "and inline it is ‹\\(a_i + b\\)› again."],
    "math_beside_cjk.md": ["其中‹$\\epsilon$›是噪声，‹$x_i$›为输入，令‹$E=mc^2$›。"],
    "mdx.mdx": [
        "Install the tool",
        "Linux",
        "Run the script below.",
        "The answer is ‹{answer}›, or ‹{props.answer + 1}› on Mondays.",
        "Fast",
        "Everything is quick.",
    ],
    "mkdocs_admonition.md": [
        "Before the note.",
        "Mind the gap",
        "Never unplug the device while it is writing.",
        "A folded remark that is long enough to be wrapped somewhere.",
        "After the note.",
    ],
    "negative_time.srt": ["Too early", "In time"],
    "note.rst": [
        "The library",
        "The library is closed.",
        "See ‹:ref:`›opening hours‹ <hours>`› and ‹``code``›.",
    ],
    "notranslate_p.html": ["This has to be translated.", "And this too.", "An ordinary item"],
    "obsidian_callout.md": [
        "Read this first",
        "The vault is a folder of plain files. It has no database.",
        "A GitHub alert keeps its kind.",
    ],
    "partly.po": ["‹›‹%d› files"],
    "placeholders.json": [
        "Open ‹$t(menu.file)› now",
        "See ‹@:common.help› page",
        "no apples‹ | ›one apple‹ | ›‹{n}› apples",
        "Welcome back ‹:name›",
        "Please ‹<0>›sign in‹</0>› or ‹<1>›register‹</1>›",
        "Hi ‹%{name}›!",
        "Hello ‹$USER$›, you have ‹$1› mails",
    ],
    "plural_russian.po": [
        "‹›‹%(n)d› pictures were moved‹›‹%(n)d› pictures were moved‹›‹%(n)d› pictures were moved"
    ],
    "pot.po": ["‹›One file‹›‹%d› files", "Good morning"],
    "qt.po": [
        "Copy ‹%1› files to ‹%2› (‹%L3›)",
        "‹%n› file(s) found",
        "Page ‹%1%› of ‹%2%›",
        "Open ‹<filename>›‹%1›‹</filename>›",
    ],
    "space_line.vtt": [
        "hello‹<00:00:01.040>›‹<c>› everyone‹</c>›‹<00:00:01.920>›‹<c>› "
        "today‹</c>›‹<00:00:02.240>›‹<c>› we‹</c>›",
        "hello everyone today we",
        "hello everyone today we build‹<00:00:03.360>›‹<c>› a‹</c>›‹<00:00:03.520>›‹<c>› "
        "boat‹</c>›",
    ],
    "stext.po": ["‹%s›Date: ‹%.*s›"],
    "toc_anchors.md": [
        "Handbook",
        "[Getting started]‹(#getting-started)›",
        "[Frequently asked]‹(#frequently-asked)›",
        "Getting started",
        "Plug it in.",
        "Frequently asked",
        "Is it loud? See [above]‹(#getting-started)›.",
    ],
    "u2028.po": ["One line\u2028another", "Vertical\x0btab and\x85nel"],
    "unclosed_head.html": [
        "A short report",
        "The library",
        "The library of Marbury closes for repairs from March to June. The works cost 1,200 euros.",
    ],
    "wrapped_to_chinese.md": [
        "The town library closes from March to June because of repairs to the roof and "
        "to the windows of the reading room on the first floor, and readers can borrow "
        "books in the branch."
    ],
}


@pytest.mark.parametrize("name", SEGMENTS)
def test_segments_of_a_case(name: str) -> None:
    text = (CORPUS / name).read_bytes().decode()
    segments = parse(text, detect(name, text)).segments
    assert [
        "".join(part if isinstance(part, str) else f"‹{part.source}›" for part in segment.parts)
        for segment in segments
    ] == SEGMENTS[name]


BODY = "Subject: x\n\nThe body text."
ENGLISH = "Good morning, everybody!\n\n2\n00:00:03,000 --> 00:00:04,000\nThe café is closed today."
FIRST = "1\n00:00:01,000 --> 00:00:02,000\n"
# The text, kind and encoding of a file, and the note about it.
READ = {
    "base64.eml": (
        "Subject: Invoice\nFrom: a@example.org\n\n"
        "Your invoice over 40 EUR is due on 3 May. Please pay in time.",
        "email",
        "",
    ),
    "comments_and_groups.eml": (BODY.replace("x\n", "x\nFrom: (c):\nTo: (c):\n"), "email", ""),
    "empty_plain_part.eml": (
        "Subject: Hello\nFrom: a@example.org\nTo: b@example.org\n\n"
        "Your invoice over 40 EUR is due on 3 May.",
        "email",
        "",
    ),
    "gbk.srt": (f"{FIRST}大家早上好！", "text", "read as gb18030 (detected)"),
    "malformed_parameter.eml": (BODY, "email", ""),
    "unknown_charset.eml": (BODY, "email", ""),
    "utf16.srt": (FIRST + ENGLISH, "text", ""),
    "utf8_without_charset.eml": ("Subject: x\n\nGrüße, der Text ist da.", "email", ""),
}


@pytest.mark.parametrize("name", READ)
def test_text_of_a_case(name: str) -> None:
    text, kind, note = READ[name]
    found = read_document((CASES / name).read_bytes(), name=name)
    assert found.text.strip().replace("\r\n", "\n") == text
    assert found.kind == kind
    assert note in "".join(found.notes)
    assert bool(found.notes) == bool(note)


def test_chinese_is_not_wrapped_where_a_reader_would_see_a_space() -> None:
    chinese = "市图书馆因屋顶和二楼阅览室窗户维修，三月至六月闭馆，读者可到分馆借书。" * 2
    toolbox = Toolbox(engine=ScriptedEngine(lambda prompt: chinese), model="scripted")
    text = (CORPUS / "wrapped_to_chinese.md").read_text(encoding="utf-8")
    assert toolbox.translate(text, "Chinese", format="md").text == f"{chinese}\n"
