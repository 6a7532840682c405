"""Find the spans that every format protects, and check their order in a translation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from llmtool.documents.html.elements import ELEMENTS, VOID_ELEMENTS
from llmtool.documents.types import Part, ProtectedSpan

# Scripts without spaces between words: their letters and punctuation end a URL or an address.
_UNSPACED = (
    "\u0e00-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef"
    "\U00020000-\U0003ffff"
)
_NO_URL = rf"""\s<>"'“”‘’„«»…{_UNSPACED}"""
_BALANCED = r"\([^\s()]*\)|\{[^\s{}]*\}"
# A closing parenthesis without an opening one ends it: [a](https://b.org)-c
_URL_PIECE = rf"(?:[^(){{{_NO_URL}]|{_BALANCED}|\((?![^\s()]*\))|\{{(?![^\s{{}}]*\}}))"
# A URL does not end with punctuation: it belongs to the sentence around it.
_URL_END = rf"(?:[^.,;:!?(){{}}\[\]{_NO_URL}]|{_BALANCED})"
_WORD = rf"[^\W{_UNSPACED}]"
# Names between signs, but not __Note__, which may be emphasized. Markdown has other uses for them.
PAIRED_SIGNS = r"""
    (?<!\w)(?:__(?![A-Z][a-z]+__)(?=[A-Za-z])[A-Za-z0-9_]*?[A-Za-z0-9]__(?!\w)
      | @@[A-Za-z][\w.-]*@@ | \#\#[A-Za-z][\w.-]*\#\# | %%[A-Za-z][\w.-]*%%)
  | \[\[(?![A-Z][a-z]+\]\])[A-Za-z][\w.-]*\]\]
"""
PLACEHOLDERS = r"""
    (?:\$[A-Z_][A-Z0-9_]*|\$\{[A-Z_][A-Z0-9_]*\}|(?<!\d)%[A-Z][A-Z0-9_]+%)  # $HOME/.config/x
        (?:[/\\][A-Za-z0-9._+-]*[A-Za-z0-9_+-])+[/\\]?
  | \{\{[^{}\n]*\}\} | \{%[^{}\n]*%\} | <%[^<>\n]*%>    # {{ x }} {% x %} <%= x %>
  | [$\#%]?\{(?:                                        # {x} ${x} %{x} {0:.2f} {}
        [A-Za-z0-9_@\#/.:$!^&*+-][!-z|~]*
      | \w{1,16}
      | [ ]?[A-Za-z_][\w.]*[ ]?(?:                      # { x } { x | filter } {n, number, integer}
            [|(\[?=+*/][^{}\n]*
          | ,\s*(?:number|date|time|ordinal|duration|spellout|list)\b[^{}\n]*)?
    )?\}
  | %\([^()\n]{1,60}\)[-#0+ ]*\d*(?:\.\d+)?[a-zA-Z]     # %(name)s
  | (?<!\d)%(?:\d+\$)?[-#0+]*(?:\*(?:\d+\$)?|\d+)?(?:\.(?:\*(?:\d+\$)?|\d+)?)?(?:hh|ll|[hlLzjtq])?
        (?:[sdi](?![a-z])|[ouxXeEfFgGcaAp@](?![A-Za-z])|<PRI[A-Za-z0-9]+>)    # %s %1$d %.*s
  | %[-#0+]*\d*(?:\.\d+)?<[A-Za-z_]\w*>(?:[diouxXeEfFgGcs](?![A-Za-z]))?      # %<name>s
  | (?<!\d)%[A-Z][A-Z0-9_]+(?:\([xX]86\))?%            # %APPDATA%
  | \*\|[A-Z][A-Z0-9_:]*\|\*                           # *|FNAME|*
  | %%
  | \$t\([^()\n]*\)                                     # $t(key)
  | \$[A-Za-z_][A-Za-z0-9_]*\$?                         # $HOME $USER$
"""
ADDRESSES = rf"""
    (?<![A-Za-z])https?://(?=[{_UNSPACED}])[\w-]+(?:\.(?:[A-Za-z0-9-]+|[^\W0-9_A-Za-z]+))+
        (?:[/?\#][^\s<>"'()\[\]{{}}*|。，、；：！？「」『』（）]*)?(?<![.,;:!?])
  | (?<![^\s(])https?://[^\s<>"'{_UNSPACED}]*[/=\#_][{_UNSPACED}][^\s<>"'()。，、；：！？]*(?=[\s)]|\Z)
  | (?<![A-Za-z])(?:https?|ftp|file|mailto|tel):{_URL_PIECE}*{_URL_END}
  | (?<![A-Za-z])www\.{_URL_PIECE}*{_URL_END}
  | (?<!{_WORD})(?<![.+-])(?:{_WORD}|[.+-])+@(?:{_WORD}|-)+(?:\.(?:{_WORD}|-)+)+
"""
TAGS = rf"""
    </?[A-Za-z][A-Za-z0-9_:.-]*(?:[^\S\n](?:[^<>"'\n{_UNSPACED}]|"[^"<>\n]*"|'[^'<>\n]*')*)?/?>
  | </?\d{{1,2}}[ ]?/?>                                 # <0> </0>
"""
_PROTECTED = re.compile(f"{PLACEHOLDERS}|{ADDRESSES}|{TAGS}", re.VERBOSE)
_MAY_BE_PROTECTED = re.compile(r"[{%$<*@:]|www\.")  # a faster search, as most texts have none
PROTECTED_IN_TEXT = re.compile(f"{PAIRED_SIGNS}|{_PROTECTED.pattern}", re.VERBOSE)
# While a text is wrapped, private-use characters from here on replace its protected spans.
_FIRST_PRIVATE = 0xF0000
PRIVATE = re.compile("[\U000f0000-\U000ffffd]")
# Placeholders without a name or number take the next argument, so their order matters.
_POSITIONAL = re.compile(
    r"\{(?:[:!][^{}]*)?\}"
    r"|%(?!\d+\$|\()[-#0+ ']*(?:\*|\d+)?(?:\.(?:\*|\d*))?[hlLzjtq]*(?:[a-zA-Z@](?!\d)|<PRI\w+>)"
)
# Characters that look like syntax where they are; prose rarely has them. Not those of prices,
# percentages and quotations: "5 %", "$5", "(5)". In Hindi and Bengali, a bar can be a danda.
_SYNTAX = re.compile(
    r"[{}\\\[\]【】]|(?<![\u0900-\u0b7f])(?<![\u0900-\u0b7f] )\|"
    r"|(?<!\d)%(?=[A-Za-z({<])|\$(?=[A-Za-z_({])|(?<![\w@])@(?=[:\w])"
    r"""|(?<![\w\u0300-\u036f\ue000\[:"'”’»)\]}]):(?=[A-Za-z_\u00c0-\u024f])|<(?=/?\w)|&(?=[A-Za-z]+;|\#\d)"""
)
_SPAN = "\ue000"  # stands for a protected span, as in "%d:n" of Finnish
_WIDE_BRACKETS = {"【": "[", "】": "]"}
_TAG = re.compile(r"([<\[{])(/?)([A-Za-z][\w-]*|\d+)([^<>\[\]{}]*?)(/?)[>\]}]")
_CODE = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
_ICU_START = re.compile(r"\{\s*[\w.-]+\s*,\s*(?:plural|select|selectordinal|choice)\s*,")
_CLOSING_TAG = re.compile(r"</([A-Za-z][\w-]*)>")
_WORDS_IN_BRACKETS = re.compile(r"<([A-Za-z][\w-]*)(?:[ ,/|][\w-]+)*>")


def split_parts(text: str, pattern: re.Pattern[str] = _PROTECTED) -> tuple[Part, ...]:
    """Split a text into plain text and protected spans: placeholders, URLs, addresses and tags.

    Example:
        >>> split_parts("Hi {name}, 5% off!")
        ('Hi ', ProtectedSpan(source='{name}'), ', 5% off!')
    """
    if pattern is _PROTECTED and not _MAY_BE_PROTECTED.search(text):
        return (text,) if text else ()
    parts: list[Part] = []
    at = 0
    for found in pattern.finditer(text):
        if is_word_in_brackets(found[0], text):
            continue
        if found.start() > at:
            parts.append(text[at : found.start()])
        parts.append(ProtectedSpan(found[0]))
        at = found.end()
    if at < len(text):
        parts.append(text[at:])
    return tuple(parts)


def is_word_in_brackets(span: str, text: str) -> bool:
    """Return whether a span is a word such as <file>, which can be translated, and not a tag."""
    found = _WORDS_IN_BRACKETS.fullmatch(span)
    return (
        found is not None
        and found[1].lower() not in ELEMENTS
        and found[1] not in _closed_names(text)
    )


@lru_cache(maxsize=1)
def _closed_names(text: str) -> frozenset[str]:
    """Return the names of the closing tags in a text."""
    return frozenset(_CLOSING_TAG.findall(text))


def has_icu_syntax(parts: Sequence[Part]) -> bool:
    """Return whether the syntax of an ICU message is text, because its format does not split it.

    Example:
        >>> has_icu_syntax(["{0,choice,0#no files here|1#one file here}"])
        True
    """
    return any(isinstance(part, str) and _ICU_START.search(part) for part in parts)


def hide_protected(parts: Sequence[Part], escape: Callable[[str], str]) -> tuple[str, list[str]]:
    """Return the escaped parts with private-use characters for protected spans, and the spans."""
    pieces: list[str] = []
    protected: list[str] = []
    for part in parts:
        if isinstance(part, ProtectedSpan):
            pieces.append(chr(_FIRST_PRIVATE + len(protected)))
            protected.append(part.source)
        else:
            pieces.append(escape(PRIVATE.sub("", part)))
    return "".join(pieces), protected


def show_protected(text: str, protected: Sequence[str]) -> str:
    """Replace the private-use characters of `hide_protected` by the protected spans."""
    return PRIVATE.sub(lambda found: protected[ord(found[0]) - _FIRST_PRIVATE], text)


def find_placeholder_fault(source: Sequence[Part], translation: Sequence[Part]) -> str | None:
    """Return why the placeholders of a translation are wrong, or None.

    The caller checks that all protected spans are present.

    Example:
        >>> from llmtool.documents.types import ProtectedSpan
        >>> name = ProtectedSpan("%s")
        >>> find_placeholder_fault(["Mail for ", name], ["Post für ", name, " {x}"])
        'has a placeholder, URL or tag that its source does not have'
        >>> s, d = ProtectedSpan("%s"), ProtectedSpan("%d")
        >>> find_placeholder_fault([s, " has ", d, " files"], [d, " Dateien hat ", s])
        'changes the order of placeholders such as %s'
        >>> find_placeholder_fault(["Set [speed] to 5%"], ["Setze Tempo auf 5 %"])
        'drops ['
    """
    added_spans = _unprotected(translation)
    if added_spans and added_spans - _unprotected(source):
        return "has a placeholder, URL or tag that its source does not have"
    before, after = _syntax(source), _syntax(translation)
    added = after - before
    del added["<"]  # a tag that it adds is reported above; <name> is prose
    for verb, tokens in (("drops", before - after), ("adds", added)):
        for token in sorted(tokens):
            return f"{verb} {token}"
    if positional(source) != positional(translation):
        return "changes the order of placeholders such as %s"
    return None


def _unprotected(parts: Sequence[Part]) -> Counter[str]:
    """Count the placeholders, URLs and tags that are part of the text."""
    texts = (part for part in parts if isinstance(part, str))
    return Counter(
        span.source
        for text in texts
        for span in split_parts(text)
        if isinstance(span, ProtectedSpan)
    )


def _syntax(parts: Sequence[Part]) -> Counter[str]:
    """Count the characters of the text that look like syntax."""
    text = "".join(part if isinstance(part, str) else _SPAN for part in parts)
    found = _SYNTAX.findall(text)
    return Counter(_WIDE_BRACKETS.get(token, token) for token in found)


def positional(parts: Sequence[Part]) -> list[str]:
    """Return the placeholders that take the next argument, in order: %s, {}.

    Example:
        >>> from llmtool.documents.types import ProtectedSpan
        >>> positional([ProtectedSpan("%s"), " of ", ProtectedSpan("%2$s")])
        ['%s']
    """
    spans = (span.replace("%%", "") for span in _without_code(parts))
    return [found for span in spans for found in _POSITIONAL.findall(span)]


def _without_code(parts: Sequence[Part]) -> Iterator[str]:
    """Yield the protected spans without the code in them; adjacent spans may be joined."""
    return (_CODE.sub("", part.source) for part in parts if isinstance(part, ProtectedSpan))


def find_nesting_fault(source: Sequence[Part], translation: Sequence[Part]) -> str | None:
    """Return why the tags of a translation are not nested as in its source, or None."""
    if unpaired_tags(source) == unpaired_tags(translation):
        return None
    return "has tags that no longer match"


def unpaired_tags(parts: Sequence[Part]) -> Counter[str]:
    """Count the start tags without an end tag, and the end tags without a start tag.

    Example:
        >>> from llmtool.documents.types import ProtectedSpan
        >>> b, end, i, last = map(ProtectedSpan, ("<b>", "</b>", "<i>", "</i>"))
        >>> unpaired_tags([b, "one", end, i, "two", last])
        Counter()
        >>> sorted(unpaired_tags([i, b, "one", last, end, "two"]).elements())
        ['/i', 'i']
    """
    unpaired: Counter[str] = Counter()
    open_tags: list[str] = []
    text = "".join(_without_code(parts)).replace("&lt;", "<").replace("&gt;", ">")
    tags = _TAG.findall(text)
    ends = {(bracket, name) for bracket, slash, name, *_ in tags if slash}
    for bracket, slash, name, _, self_closing in tags:
        if bracket != "<" and (bracket, name) not in ends:
            continue  # a placeholder
        tag = name.lower() if bracket == "<" else bracket + name
        if self_closing or (tag in VOID_ELEMENTS and not slash):
            continue
        if not slash:
            open_tags.append(tag)
        elif open_tags and open_tags[-1] == tag:
            open_tags.pop()
        else:
            unpaired[f"/{tag}"] += 1
    unpaired.update(open_tags)
    return unpaired
