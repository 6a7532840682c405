"""The text of web pages, without boilerplate, in linear time."""

from __future__ import annotations

import pytest

from llmtool.documents.readers import web_text
from llmtool.documents.readers.web_text import extract_text
from llmtool.errors import InputError

LONG = "This is a sentence of the article, which is long enough. " * 5


def test_text_has_markdown_headings_lists_and_cells() -> None:
    page = (
        "<h2>A  b</h2><ul><li>c<li><p>d</p></ul><script>no</script><p>e &amp;<br>f</p>"
        "<pre> g\n h</pre><table><tr><th>i<th>j<tr><td>1<td>2</table>"
    )
    assert extract_text(page).text == ("## A b\n\n- c\n- d\n\ne &\nf\n\n g\n h\n\ni | j\n1 | 2")


@pytest.mark.parametrize(
    "page",
    [
        f"<html><head><meta charset=utf-8><title>T</title><link rel=x><h1>T</h1><p>{LONG}",
        f"<html><head><title>T<meta a=b><body><p>{LONG}",
        f"<html><head><title>T</title><body><nav><a href=/>Home</a><h1>T</h1><p>{LONG}",
        f"<header><h1>T</h1><p>{LONG}",
        f"<div class=menu><a>a</a><a>b</a><a>c</a><h1>T</h1><p>{LONG}</p></div>",
        f"<h1>T</h1><aside><p>{LONG}",
    ],
    ids=["head", "title", "nav", "header", "menu", "aside"],
)
def test_element_without_an_end_tag_hides_no_text(page: str) -> None:
    found = extract_text(page)
    assert LONG.strip() in found.text
    assert "# T" in found.text and "<" not in found.text


BOILERPLATE = {
    "navigation": "<nav><a href=/>Home</a> <a href=/b>Books</a></nav>",
    "the header": "<header>Marbury Online</header>",
    "the footer": "<footer>Copyright 2024 Marbury Ltd</footer>",
    "a sidebar": "<aside>Most read today</aside>",
    "a dialog": "<div role=dialog>Subscribe to our newsletter</div>",
    "a cookie notice": "<div id=cookie-banner>We use cookies. <button>Accept</button></div>",
    "hidden text": "<div hidden>Not shown</div><p style='color:red; DISPLAY : none'>Not shown",
}


@pytest.mark.parametrize("name", BOILERPLATE)
def test_boilerplate_is_skipped_and_reported(name: str) -> None:
    found = extract_text(f"{BOILERPLATE[name]}<main><h1>T</h1><p>{LONG}</p></main>")
    assert found.text == f"# T\n\n{LONG.strip()}"
    assert [skipped for skipped, _ in found.skipped] == [name]
    assert 0.5 < found.share < 1


def test_style_that_hides_nothing_skips_nothing() -> None:
    page = f"<p style='display:block'>One</p><p style='--display:none; x:y'>Two</p><p>{LONG}"
    assert extract_text(page).text == f"One\n\nTwo\n\n{LONG.strip()}"


def test_lists_of_links_are_skipped_by_their_class() -> None:
    links = "<li><a href=/a>One</a><li><a href=/b>Two</a><li><a href=/c>Three</a>"
    page = f"<ul class='main-menu'>{links}</ul><p>{LONG}<ul>{links}</ul>"
    found = extract_text(page)
    assert found.text.count("One") == 1
    assert found.skipped[0][0] == "navigation"


@pytest.mark.parametrize("tag", ["nav", "footer", "div class=menu"])
def test_menu_with_most_of_the_text_is_skipped_where_sentences_are_elsewhere(tag: str) -> None:
    links = "".join(f"<li><a href=/{i}>Department of everything {i}</a>" for i in range(50))
    menu = f"<{tag}><ul>{links}</ul></{tag.split()[0]}>"
    found = extract_text(f"{menu}<p>The library closes at noon on Friday.</p>")
    assert found.text == "The library closes at noon on Friday."
    assert found.share < 0.05
    assert "everything 7" in extract_text(f"{menu}<p>The library</p>").text


def test_navigation_of_sentences_is_text() -> None:
    page = f"<p>{LONG}</p><nav><a href=/>Home</a><p>The works cost 1,200 euros this year.</p>"
    assert "The works cost" in extract_text(page).text


def test_large_sidebar_with_the_sentences_is_text() -> None:
    found = extract_text(f"<p>Marbury is on the river Tame.</p><aside><p>{LONG}</aside>")
    assert LONG.strip() in found.text


def test_header_and_footer_of_an_article_are_text() -> None:
    page = f"<article><header><p>By Ann</header><p>{LONG}<footer>Updated in May</footer></article>"
    found = extract_text(page)
    assert "By Ann" in found.text and "Updated in May" in found.text
    assert found.share == 1


def test_page_of_boilerplate_alone_is_used() -> None:
    assert extract_text("<nav>One</nav><footer>Two</footer>").text == "One\n\nTwo"


def test_title_is_the_heading_of_a_page_without_one() -> None:
    assert extract_text("<title>A &amp; b</title><p>c").text == "# A & b\n\nc"
    assert extract_text("<title>A</title><h1>B</h1>").text == "# B"


def test_cdata_of_xhtml_is_text() -> None:
    page = (
        '<html xmlns="http://www.w3.org/1999/xhtml"><body><script><![CDATA[no]]></script>'
        "<!-- <![CDATA[no]]> --><p>One <![CDATA[<two> & three]]>.</p><style>/*<![CDATA[*/</style>"
        "<p>four</p></body></html>"
    )
    assert extract_text(page).text == "One <two> & three.\n\nfour"


def test_empty_elements_of_xhtml_do_not_hide_the_page() -> None:
    page = (
        '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/>'
        '<script src="x"/></head><body><p>Hello<br/>you</p></body></html>'
    )
    assert extract_text(page).text == "Hello\nyou"


def test_number_of_levels_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the limit, the next test would hang in native code."""
    monkeypatch.setattr(web_text, "_MANY_TAGS", 10)
    assert extract_text("<div>" * 900 + "deep").text == "deep"
    with pytest.raises(InputError, match="more than 1,000 nested or unclosed elements"):
        extract_text("<div>" * 1100 + "deep")


@pytest.mark.parametrize(
    "unit",
    [
        "<!--",
        "<a ",
        "<a>",
        "<div>",
        "<b><p>",
        "<table>",
        "<",
        '<a href="',
        "<font><div>",
        "<dd><li>",
    ],
)
def test_hostile_html_takes_linear_time(unit: str) -> None:
    source = unit * (200_000 // len(unit))  # quadratic time would exceed the test's timeout
    try:
        extract_text(source * 2)
    except InputError as exc:
        assert "nested or unclosed elements" in str(exc)


def test_many_elements_without_end_tags_are_read() -> None:
    page = "<ul>" + "<li>An item<p>of <b>a</b> list" * 8000 + "</ul><script>" + "if(a<b){}" * 9000
    assert extract_text(page).text.count("An item") == 8000
