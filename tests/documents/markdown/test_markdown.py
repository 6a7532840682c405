"""Markdown dialects: which text is translated, and that syntax, lines and links do not change."""

from __future__ import annotations

import re
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from documents.rewriting import rewrite
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.parser_inline import ParserInline
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from offenders import every

from llmtool.documents.formats import parse
from llmtool.documents.markdown import blocks, inline, tags, template_blocks
from llmtool.documents.markdown.anchors import RULES
from llmtool.documents.markdown.directives import line_text
from llmtool.documents.markdown.parser import InlineElements, _parser
from llmtool.documents.markdown.tags import template_end
from llmtool.documents.types import Document, Part, Segment, find_unaccounted

CORPUS = sorted((Path(__file__).parents[1] / "corpus").glob("*.md*"))
_ACCENTS = str.maketrans("aeiouAEIOU", "áéíóúÁÉÍÓÚ")


def accented(segment: Segment) -> tuple[Part, ...]:
    return tuple(
        part.translate(_ACCENTS) if isinstance(part, str) else part for part in segment.parts
    )


def translate(text: str) -> str:
    """Add accents to the text of a document, and check that every replacement is accepted."""
    document = parse(text, "md")
    for segment in document.segments:
        assert document.find_fault(segment, accented(segment)) is None, segment.text
    output = rewrite(document, {i: accented(s) for i, s in enumerate(document.segments)})
    assert document.compare(output) is None
    assert find_unaccounted(document) == []
    return output


# Each text, and its translation with accents. Words without accents are syntax.
TRANSLATED: dict[str, tuple[str, str]] = {
    "thematic break first": (
        "---\n\n# The report\n\n---\n\nEnd.\n",
        "---\n\n# Thé répórt\n\n---\n\nÉnd.\n",
    ),
    "YAML front matter": (
        "---\ntitle: A guide\nslug: a-guide\ndescription: >\n  Two\n  lines\ntags: [one]\n---\n",
        "---\ntitle: Á gúídé\nslug: a-guide\ndescription: >\n  Twó línés\ntags: [one]\n---\n",
    ),
    "front matter that needs quotes": (
        '---\ntitle: \'It is "x"\'\nsummary: "A # b"\nhero:\n  text: on\n---\n',
        '---\ntitle: \'Ít ís "x"\'\nsummary: "Á # b"\nhero:\n  text: ón\n---\n',
    ),
    "front matter with other lines": (
        "---\nspell:ignore: one\ntags: [one,\ntwo]\ntitle: Two\n---\nThree\n",
        "---\nspell:ignore: one\ntags: [one,\ntwo]\ntitle: Twó\n---\nThréé\n",
    ),
    "text between two thematic breaks": (
        "---\nNote: one.\nTwo three: four\nfive\n\n---\n",
        "---\nNóté: óné. Twó thréé: fóúr fívé\n\n---\n",
    ),
    "TOML front matter": (
        '+++\ntitle = "A guide" # no\nslug = "a"\n+++\nText.\n',
        '+++\ntitle = "Á gúídé" # no\nslug = "a"\n+++\nTéxt.\n',
    ),
    "titles of code blocks": (
        '```py title="A title" n=2\ncode\n```\n\n> ~~~ {.c title="a/b" alt=\'One\'}\n> x\n> ~~~\n',
        '```py title="Á títlé" n=2\ncode\n```\n\n> ~~~ {.c title="a/b" alt=\'Óné\'}\n> x\n> ~~~\n',
    ),
    "attributes without a value": (
        "## A part { data-x }\n\n[One](#a-part){ data-preview } { x }.\n",
        "## Á párt { data-x }\n\n[Óné](#á-párt){ data-preview } { x }.\n",
    ),
    "content of an indented footnote": (
        "Öne[^1].\n\n  [^1]:\n    One.\n\n    Two.\n",
        "Öné[^1].\n\n  [^1]:\n    Óné.\n\n    Twó.\n",
    ),
    "definition of a comment": (
        "<!-- x -->\n\n:   !!! note\n\n        One.\n",
        "<!-- x -->\n\n:   !!! note\n\n        Óné.\n",
    ),
    "undefined label after a link": ("A [b][c].\n\n[b]: d\n", "Á [b][c].\n\n[b]: d\n"),
    "containers without blank lines": (
        "::: a\n<div>One</div>\n:::\n::: b Two\n<!--\n:::\n-->\n:::\n",
        "::: a\n<div>Óné</div>\n:::\n::: b Twó\n<!--\n:::\n-->\n:::\n",
    ),
    "attribute of several lines": (
        '> <img alt="One two three\n> four five" src="a">\n\n<img alt="Six\n" src="b">\n',
        '> <img alt="Óné twó thréé\n> fóúr fívé" src="a">\n\n<img alt="Síx\n" src="b">\n',
    ),
    "link definition after HTML": (
        "<div>\nOne\n</div>\n  [b]: https://b.org/one\n\nA [c][b].\n",
        "<div>\nÓné\n</div>\n  [b]: https://b.org/one\n\nÁ [c][b].\n",
    ),
    "callout with a no-break space": ("> [!note]\u00a0One\n", "> [!note]\u00a0Óné\n"),
    "MkDocs admonition": (
        '!!! note "A title"\n    One.\n\n    Two.\n\n    ```\n    code\n    ```\n\nAfter.\n',
        '!!! note "Á títlé"\n    Óné.\n\n    Twó.\n\n    ```\n    code\n    ```\n\nÁftér.\n',
    ),
    "nested and folded admonitions": (
        '- item\n\n    ??? tip "Open"\n        Body.\n\n        !!! note\n            Deep.\n',
        '- ítém\n\n    ??? tip "Ópén"\n        Bódy.\n\n        !!! note\n            Déép.\n',
    ),
    "tabs": (
        '=== "Linux"\n\n    Use it.\n\n=== "Other"\n\n    Or not.\n',
        '=== "Línúx"\n\n    Úsé ít.\n\n=== "Óthér"\n\n    Ór nót.\n',
    ),
    "admonition in a code block": (
        "```\n!!! note\n    code\n```\n\nText.\n",
        "```\n!!! note\n    code\n```\n\nTéxt.\n",
    ),
    "blocks with slashes": (
        "/// note | A title\n    open: true\n\nBody.\n///\n\n/// caption\nFigure one.\n///\n",
        "/// note | Á títlé\n    open: true\n\nBódy.\n///\n\n/// caption\nFígúré óné.\n///\n",
    ),
    "kramdown attribute lists": (
        "# Title {#top .big}\n{: .note}\n\nText\n{: #id title='no'}\n\nSee [it](u){: .x}.\n",
        "# Títlé {#top .big}\n{: .note}\n\nTéxt\n{: #id title='nó'}\n\nSéé [ít](u){: .x}.\n",
    ),
    "attributes with text": (
        '[a b](x){:title=\'One two\' .x} [c](y){: data-confirm="Sure?" data-id="one two" }\n\n'
        "{:title=\"Two\"}\n<x-card label='three' help-text='Four' data-tip='x.y'>Five</x-card>\n\n"
        "<Tab buttonText='Next page' value='six' :title='no'>Text</Tab>\n",
        '[á b](x){:title=\'Óné twó\' .x} [c](y){: data-confirm="Súré?" data-id="one two" }\n\n'
        "{:title=\"Twó\"}\n<x-card label='thréé' help-text='Fóúr' data-tip='x.y'>Fívé</x-card>\n\n"
        "<Tab buttonText='Néxt págé' value='six' :title='no'>Téxt</Tab>\n",
    ),
    "roles with text": (
        "The {abbr}`WHO (World Health)` and {dfn}`one two`, {kbd}`Enter` and {term}`no`.\n",
        "Thé {abbr}`WHO (Wórld Héálth)` ánd {dfn}`óné twó`, {kbd}`Enter` ánd {term}`no`.\n",
    ),
    "callouts": (
        "> [!tip]- Read **it**\n> One\n> more.\n\n> [!NOTE]\n> Other.\n",
        "> [!tip]- Réád **ít**\n> Óné\n> móré.\n\n> [!NOTE]\n> Óthér.\n".replace(
            "Óné\n> móré", "Óné móré"
        ),
    ),
    "containers": (
        ":::tip A title\nOne.\n:::\n\n:::info[Another]{#x}\nTwo.\n:::\n\n::: details Open\nHi.\n"
        ":::\n",
        ":::tip Á títlé\nÓné.\n:::\n\n:::info[Ánóthér]{#x}\nTwó.\n:::\n\n::: details Ópén\nHí.\n"
        ":::\n",
    ),
    "MDX": (
        "import A from 'a';\nexport const b = {\n  title: 'no',\n};\n\n# One\n\n"
        '<A title="Two" x={<B y="no" />}>\n  Three {b.title}.\n</A>\n\n{/* no */}\n',
        "import A from 'a';\nexport const b = {\n  title: 'no',\n};\n\n# Óné\n\n"
        '<A title="Twó" x={<B y="no" />}>\n  Thréé {b.title}.\n</A>\n\n{/* no */}\n',
    ),
    "tag in an argument": (
        """{% assign x = '<i title="One">two</i>' %}\n\n{{< note "Three <b>four</b>" >}}\n""",
        """{% assign x = '<i title="Óné">two</i>' %}\n\n{{< note "Thréé <b>fóúr</b>" >}}\n""",
    ),
    "shortcodes": (
        '{{< note title="A b" >}}\nOne.\n{{< /note >}}\n\nSee {{< ref "no.md" >}}.\n\n'
        "{{< highlight go >}}\ncode\n{{< /highlight >}}\n",
        '{{< note title="Á b" >}}\nÓné.\n{{< /note >}}\n\nSéé {{< ref "no.md" >}}.\n\n'
        "{{< highlight go >}}\ncode\n{{< /highlight >}}\n",
    ),
    "shortcodes of code": (
        '{{< tab header="One" lang="toml" >}}\n[code]\n\n- code\n{{< /tab >}}\n'
        '{{< tab header="Two" >}}\nThree\n{{< /tab >}}\n',
        '{{< tab header="Óné" lang="toml" >}}\n[code]\n\n- code\n{{< /tab >}}\n'
        '{{< tab header="Twó" >}}\nThréé\n{{< /tab >}}\n',
    ),
    "Liquid": (
        "{% if page.title %}\nOne {{ page.title }}.\n{% endif %}\n{% raw %}\nTwo {{ x }}\n"
        "{% endraw %}\n```\ncode\n```\n{% comment %}\nno\n{% endcomment %}\nThree\n",
        "{% if page.title %}\nÓné {{ page.title }}.\n{% endif %}\n{% raw %}\nTwó {{ x }}\n"
        "{% endraw %}\n```\ncode\n```\n{% comment %}\nno\n{% endcomment %}\nThréé\n",
    ),
    "Liquid in code": (
        "One\n\n```yaml\n{% raw %}\ncode\n```\n{% endraw %}\n```py\ncode\n```\nTwo\n",
        "Óné\n\n```yaml\n{% raw %}\ncode\n```\n{% endraw %}\n```py\ncode\n```\nTwó\n",
    ),
    "MyST": (
        "(label)=\n# One\n\n% comment\n\n```{note} A title\n:class: x\n\n"
        "Two {ref}`three <id>`.\n```\n\n"
        "```{code-block} python\ncode\n```\n\n:::{figure} image.png\n:alt: Four\nFive.\n:::\n",
        "(label)=\n# Óné\n\n% comment\n\n```{note} Á títlé\n:class: x\n\n"
        "Twó {ref}`thréé <id>`.\n```\n\n"
        "```{code-block} python\ncode\n```\n\n:::{figure} image.png\n:alt: Fóúr\nFívé.\n:::\n",
    ),
    "formulas": (
        "One\n\\[\na_i\n\\]\ntwo \\(a + b\\) \\(three\\).\n\n\\begin{align}\na\n\\end{align}\n\n"
        "$$\na\n$$\n",
        "Óné\n\\[\na_i\n\\]\ntwó \\(a + b\\) \\(thréé\\).\n\n\\begin{align}\na\n\\end{align}\n\n"
        "$$\na\n$$\n",
    ),
    "formulas beside CJK letters": (
        "其中$\\epsilon$是a噪声，$x_i$为输入，令$a+e$成立。\n",
        "其中$\\epsilon$是á噪声，$x_i$为输入，令$a+e$成立。\n",
    ),
    "wiki links": (
        "See [[Page|the page]], [[Other]], ![[a.png|left]], ![[a.png|A cat]] and %%no%%. ^block\n",
        "Séé [[Page|thé págé]], [[Other]], ![[a.png|left]], ![[a.png|Á cát]] ánd %%no%%. ^block\n",
    ),
    "footnotes with several paragraphs": (
        "Text.[^one]\n\n[^one]: First.\n\n    Second.\n\n    - third\n\nAfter.\n",
        "Téxt.[^one]\n\n[^one]: Fírst.\n\n    Sécónd.\n\n    - thírd\n\nÁftér.\n",
    ),
    "definition lists": (
        "Term\n:   One.\n\n    Two.\n\n:   Three.\n",
        "Térm\n:   Óné.\n\n    Twó.\n\n:   Thréé.\n",
    ),
    "abbreviations and comments": (
        "Text.\n\n*[HTML]: One two\n\n<!-- no -->\n",
        "Téxt.\n\n*[HTML]: Óné twó\n\n<!-- no -->\n",
    ),
    "attributes and titles": (
        '<img src="no.png" alt="One"> <a title=\'Three\' href="no">four</a> [five](no "Six").\n',
        '<img src="no.png" alt="Óné"> <a title=\'Thréé\' href="no">fóúr</a> [fívé](no "Síx").\n',
    ),
    "HTML": (
        "<details>\n<summary>One</summary>\n\nTwo.\n\n</details>\n\n[x]: no 'Three'\n",
        "<details>\n<summary>Óné</summary>\n\nTwó.\n\n</details>\n\n[x]: no 'Thréé'\n",
    ),
    "a tag on two lines": (
        "See <a href='x'\n   title='y'>this</a> now.\n",
        "Séé <a href='x'\n   title='y'>thís</a> nów.\n",
    ),
    "links to headings": (
        "- [One](#one-two)\n- <a href='#one-two-1'>x</a>\n\n## One two\n\n## One two\n\n"
        "[r]: #one-two\n",
        "- [Óné](#óné-twó)\n- <a href='#óné-twó-1'>x</a>\n\n## Óné twó\n\n## Óné twó\n\n"
        "[r]: #óné-twó\n",
    ),
    "links to headings with an id": (
        "[One](#id) [two](#no)\n\n## Three {#id}\n",
        "[Óné](#id) [twó](#no)\n\n## Thréé {#id}\n",
    ),
    "links whose text is their label": (
        "See [The guide][], [intro]\nand ![logo].\n\n[the guide]: u\n[intro]: v\n[logo]: w\n",
        "Séé [Thé gúídé][The guide], [íntró][intro] ánd ![lógó][logo].\n\n"
        "[the guide]: u\n[intro]: v\n[logo]: w\n",
    ),
    "links whose text is their label, which stays the same": (
        "One [xyz][] [two][], [w]\n\n<p markdown=1>[xyz][] so [w]</p>\n\n"
        "[xyz]: v\n[two]: a\n[w]: b\n",
        "Óné [xyz][] [twó][two], [w]\n\n<p markdown=1>[xyz][] só [w]</p>\n\n"
        "[xyz]: v\n[two]: a\n[w]: b\n",
    ),
    "lines of tables, blocks and lists in one paragraph": (
        "| one | two |\n|---\n| three |\n\n| A poem\n|   of two\n\n(@) one\n(@x) two\n",
        "| óné | twó |\n|---\n| thréé |\n\n| Á póém\n|   óf twó\n\n(@) óné\n(@x) twó\n",
    ),
    "hard line breaks": (
        f"{'A long line of words. ' * 3}  \none two\\\nthree four\n",
        f"{'Á lóng líné óf wórds. ' * 3}  \nóné twó\\\nthréé fóúr\n",
    ),
    "commands of LaTeX and R Markdown": (
        "See \\@ref(fig:one).\n\n\\newpage\n\nUse \\vspace{2em} here.\n",
        "Séé \\@ref(fig:one).\n\n\\newpage\n\nÚsé \\vspace{2em} héré.\n",
    ),
    "a glossary of MyST": (
        "```{glossary}\nOne\n  Two three\n\nFour\n  Five\n```\n",
        "```{glossary}\nÓné\n  Twó thréé\n\nFóúr\n  Fívé\n```\n",
    ),
    "unknown directives of MyST with sentences": (
        "```{widget} A title of it\n:class: x\n\nThe library is closed in May.\n\n- one\n```\n"
        "```{widget} a/b c\nThe library is closed today.\n```\n\n```{stan}\nThe data;\n```\n",
        "```{widget} Á títlé óf ít\n:class: x\n\nThé líbráry ís clóséd ín Máy.\n\n- óné\n```\n"
        "```{widget} a/b c\nThé líbráry ís clóséd tódáy.\n```\n\n```{stan}\nThe data;\n```\n",
    ),
    "lists of MDX at any indent, and after HTML": (
        "import A from 'a'\n\nOne:\n\t- two\n\t- three\n\n- four\n\t\t- five\n\t\t- six\n\n"
        "<details>\n<summary>Seven</summary>\n<Steps>\n1. Eight\n2. Nine\n</Steps>\n</details>\n\n"
        "Ten\n     eleven\n",
        "import A from 'a'\n\nÓné:\n\t- twó\n\t- thréé\n\n- fóúr\n\t\t- fívé\n\t\t- síx\n\n"
        "<details>\n<summary>Sévén</summary>\n<Steps>\n1. Éíght\n2. Níné\n</Steps>\n</details>\n\n"
        "Tén élévén\n",
    ),
    "comments of Hugo": (
        "{{/*\nOne {{% two %}}\n\nThree\n*/ -}}\n\nFour\n\n{{/* five */}}\nSix\n",
        "{{/*\nOne {{% two %}}\n\nThree\n*/ -}}\n\nFóúr\n\n{{/* five */}}\nSíx\n",
    ),
    "text between prices": (
        "It is $5 and $10 today, or 5$ each, and $2a+b$.\n",
        "Ít ís $5 ánd $10 tódáy, ór 5$ éách, ánd $2a+b$.\n",
    ),
    "questions in front matter": (
        "---\nfaq:\n  - question: Is it open?\n    answer: It is.\n    id: one two\n---\n\nA\n",
        "---\nfaq:\n  - question: Ís ít ópén?\n    answer: Ít ís.\n    id: one two\n---\n\nÁ\n",
    ),
    "definitions of links with templates": (
        "See [one], [two][three] and [four][].\n\n[one]: {% link a.md %}\n"
        "[three]: <{{ $url }}{{ with $b }}/b#c{{ end }}>\n[four]: {% post_url 2020-01-01-d %}\n",
        "Séé [óné][one], [twó][three] ánd [fóúr][four].\n\n[one]: {% link a.md %}\n"
        "[three]: <{{ $url }}{{ with $b }}/b#c{{ end }}>\n[four]: {% post_url 2020-01-01-d %}\n",
    ),
    "a fragment of MDX": (
        "import A from 'a'\n\n<>\nOne\n</>\n",
        "import A from 'a'\n\n<>\nÓné\n</>\n",
    ),
    "attributes that are file names, and those of Quarto": (
        '{% code title="index.js" %}\nOne\n\n![two](no.png){#a fig-alt="Three"}\n',
        '{% code title="index.js" %}\nÓné\n\n![twó](no.png){#a fig-alt="Thréé"}\n',
    ),
    "labels of links in text of several lines": (
        "Read [the opening hours]\nfirst, then [the map] and `x` of [the map]\nhere.\n\n"
        "[the opening hours]: a.md\n[the map]: b.md\n",
        "Réád [thé ópéníng hóúrs][the opening hours] fírst, thén [thé\n"
        "máp][the map] ánd `x` óf [thé máp][the map] héré.\n\n"
        "[the opening hours]: a.md\n[the map]: b.md\n",
    ),
    "a label before a footnote, and one on the line after its text": (
        "See [rules][^1] and [`rules`]\n[rules] here.\n\n[^1]: One.\n\n[rules]: a.md\n",
        "Séé [rules][^1] ánd [`rules`] [rules] héré.\n\n[^1]: Óné.\n\n[rules]: a.md\n",
    ),
    "attributes after a paragraph, without a class": (
        '_One\ntwo_\n{ style="color: red" }\n',
        '_Óné twó_\n{ style="color: red" }\n',
    ),
    "Markdown in HTML": (
        "<div markdown>\n:smile-big: **One** `a &amp; b` [two]\n</div>\n\n[two]: a.md\n",
        "<div markdown>\n:smile-big: **Óné** `a &amp; b` [twó][two]\n</div>\n\n[two]: a.md\n",
    ),
    "code in inline tags": (
        'Set <code\nclass="x">one two</code> and <kbd>Enter</kbd>.\n',
        'Sét <code\nclass="x">one two</code> ánd <kbd>Enter</kbd>.\n',
    ),
    "a tag on a line of its own": (
        ':::tip\nOne two\n<img alt="Three" src="a.png" />\n:::\n',
        ':::tip\nÓné twó\n<img alt="Thréé" src="a.png" />\n:::\n',
    ),
    "roles and fields on lines of their own": (
        "![One](a.png)\n:width:`300px`\n\n:begin_tab:`a`\nTwo\n:end_tab:\n\n"
        ":first: Three\n:second: Four\n",
        "![Óné](a.png)\n:width:`300px`\n\n:begin_tab:`a`\nTwó\n:end_tab:\n\n"
        ":first: Thréé\n:second: Fóúr\n",
    ),
    "a link in brackets": (
        "[One](a.md) [[two](b.md)], [[Page|three]]\n",
        "[Óné](a.md) [[twó](b.md)], [[Page|thréé]]\n",
    ),
    "words that begin like statements of MDX": (
        "import A from 'a'\nimport B, {\n  c\n} from 'b'\n\nimportant things\n\nimports of goods\n",
        "import A from 'a'\nimport B, {\n  c\n} from 'b'\n\nímpórtánt thíngs\n\nímpórts óf góóds\n",
    ),
    "a row of a table that has no header": (
        "**One** # two\n**three** ---\n**four** | a | b |\n|--|--|\n| c d | e |\n",
        "**Óné** # twó **thréé** ---\n**fóúr** | á | b |\n|--|--|\n| c d | é |\n",
    ),
    "byte order mark and CRLF": (
        "\ufeff# One\r\n\r\nTwo\r\n\r\n!!! note\r\n    Three\r\n",
        "\ufeff# Óné\r\n\r\nTwó\r\n\r\n!!! note\r\n    Thréé\r\n",
    ),
}


def test_wrapped_line_does_not_begin_with_a_number_sign() -> None:
    document = parse("Thanks for all\nreports, such as #8114.\n", "md")
    new = "word " * 7 + "words #8114 and others"
    assert document.encode(document.segments[0], [new]) == new


def test_chinese_text_is_wrapped_only_at_its_spaces() -> None:
    document = parse("A paragraph that is\nwrapped here.\n", "md")
    new = (
        "这一段文字很长没有任何空格所以不能换行因为读者会看到空格 第二句话也没有空格所以也不能换行"
    )
    assert document.encode(document.segments[0], [new]) == new.replace(" ", "\n")


def test_positions_after_a_byte_order_mark() -> None:
    text = "\ufeff:::tip One\nTwo\n:::\n"
    assert translate(text) == text.replace("One", "Óné").replace("Two", "Twó")


@pytest.mark.parametrize(("text", "translation"), TRANSLATED.values(), ids=TRANSLATED)
def test_text_of_a_construct_is_translated_and_its_syntax_is_not(
    text: str, translation: str
) -> None:
    assert translate(text) == translation


@pytest.mark.parametrize(
    "text",
    [
        "Set x={y} first.\n\n    code here\n",
        "```{ojs}\nimport {x} from 'y'\n```\n\n    code here\n",
        "You can\nexport default settings to a file.\n\n    code here\n",
        "import it with care.\n\n    code here\n",
        "```js\nimport x from 'y'\n```\n\n    code here\n",
    ],
)
def test_text_that_resembles_mdx_is_markdown(text: str) -> None:
    assert "code here" in translate(text)


def test_expressions_of_mdx_are_code() -> None:
    code = "{\n  /** A note. */\n}\n\n{(() => {\n  const a = 'one two'\n\n  return a\n})()}\n"
    document = parse(f"{code}\nOne.\n", "md", dialect="mdx")
    assert [segment.text for segment in document.segments] == ["One."]
    assert find_unaccounted(document) == []


def test_data_in_a_long_tag_of_mdx_is_code() -> None:
    rows = "".join(f"    {{ title: 'Theme {i}', href: 'a/{i}' }},\n" for i in range(300))
    tag = f"<Themes\n  labels={{{{ dark: 'Dark' }}}}\n  themes={{[\n{rows}  ]}}\n/>\n"
    text = f"import Themes from './themes'\n\n{tag}\nOne.\n"
    assert translate(text) == text.replace("One", "Óné")


def test_a_link_to_the_first_of_equal_headings_is_correct_in_a_part_of_the_output() -> None:
    text = "# Notes\n\nOne\n\n## Again\n\nTwo, see [it](#notes).\n\n## Notes\n\nThree\n"
    document = parse(text, "md")
    assert document.compare(text.replace("# Notes", "# Nótés", 1)) is None
    assert "[ít](#nótés)" in translate(text)


def test_grid_table_is_reported() -> None:
    table = "+-----+-----+\n| One | Two |\n+=====+=====+\n| 1   | a   |\n+-----+-----+\n"
    document = parse(f"Text.\n\n{table}\nText.\n", "md")
    assert [each.is_language for each in document.outside or ()] == [True]
    assert table in translate(document.source)


@every(path=CORPUS)
def test_every_letter_is_in_a_segment_or_has_a_reason(path: Path) -> None:
    document = parse(path.read_bytes().decode(), "md")
    assert find_unaccounted(document) == []
    assert document.outside is not None
    at = 0
    for region in document.outside:
        assert at <= region.start < region.end
        assert region.reason
        at = region.end


PIECES = [
    "# Title\n", "words here. ", "\n", "\n\n", "- item\n", "    ", "  ", "> quote\n", "`code`",
    "| a | b |\n|--|--|\n| c d | e |\n", "```\nx y\n```\n", "**bold** ", "图书馆。", "[a](b 'c d')",
    "<b title='x'>", "![alt](c) ", "\r\n", "\t", "---\n", "$x$ ", "[^1]: ", '!!! note "x"\n',
    '=== "Tab"\n', "::: tip x\n", ":::\n", "/// note | x\n", "///\n", "{: .x}\n", "> [!tip] x\n",
    "{{< a title='b' >}}", "{% if x %}\n", "(x)=\n", "% x\n", "```{note} x\n", "```\n", "\\[\n",
    "\\]\n", "$$\n", "[[a|b]]", ": x\n", "*[A]: x\n", "<Card>\n", "{x}", "[x]: #title 'y z'\n",
    "---\ntitle: x\n---\n", "import x from 'y'\n",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=20).map("".join))
@example("\\begin{a}\n\\[\n<Card>\n")
@example("- item\n$$\n$$\n$$\n")
@example("1. item\n   - item\n\\[\nx\n\\]\n\\]\n")
def test_every_letter_of_random_markdown_is_accounted_for(text: str) -> None:
    document: Document = parse(text, "md")
    assert [text[start:end] for start, end in find_unaccounted(document)] == []
    own = {i: segment.parts for i, segment in enumerate(document.segments)}
    assert rewrite(document, own) == text
    assert document.compare(text) is None
    changed = {i: accented(segment) for i, segment in enumerate(document.segments)}
    accepted = {
        i: parts
        for i, parts in changed.items()
        if not document.find_fault(document.segments[i], parts)
    }
    assert document.compare(rewrite(document, accepted)) is None


class CountedDict(dict[str, int]):
    n_lookups = 0

    def __contains__(self, key: object) -> bool:
        self.n_lookups += 1
        return super().__contains__(key)


@pytest.mark.parametrize(
    ("rule", "last"), [("github", "x-999"), ("python-markdown", "x_999"), ("kramdown", "x-999")]
)
def test_many_equal_headings_are_numbered_in_linear_time(rule: str, last: str) -> None:
    _, number = RULES[rule]
    used = CountedDict()
    for _ in range(1000):
        slug = number("x", used)
        used.setdefault(slug, 0)
    assert slug == last
    assert used.n_lookups < 5000


@pytest.mark.parametrize("unit", ["[", "![", "![[", "[^a", "[[a|", "[a]("])
def test_unclosed_brackets_are_read_a_few_times(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    n_read = 0
    skip = ParserInline.skipToken

    def count(parser: ParserInline, state: StateInline) -> None:
        nonlocal n_read
        n_read += 1
        skip(parser, state)

    monkeypatch.setattr(ParserInline, "skipToken", count)
    source = f"Good {unit * 2000}\n"
    document = parse(source, "md")
    assert rewrite(document, {}) == source
    assert n_read <= 2 * 2000


@pytest.mark.parametrize("unit", ["- ```{x}\n", "- ```{x}\n  :a:\n", "> ~~~{x}\n"])
def test_few_lines_after_an_unknown_directive_are_read(
    unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_read = 0

    def count(state: StateBlock, line: int) -> str:
        nonlocal n_read
        n_read += 1
        return line_text(state, line)

    monkeypatch.setattr(blocks, "line_text", count)
    parse(unit * 500, "md")
    assert n_read < 20 * 500


@pytest.mark.parametrize("unit", ["- a\n", "1. a\n", "> a\n", "# a\n", "- a\n  b\n"])
def test_few_lines_after_a_block_of_mdx_are_read(
    unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_read = 0
    is_empty = StateBlock.isEmpty

    def count(state: StateBlock, line: int) -> bool:
        nonlocal n_read
        n_read += 1
        return is_empty(state, line)

    monkeypatch.setattr(StateBlock, "isEmpty", count)
    parse(f"export const a = 1\n\n{unit * 500}", "md", dialect="mdx")
    assert n_read < 50 * 500


@pytest.mark.parametrize("unit", ["{%\n", "{{\n", "{{< a\n", "{# a\n"])
def test_end_of_unclosed_templates_is_searched_a_few_times(
    unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_searched = 0

    def count(*arguments: Any) -> int | None:
        nonlocal n_searched
        n_searched += 1
        return template_end(*arguments)

    monkeypatch.setattr(template_blocks, "template_end", count)
    source = unit * 2000
    assert rewrite(parse(source, "md"), {}) == source
    assert n_searched <= 1000


@pytest.mark.parametrize("unit", ["[^a", "\\a[", "\\[", "\\(", "[a](", "![[", "{{%"])
def test_unclosed_syntax_takes_linear_time(unit: str) -> None:
    source = f"Good {unit * 20_000} and ] more\n"
    assert rewrite(parse(source, "md"), {}) == source


@pytest.mark.parametrize("unit", ["{", "{{%", "**{", "<a {", '"{', "{\n", "**{\n", "<A {\n"])
def test_few_unclosed_braces_are_searched(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    syntax, n_found = tags._BRACES_SYNTAX, 0

    class Counting:
        def search(self, text: str, start: int, stop: int) -> re.Match[str] | None:
            nonlocal n_found
            n_found += 1
            return syntax.search(text, start, stop)

    monkeypatch.setattr(tags, "_BRACES_SYNTAX", Counting())
    source = f"export const a = 1\n\nGood {unit * (20_000 // len(unit))} and more\n"
    assert rewrite(parse(source, "md", dialect="mdx"), {}) == source
    assert n_found < 100 * len(source)


def test_a_second_parse_takes_no_longer_than_the_first() -> None:
    source = f"One\n\n{'[^1]:' * 40_000} and ] more\n"
    seconds = []
    for _ in range(2):
        started = time.process_time()
        parse(source, "md")
        seconds.append(time.process_time() - started)
    assert seconds[1] < 3 * seconds[0]


@pytest.mark.parametrize("indent", ["", "  "], ids=["text", "list"])
def test_few_environments_that_are_not_closed_are_searched(
    monkeypatch: pytest.MonkeyPatch, indent: str
) -> None:
    n_searched, find = 0, blocks.find_line

    def count(*arguments: Any) -> int | None:
        nonlocal n_searched
        n_searched += 1
        return find(*arguments)

    monkeypatch.setattr(blocks, "find_line", count)
    begins = "".join(f"{indent}\\begin{{a{i}}}\n\n" for i in range(300))
    ends = "".join(f"\\end{{a{i}}}" for i in range(300))
    parse(f"- Good\n\n{begins}{ends if indent else ''}\n", "md")
    assert n_searched < 100


class CountedText(str):
    """A text that counts the characters that are read one by one."""

    n_read = 0

    def __getitem__(self, index: Any) -> str:
        self.n_read += isinstance(index, int)
        return super().__getitem__(index)


@pytest.mark.parametrize("unit", ["([a](", "[a](data:", "[a](\\(", "[a](x"])
def test_unclosed_link_targets_are_not_read_by_character(unit: str) -> None:
    state = StateInline(CountedText(unit * 1000), _parser(is_mdx=False), {"references": {}}, [])
    state.md.inline.tokenize(state)
    assert state.src.n_read < 30 * len(state.src)


def test_few_link_targets_that_are_not_closed_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    starts, find_end = [], inline._target_end

    def count(text: str, start: int) -> int | None:
        starts.append(start)
        return find_end(text, start)

    monkeypatch.setattr(inline, "_target_end", count)
    assert len([*inline.split_inline("[a](x), " + "([a]" * 1000)]) > 1
    assert len(starts) < 100


@pytest.mark.parametrize("after", [")", ' "a")', "((", "", "\x7f)", " \\"])
def test_link_destinations_are_those_of_the_parser(after: str) -> None:
    for target in ("x", "(x)", "(((x)))", "\\((x)", "<x", "x\\", "(" * 40, "<(x>", ""):
        text = f"[a]({target}{after} end"
        ours, theirs = (
            [token.as_dict() for token in parser.inline.parse(text, parser, {}, [])]
            for parser in (_parser(is_mdx=False), MarkdownIt("commonmark"))
        )
        assert ours == theirs, text


@pytest.mark.parametrize(
    "start",
    ["/// a | b", "::: a b", "```{a} b", "```{a}\n:b: c", "> [!note] a", "*[a]: b", "import a"],
)
def test_a_run_of_spaces_takes_linear_time(start: str) -> None:
    source = f"One\n\n{start}{' ' * 40_000}x\n\nTwo\n"
    started = time.process_time()
    parse(source, "md")
    assert time.process_time() - started < 2


@pytest.mark.parametrize("source", ["\rOne", "One\rtwo\n\n\rthree\r\r\n", "# a\rb\n- c\rd\n"])
def test_carriage_return_alone_is_a_space(source: str) -> None:
    document = parse(source, "md")
    assert rewrite(document, {}) == source and not find_unaccounted(document)


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        ("Das **alte Haus** und die *grüne Tür*", None),
        ("Die *grüne Tür* und das **alte Haus**", None),
        ("**Das alte Haus und die *grüne Tür***", "changes the markup: it loses italic"),
        ("Das *alte **Haus*** und die grüne Tür", "changes the markup: it loses bold"),
        ("Das ** alte Haus ** und die *grüne Tür*", "changes the markup: it loses bold"),
    ],
    ids=["same", "other order", "all bold", "bold in italic", "spaces"],
)
def test_emphasis_in_other_emphasis_is_a_fault(reply: str, fault: str | None) -> None:
    document = parse("The **old house** and the *green door*", "md")
    assert document.find_fault(document.segments[0], (reply,)) == fault


def test_deeply_nested_emphasis_takes_little_memory() -> None:
    source = "~~" * 4_000 + "text" + "~~" * 4_000
    counts = InlineElements(frozenset())
    tracemalloc.start()
    try:
        counts.count(source, {})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30_000_000
