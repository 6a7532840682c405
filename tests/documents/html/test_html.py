"""HTML: what is translated, byte for byte, judged by html5lib and Lexbor."""

from __future__ import annotations

import re

import pytest
from documents.rewriting import rewrite
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from llmtool.documents.formats import parse
from llmtool.documents.html.document import Html
from llmtool.documents.html.tokens import tokenize
from llmtool.documents.types import Document, Part, ProtectedSpan, find_unaccounted


def shown(source: str) -> list[str]:
    """The segments, with protected spans in angle quotes."""
    return [
        "".join(part if isinstance(part, str) else f"‹{part.source}›" for part in segment.parts)
        for segment in Html(source).segments
    ]


def reverse_words(text: str) -> str:
    return " ".join(word[::-1] for word in text.split(" "))


def translate(document: Document, change=reverse_words) -> str:  # type: ignore[no-untyped-def]
    translations: dict[int, tuple[Part, ...]] = {}
    for index, segment in enumerate(document.segments):
        translations[index] = tuple(
            part if isinstance(part, ProtectedSpan) else change(part) for part in segment.parts
        )
    return rewrite(document, translations)


SEGMENTS = {
    "element without an end tag": (
        '<div><p translate="no">ACME Ltd<p>One.<p>Two.</div>'
        '<ul><li class="x notranslate">Brand<li>Three</ul>',
        ["One.", "Two.", "Three"],
    ),
    "element within one that is not translated": (
        "<div translate=no>A b <p>c d</p> <span translate=yes>one two</span></div> three",
        ["one two", "three"],
    ),
    "attributes of inline tags": (
        '<p>See <img alt="A red bike" src=x> and <a title="The manual" href=y>read it</a>.</p>',
        [
            "A red bike",
            "The manual",
            'See ‹<img alt="A red bike" src=x>› and ‹<a title="The manual" href=y>›read it',
        ],
    ),
    "attributes of scripts and components": (
        '<a data-confirm="Delete it?" data-method="delete" data-label=price href=x>go</a>'
        '<x-card label="name" help-text="As printed" text="item.text" heading="About">in</x-card>'
        '<div label="no" heading="No">so</div><p data-bs-title="save the file">on',
        ["Delete it?", "go", "name", "As printed", "About", "in", "so", "save the file", "on"],
    ),
    "attributes in attribute values": (
        """<a data-tip="<b title='No text'>x</b>" title='A "quoted" tip > here'>one</a>""",
        ['A "quoted" tip > here', "one"],
    ),
    "code of templates in a title": (
        "<title><?= $t ?> – The <% if x %>Shop &amp; {{ more }}</title>",
        ["‹<?= $t ?>› – The", "Shop & ‹{{ more }}›"],
    ),
    "forms": (
        "<form><label for=a>Your name</label><input id=a placeholder='Type here' value=Jane>"
        '<input type="submit" value="Send now"><button value=go>Proceed</button><select>'
        '<optgroup label="Some group"><option value="x">First<option>Second</select>'
        '<textarea placeholder="Say it">prefilled</textarea></form>',
        [
            "Your name",
            "Type here",
            "Send now",
            "Proceed",
            "Some group",
            "First",
            "Second",
            "Say it",
        ],
    ),
    "unquoted attribute": ("<img alt=Cat><p aria-label=Menu>x y", ["Cat", "Menu", "x y"]),
    "PHP": (
        '<p>Hello <?php echo "a > b"; ?>, welcome<?php if ($x): ?> Log in <?php endif ?> now</p>'
        '<a href="<?= $x["y"] ?>" title="See <?= $n ?> more">one</a><?php $rest = "no text";',
        [
            'Hello ‹<?php echo "a > b"; ?>›, welcome',
            "Log in",
            "now",
            "See ‹<?= $n ?>› more",
            "one",
        ],
    ),
    "templates": (
        "{% if a > b %}Hello, {{ name }}{% else %}Log in{% endif %}<p {% x %}>Run {# no #} on"
        '<%= v %>{{#each x}}<img alt="Photo of {{ n }}">{{/each}}',
        ["Hello, ‹{{ name }}›", "Log in", "Run ‹{# no #}› on‹<%= v %>›", "Photo of ‹{{ n }}›"],
    ),
    "script": (
        "<title>A page</title><script>if(a<b){'</p>'} // <p>no</script><p>One",
        ["A page", "One"],
    ),
    "inline elements that are not translated": (
        "<p>Run <code>x <b>y</b></code> and <kbd>Esc</kbd> now<pre>no</pre>then",
        ["Run ‹<code>›‹x ›‹<b>›‹y›‹</b>›‹</code>› and ‹<kbd>›‹Esc›‹</kbd>› now", "then"],
    ),
    "graphic": (
        '<p>a b<svg aria-label="Chart"><path d="M0"/><text>x</text></svg><p>c d',
        ["a b", "Chart", "x", "c d"],
    ),
    "text of a graphic": (
        "<svg><desc>A chart</desc><text/><text x=1>Hi <tspan>you</tspan></text></svg>",
        ["A chart", "Hi ‹<tspan>›you"],
    ),
    "icon in a sentence": (
        "<p>Click <svg><g><path d='x'/></g></svg> here<p>Two",
        ["Click ‹<svg>›‹<g>›‹<path d='x'/>›‹</g>›‹</svg>› here", "Two"],
    ),
    "metadata": (
        '<meta name=description content="All about it"><meta name=author content="No One">'
        '<meta property="og:title" content="Title"><link title="Style" href=x>',
        ["All about it", "Title"],
    ),
    "XHTML": (
        '<?xml version="1.0"?><html xmlns="x"><script src="a"/><p translate="no"/><p>One</p>',
        ["One"],
    ),
    "CDATA of XHTML": (
        "<html xmlns='x'><p>One <![CDATA[<two> & three]]>.</p><pre><![CDATA[no]]></pre>"
        "<script><![CDATA[no]]></script><p>four <![CDATA[five",
        ["One <two> & three", "four"],
    ),
    "CDATA of HTML": (
        "<p>One <![CDATA[two]]> three <![CDATA[<b>four]]> five",
        ["One ‹<![CDATA[two]]>› three ‹<![CDATA[<b>›four]]> five"],
    ),
    "CDATA of SVG": (
        "<svg><math></math><path/><style><![CDATA[a > b]]></style><text><![CDATA[c > d]]></text>"
        "</svg><p>One <![CDATA[two > three]]>",
        ["c > d", "One ‹<![CDATA[two >› three]]>"],
    ),
    "escaped tags": (
        "<p>Use &lt;b&gt; for R&amp;D, caf&eacute;&nbsp;bar &copy 2024 all",
        ["Use ‹&lt;b&gt;› for R&D, café‹&nbsp;›bar ‹&copy› 2024 all"],
    ),
    "tag without its end": ("<p>one two <b three four", ["one two <b three four"]),
    "quotation mark without another one": (
        '<p><a href="x>one two</a> three',
        ["one two‹</a>› three"],
    ),
}


@pytest.mark.parametrize("name", SEGMENTS)
def test_segments(name: str) -> None:
    source, segments = SEGMENTS[name]
    assert shown(source) == segments


WRITTEN = {
    "attributes of inline tags": (
        '<p>See <img alt="A bike" src=x> and <a title="The book">it</a>.</p>',
        '<p>eeS <img alt="A ekib" src=x> dna <a title="ehT koob">ti</a>.</p>',
    ),
    "unquoted attribute": ("<img alt=Cat>", "<img alt=taC>"),
    "anchors": (
        '<h2 id="the-end">The end</h2><a href="#the-end">end</a>',
        '<h2 id="the-end">ehT dne</h2><a href="#the-end">dne</a>',
    ),
    "CDATA": (
        "<html xmlns='x'><p>One<![CDATA[ <b> & ]]>two</p><p><![CDATA[1 < 2]]></p>",
        "<html xmlns='x'><p>enO &lt;b&gt; &amp; owt</p><p><![CDATA[1 < 2]]></p>",
    ),
    "equal tags": (
        '<p><b title="One">a b</b> c <b title="One">d</b>',
        '<p><b title="enO">a b</b> c <b title="enO">d</b>',
    ),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_replacements(name: str) -> None:
    source, written = WRITTEN[name]
    document = Html(source)
    output = translate(document)
    assert output == written
    assert document.compare(output) is None


def test_quotes_in_attributes_are_escaped() -> None:
    document = Html("<p>a <img alt='One'> b <img alt=Two> <i title=\"{{ x['y'] }} z\">c")
    output = translate(document, lambda text: f"{text}\"'&<" if text.strip() else text)
    assert "alt='One\"&#39;&amp;&lt;'" in output
    assert 'alt="Two&quot;\'&amp;&lt;"' in output
    assert "title=\"{{ x['y'] }} z&quot;'&amp;&lt;\"" in output
    assert document.compare(output) is None


def test_text_without_translation_keeps_its_entities_and_spaces() -> None:
    source = '<p>One &eacute;  two\n<img alt="Cat"> three'
    document = Html(source)
    unchanged = {1: document.segments[1].parts}
    assert rewrite(document, {0: ("Katze",), **unchanged}) == source.replace("Cat", "Katze")


@pytest.mark.parametrize("n_changed", [1, 2], ids=["attribute", "attribute and text"])
def test_equal_tags_in_code_and_comments_are_not_translated(n_changed: int) -> None:
    tag = "<b title='One two'>"
    source = f"<p>a <code>{tag}x</b></code> {tag}bold</b> <!-- {tag} --> <code>{tag}y</b></code> z"
    document = Html(source)
    own = {1: document.segments[1].parts}
    text = tuple(p if isinstance(p, ProtectedSpan) else p.upper() for p in own[1])
    output = rewrite(document, {0: ("Eins zwei",), 1: text if n_changed == 2 else own[1]})
    assert re.findall("<b .*?>", output) == [tag, "<b title='Eins zwei'>", tag, tag]
    assert document.compare(output) is None


PIECES = st.sampled_from(
    [
        "<p>", "</p>", "<p translate=no>", "<b title='One two'>", "</b>", "<img alt=Cat>", "<li>",
        "<ul>", "</ul>", "<div class=notranslate>", "</div>", "<code>", "</code>", "<pre>",
        "<script>", "</script>", "<title>", "</title>", "<!-- c -->", "<!--", "-->", "{{ x }}",
        "{% if %}", "<?php x ?>", "<?=", "&amp;", "&nbsp;", "&eacute;", "<br/>", "<a href=\"",
        "\"", "'", ">", "<", "word ", "Two words. ", "字", "\n", "<svg/>", "<svg>", "</svg>",
        "<input value=x type=submit>", "<textarea>", "</textarea>", "\ufeff", "&", "]]>", "%>",
    ]
)  # fmt: skip
SOURCES = st.lists(PIECES, max_size=25).map("".join)


@given(SOURCES)
def test_tokens_add_up_to_the_source(source: str) -> None:
    at = 0
    for token in tokenize(source):
        assert token.start == at < token.end
        for attribute in token.attributes:
            assert token.start < attribute.start <= attribute.end <= token.end
        at = token.end
    assert at == len(source)


@given(SOURCES)
def test_every_letter_is_accounted_for_and_the_structure_stays(source: str) -> None:
    document = Html(source)
    assert find_unaccounted(document) == []
    own = {i: segment.parts for i, segment in enumerate(document.segments)}
    assert rewrite(document, own) == source == rewrite(document, {})
    assert document.compare(translate(document)) is None


PAGE = """<!doctype html><html lang=en><head><meta charset=utf-8><title>A page</title>
<style>p{color:red}</style><script>if(a<b&&c<d){x("</p>")}</script></head><body>
<nav><ul><li><a href="#one" title="First part">One<li><a href="#two">Two</a></ul></nav>
<main><h1 id=one>First part</h1><p>Some <b>bold and <i>nested</b> text</i> here<br>and
<code>a b</code>
<img src=x alt="A photo"> there.<p translate=no>Brand name<table><tr><th abbr="Nr">Number<td>one
two</table><!-- a comment --><form><input type=submit value="Send it"><select><option>One<option>Two
</select></form><h2 id=two>Second &amp; last</h2></main></body></html>"""


def elements_by_lexbor(source: str) -> list[tuple[object, ...]]:
    root = LexborHTMLParser(source).root
    assert root is not None
    names = ("alt", "title", "value", "abbr")
    return [
        (node.tag, *sorted((k, v) for k, v in node.attributes.items() if k not in names))
        for node in root.traverse(include_text=False)
    ]


def elements_by_html5lib(source: str) -> list[tuple[object, ...]]:
    html5lib = pytest.importorskip("html5lib")
    tree = html5lib.parse(source)
    names = ("alt", "title", "value", "abbr")
    return [
        (str(node.tag), *sorted((k, v) for k, v in node.attrib.items() if k not in names))
        for node in tree.iter()
    ]


@pytest.mark.parametrize("elements", [elements_by_lexbor, elements_by_html5lib])
def test_other_parsers_find_the_same_elements_after_translation(elements) -> None:  # type: ignore[no-untyped-def]
    output = translate(Html(PAGE))
    assert "emoS" in output and 'title="tsriF trap"' in output and "dneS ti" in output
    assert elements(output) == elements(PAGE)


@pytest.mark.parametrize(
    "unit",
    [
        "<!--",
        "<a ",
        "<a>",
        "<p",
        "<div>",
        "</div>",
        "<",
        '<a href="',
        "{{",
        "{%",
        "<?",
        "<%",
        "&",
        "<script>",
    ],
)
def test_hostile_html_takes_linear_time(unit: str) -> None:
    source = unit * (200_000 // len(unit))  # quadratic time would exceed the test's timeout
    assert rewrite(parse(source, "html"), {}) == source
