"""The header of a gettext catalog: complete that of a template for a language."""

from __future__ import annotations

import re
import time

from llmtool.documents.language_tags import locale_name
from llmtool.documents.localization.plural_forms import header_of, parse_plural_forms

_CHARSET = re.compile(r"charset=\s*([\w.:-]+)", re.IGNORECASE)


def find_field(header: str, name: str) -> str:
    """Return the value of a field of a header, "" if it has none.

    Example:
        >>> find_field("Language: de\\n", "language")
        'de'
    """
    fields = dict(_read(line) for line in header.splitlines() if ":" in line)
    return fields.get(name.casefold(), "")


def complete_header(header: str, to: str, *, is_template: bool, has_plurals: bool) -> str:
    """Return a header with the fields that gettext needs for translations into a language.

    Fields with a value are unchanged, except for a charset other than UTF-8. Those of a template
    are completed as by `msginit --no-translator`.

    Example:
        >>> header = "Language: \\nContent-Type: text/plain; charset=latin-1\\n"
        >>> print(complete_header(header, "pt-BR", is_template=False, has_plurals=True))
        Language: pt_BR
        Content-Type: text/plain; charset=UTF-8
        Plural-Forms: nplurals=2; plural=(n > 1);
        <BLANKLINE>
    """
    fields = dict(_read(line) for line in header.splitlines() if ":" in line)
    charset = _CHARSET.search(fields.get("content-type", ""))
    is_template |= "INTEGER" in header or (charset is not None and charset[1] == "CHARSET")
    new = {}
    if charset is None or charset[1].casefold().replace("-", "") != "utf8":
        new["Content-Type"] = "text/plain; charset=UTF-8"
    if not fields.get("language") and (is_template or "language" in fields):
        new["Language"] = locale_name(to)
    plurals = fields.get("plural-forms", "")
    if (has_plurals or plurals or is_template) and parse_plural_forms(plurals) is None:
        new["Plural-Forms"] = header_of(to)
    if is_template:
        date = fields.get("po-revision-date", "")
        if not date or "YEAR" in date:
            new["PO-Revision-Date"] = time.strftime("%Y-%m-%d %H:%M%z")
        if fields.get("last-translator", "FULL NAME").startswith("FULL NAME"):
            new["Last-Translator"] = "Automatically generated"
        if fields.get("language-team", "LANGUAGE").startswith("LANGUAGE"):
            new["Language-Team"] = "none"
        for name, value in (("MIME-Version", "1.0"), ("Content-Transfer-Encoding", "8bit")):
            if not fields.get(name.casefold()) or fields[name.casefold()] == "ENCODING":
                new[name] = value
    lines = header.splitlines()
    for name, value in new.items():
        line = f"{name}: {value}"
        at = next(
            (
                i
                for i, each in enumerate(lines)
                if each.casefold().startswith(f"{name.casefold()}:")
            ),
            None,
        )
        if at is None:
            lines.append(line)
        else:
            lines[at] = line
    return "".join(f"{line}\n" for line in lines) if new else header


def _read(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().casefold(), value.strip()
