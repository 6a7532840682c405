"""Update an earlier translation: keep its text, with edits, where the source did not change.

As in a three-way merge, the new source and the edited translation are compared with a common base:
the record of a translated document, which has hashes of its segments and of their translations. It
does not depend on the model and options. Catalogs need no record, because they contain the sources.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

import msgspec

from llmtool.documents.protected_spans import positional
from llmtool.documents.types import Document, Part, ProtectedSpan, Segment, has_letters
from llmtool.tasks.pipeline.disk_cache import DiskCache
from llmtool.tasks.translate.placeholders import merge_parts

# What a translation changes in a protected span: attributes, and links to headings.
_TRANSLATED = re.compile(r"\"[^\"]*\"|'[^']*'|#[^\s)>\"'\]]*")


class SegmentRecord(msgspec.Struct, frozen=True, array_like=True):
    """Hashes of a segment: its key ("" if it has none), its source, and its translation."""

    key: str
    source: str
    translation: str


class DocumentRecord(msgspec.Struct, frozen=True, array_like=True):
    """A translated document: its format, the code of the target language, and its segments."""

    format: str
    to: str
    segments: tuple[SegmentRecord, ...]


def make_record(
    document: Document, results: Iterable[Sequence[Part]], *, format: str, to: str
) -> DocumentRecord:
    """Return the record of a document and of the parts of its translated segments."""
    segments = [
        SegmentRecord(_key(segment), _hash_source(segment), _hash_letters(parts))
        for segment, parts in zip(document.segments, results, strict=True)
    ]
    return DocumentRecord(format, to, tuple(segments))


def save_record(cache: DiskCache, record: DocumentRecord) -> None:
    """Save a record; it replaces that of an earlier translation of the same text."""
    sources = [[each.key, each.source] for each in record.segments]
    content = msgspec.json.encode([record.format, record.to, sources])
    cache.try_to_save(hashlib.sha256(content).hexdigest(), record)


def find_unchanged(
    document: Document, old: Document, records: Iterable[DocumentRecord]
) -> dict[int, tuple[Part, ...]] | None:
    """Return the parts from an earlier translation that remain, by the index of their segment.

    A segment whose protected spans differ in the earlier translation is not among them. None means
    that the texts cannot be aligned: no record fits the translation, and no key is in both.
    """
    translations = old.translations()
    if translations is not None:
        found = {
            index: translations[segment.key]
            for index, segment in enumerate(document.segments)
            if segment.key in translations
        }
        if not found:
            return None
    else:
        new = [(_key(each), _hash_source(each)) for each in document.segments]
        edited = [(_key(each), _hash_letters(each.parts)) for each in old.segments]
        base = _choose_base(new, edited, records)
        pairs = align(new, base.segments if base else (), edited)
        if not pairs and base is None:
            return None
        found = {
            index: old.segments[position].parts
            for index, position in pairs.items()
            # Text that was not translated is requested again.
            if old.segments[position].source != document.segments[index].source
        }
    adopted = {i: _adopt(document, document.segments[i], parts) for i, parts in found.items()}
    return {index: parts for index, parts in adopted.items() if parts is not None}


def align(
    new: Sequence[tuple[str, str]],
    base: Sequence[SegmentRecord],
    edited: Sequence[tuple[str, str]],
) -> dict[int, int]:
    """Return the position in an edited translation of each new segment with the same source.

    `new` has the key and source of each segment, `edited` the key and translation. Segments are
    aligned in order among those with the same key. As many segments as in `base` between two
    unedited ones are edited. A key that is not in `base` was translated by a person.

    Example:
        >>> base = [SegmentRecord("", *each) for each in ("aA", "bB", "cC")]
        >>> align([("", "a"), ("", "b"), ("", "x"), ("", "c")], base, [("", t) for t in "AeC"])
        {0: 0, 1: 1, 3: 2}
    """
    in_base, in_edited = _by_key(each.key for each in base), _by_key(key for key, _ in edited)
    found: dict[int, int] = {}
    for key, ours in _by_key(key for key, _ in new).items():
        before, theirs = in_base[key], in_edited[key]
        if not before:
            if key and len(ours) == len(theirs):
                found.update(zip(ours, theirs, strict=True))
            continue
        sources = [base[i].source for i in before]
        unchanged = _match_moved([new[i][1] for i in ours], sources)
        positions = _match_edited(
            [base[i].translation for i in before], [edited[i][1] for i in theirs]
        )
        found.update(
            (ours[mine], theirs[positions[same]])
            for mine, same in unchanged.items()
            if same in positions
        )
    return found


def _by_key(keys: Iterable[str]) -> defaultdict[str, list[int]]:
    positions: defaultdict[str, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        positions[key].append(position)
    return positions


def _match_moved(ours: Sequence[str], theirs: Sequence[str]) -> dict[int, int]:
    """Return the positions of equal texts in another sequence, in which they may have moved."""
    found: dict[int, int] = {}
    for tag, start, end, other, other_end in SequenceMatcher(None, ours, theirs).get_opcodes():
        if tag == "equal":
            found.update(zip(range(start, end), range(other, other_end), strict=True))
    used = set(found.values())
    rest = _by_key(theirs)
    for positions in rest.values():
        positions[:] = [each for each in reversed(positions) if each not in used]
    for position, text in enumerate(ours):
        if position not in found and rest[text]:
            found[position] = rest[text].pop()
    return found


def _match_edited(ours: Sequence[str], theirs: Sequence[str]) -> dict[int, int]:
    """Return the positions of texts in a sequence in which some were edited.

    As many different texts as there were between two equal ones are edited.
    """
    codes = SequenceMatcher(None, ours, theirs).get_opcodes()
    n_equal = sum(end - start for tag, start, end, _, _ in codes if tag == "equal")
    is_same_length = len(ours) == len(theirs)
    if is_same_length and sum(map(str.__eq__, ours, theirs)) >= n_equal:
        return {i: i for i in range(len(ours))}
    return {
        position: other + position - start
        for tag, start, end, other, other_end in codes
        if tag in ("equal", "replace") and end - start == other_end - other
        for position in range(start, end)
    }


def _choose_base(
    new: Sequence[tuple[str, str]],
    edited: Sequence[tuple[str, str]],
    records: Iterable[DocumentRecord],
) -> DocumentRecord | None:
    """Return the record that shares most segments with both texts.

    If all translations were edited, the number of segments must be equal.
    """
    sources, translations = ({hash for _, hash in texts} for texts in (new, edited))
    best, best_score = None, 0
    for record in records:
        n_sources = len(sources & {each.source for each in record.segments})
        n_translations = len(translations & {each.translation for each in record.segments})
        fits = n_translations or (n_sources and len(record.segments) == len(edited))
        if fits and n_sources + n_translations > best_score:
            best, best_score = record, n_sources + n_translations
    return best


def _adopt(document: Document, segment: Segment, parts: Sequence[Part]) -> tuple[Part, ...] | None:
    """Return a translation with the protected spans of its source, None if they differ.

    If it numbers all placeholders (`%2$s`), they may have another order.
    """
    spans = [part for part in merge_parts(segment.parts) if isinstance(part, ProtectedSpan)]
    numbered = _by_number(spans)
    adopted: list[Part] = []
    for part in merge_parts(parts):
        if isinstance(part, ProtectedSpan):
            span = numbered.get(part.source)
            same = [each for each in spans if each.source == part.source or each is span] or [
                each for each in spans if _shape(each) == _shape(part)
            ]
            if not same:
                return None
            spans.remove(same[0])
            adopted.append(part if same[0] is span else same[0])
        else:
            adopted.append(part)
    if spans or not has_letters(adopted) or document.find_fault(segment, adopted):
        return None
    has_order = positional(adopted) in ([], positional(segment.parts))
    return tuple(adopted) if has_order else None


def _by_number(spans: Sequence[ProtectedSpan]) -> dict[str, ProtectedSpan]:
    """Return the placeholders such as %s by the form that has their number: `%1$s`."""
    unnumbered = [span for span in spans if positional([span]) == [span.source]]
    return {
        f"%{number}${span.source[1:]}": span
        for number, span in enumerate(unnumbered, 1)
        if span.source.startswith("%")
    }


def _shape(span: ProtectedSpan) -> str:
    return _TRANSLATED.sub("", span.source)


def _key(segment: Segment) -> str:
    return _hash("\0".join(segment.key)) if segment.key else ""


def _hash_source(segment: Segment) -> str:
    return _hash(" ".join(segment.source.split()))


def _hash_letters(parts: Sequence[Part]) -> str:
    """Return a hash that does not depend on line breaks, escapes and protected spans."""
    text = "".join(part for part in parts if isinstance(part, str))
    return _hash("".join(filter(str.isalnum, text)))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
