"""Searching sessions, and the search index."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtool.errors import UsageError
from llmtool.sessions import search as searching
from llmtool.sessions import words
from llmtool.sessions.search import SearchResults, remove_index, search
from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Attachment, Session, Turn


class SavedSessions:
    """The saved sessions of a user, and their search index."""

    def __init__(self, folder: Path) -> None:
        self.sessions = Sessions(folder / "data" / "sessions")
        self.index = folder / "cache" / "sessions.db"

    def save(self, name: str, *turns: Turn) -> None:
        self.sessions.save(Session(name=name, turns=turns))

    def find(self, query: str, limit: int = 20) -> SearchResults:
        return search(self.sessions, query, index=self.index, limit=limit)

    def positions(self, query: str) -> list[tuple[str, int, str]]:
        return sorted((hit.session, hit.turn, hit.role) for hit in self.find(query).hits)


@pytest.fixture
def saved(tmp_path: Path) -> SavedSessions:
    return SavedSessions(tmp_path)


def test_hits_have_session_turn_and_role(saved: SavedSessions) -> None:
    letter = Attachment(name="letter.txt", text="The heron stood in the river.")
    saved.save(
        "birds",
        Turn(user="What is a heron?", text="A wading bird.", model="m", created_at="2026-01-02"),
        Turn(user="And here?", files=(letter,), text="It is fishing."),
    )
    saved.save("other", Turn(user="What is a kettle?", text="A pot."))
    assert saved.positions("heron") == [("birds", 1, "user"), ("birds", 2, "file")]
    assert saved.positions("wading") == [("birds", 1, "assistant")]
    (hit,) = saved.find("wading").hits
    assert (hit.model, hit.created_at, hit.file) == ("m", "2026-01-02", "")
    assert saved.find("river").hits[0].file == "letter.txt"


TEXTS = {
    "en": "Don't feed the Old Mill's ducks — see docs/mill_notes.md (v2.0), $5",
    "zh": "我在图书馆学习中文，天气很好。",
    "ja": "図書館でデータベースの勉強をしています。",
    "th": "ฉันชอบกินข้าวผัดที่ร้านนี้",
    "ko": "학교에서 공부했습니다.",
    "hi": "हिन्दी में किताब पढ़ो।",
    "fr": "Un café crème à la Gare de l'Est",
    "de": "Die STRASSE ist naß",
    "mix": "用GPU加速推理 🚀🌧 rain",
    "log": "\x1b[1;31merror\x1b[0m: disk \x1b[Kfull, ärger",
    "query": 'NEAR(rain, 3) OR "x" AND NOT *',
}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("mill ducks", "en"),
        ("MILL", "en"),
        ("ducks mill", "en"),
        ('"old mill"', "en"),
        ('"mill old"', ""),
        ("mill heron", ""),
        ("don't", "en"),
        ("don t", "en"),
        ("mill_notes.md", "en"),
        ("v2.0", "en"),
        ("duc", ""),
        ("duc*", ""),
        ("-ducks", "en"),
        ("图书馆", "zh"),
        ("书馆学", "zh"),
        ("馆书", ""),
        ("中文 天气", "zh"),
        ("図書館", "ja"),
        ("データ", "ja"),
        ("ﾃﾞｰﾀ", "ja"),
        ("ข้าวผัด", "th"),
        ("ผัดข้าว", ""),
        ("학교", "ko"),
        ("किताब", "hi"),
        ("कताब", ""),
        ("cafe creme", "fr"),
        ("CAFÉ", "fr"),
        ("cafe\u0301", "fr"),
        ("straße nass", "de"),
        ("ＧＰＵ", "mix"),
        ("加速", "mix"),
        ("🌧", "mix"),
        ("🌈", ""),
        ("error", "log"),
        ('"disk full"', "log"),
        ("31merror", ""),
        ("near(", "query"),
        ("OR", "query"),
        ("rain OR ducks", ""),
        ("text:mill", ""),
        ("mill AND ducks", ""),
        ("NOT *", "query"),
        ('"mill', "en"),
        ('""', ""),
        ("", ""),
        ("* - ^ ( )", ""),
    ],
)
def test_query_finds_words_and_phrases_but_has_no_operators(
    saved: SavedSessions, query: str, found: str
) -> None:
    for name, text in TEXTS.items():
        saved.save(name, Turn(user=text))
    assert [hit.session for hit in saved.find(query).hits] == ([found] if found else [])


def test_best_hit_is_first_and_total_counts_all_hits(saved: SavedSessions) -> None:
    saved.save("far", *[Turn(user=f"rain {'and many other words ' * n}") for n in range(1, 9)])
    saved.save("near", Turn(user="rain rain"))
    found = saved.find("rain", limit=3)
    assert [(hit.session, hit.turn) for hit in found.hits] == [("near", 1), ("far", 1), ("far", 2)]
    assert found.total == 9


def test_snippet_shows_the_hits_on_one_line(saved: SavedSessions) -> None:
    saved.save("a", Turn(user=f"{'long ago ' * 90}the old\n\tmill by the Rïver {'flows on ' * 90}"))
    (hit,) = saved.find('river "old mill"').hits
    assert hit.snippet.startswith("…") and hit.snippet.endswith("…") and "\n" not in hit.snippet
    assert [hit.snippet[start:end] for start, end in hit.spans] == ["old mill", "Rïver"]
    assert len(hit.snippet) < 200


@given(
    st.text(max_size=400),
    st.lists(st.tuples(st.integers(0, 399), st.integers(1, 90)), max_size=8),
)
def test_spans_are_the_positions_of_the_words_in_the_snippet(
    text: str, pairs: list[tuple[int, int]]
) -> None:
    found = list(words.find_words(text))
    phrases = [
        tuple(word for word, _ in found[at : at + n]) for at, n in pairs if found[at : at + n]
    ]
    hits = words.find_phrases(text, phrases)
    assert bool(hits) == bool(phrases)
    snippet, spans = words.cut_snippet(text, hits)
    assert all(0 <= start < end <= len(snippet) for start, end in spans)
    assert bool(spans) == bool(hits)
    shown = {" ".join(text[start:end].split()) for start, end in hits}
    for start, end in spans:
        assert any(each.startswith(snippet[start:end].rstrip()) for each in shown)


@given(st.text(st.characters(max_codepoint=127), max_size=300))
def test_ascii_fast_path_finds_the_same_words(text: str) -> None:
    assert words.join_words(text) == " ".join(word for word, _ in words.find_words(text))


# A word needs a letter, a digit or a non-ASCII symbol; anything else is punctuation.
WORD = st.text(
    st.one_of(st.characters(exclude_categories=("Cs",)), st.sampled_from("aé雨ก🌧\"'*(:^-")),
    min_size=1,
    max_size=12,
).filter(lambda text: not any(map(str.isspace, text)) and words.join_words(text))
QUERIES = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.sampled_from(['"', "NEAR(", "rain", "OR", "AND", "NOT", "*", "text:", "^", "{", "}"])
    ).map(" ".join),
)


@settings(max_examples=60, deadline=None)
@given(
    turns=st.lists(st.lists(WORD, min_size=1, max_size=6), min_size=1, max_size=3),
    queries=st.lists(QUERIES, max_size=8),
)
def test_every_word_of_a_turn_is_found_and_no_query_raises(
    tmp_path_factory: pytest.TempPathFactory, turns: list[list[str]], queries: list[str]
) -> None:
    saved = SavedSessions(tmp_path_factory.mktemp("saved"))
    saved.save("a", *[Turn(user=" ".join(turn)) for turn in turns])
    for number, turn in enumerate(turns, 1):
        for word in [*turn, " ".join(turn).replace('"', " ")]:
            found = saved.find(word)
            hits = [hit for hit in found.hits if (hit.turn, hit.role) == (number, "user")]
            assert len(hits) == 1 and hits[0].spans, word
    for query in queries:
        saved.find(query)


@pytest.mark.parametrize("n", [300, 5000])
def test_long_query_is_accepted(saved: SavedSessions, n: int) -> None:
    text = " ".join(f"w{number}" for number in range(n))
    saved.save("a", Turn(user=text))
    assert saved.find(text).total == 1
    assert saved.find(f'"{text}"').total == 1
    assert saved.find(f"{text} other").total == 0


def test_changed_sessions_are_reindexed(saved: SavedSessions) -> None:
    saved.save("a", Turn(user="heron"), Turn(user="kettle"))
    saved.save("b", Turn(user="heron"))
    assert saved.positions("heron") == [("a", 1, "user"), ("b", 1, "user")]
    saved.save("a", Turn(user="crane"), Turn(user="kettle"))
    saved.sessions.remove("b")
    assert saved.positions("heron") == []
    assert saved.positions("crane") == [("a", 1, "user")]
    assert saved.positions("kettle") == [("a", 2, "user")]


def test_unchanged_sessions_are_not_reindexed(
    saved: SavedSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved.save("a", Turn(user="heron"))
    saved.save("b", Turn(user="kettle"))
    saved.find("heron")
    saved.save("b", Turn(user="kettles"))
    read: list[str] = []
    load = Sessions.load
    monkeypatch.setattr(Sessions, "load", lambda self, name: read.append(name) or load(self, name))
    assert saved.positions("heron") == [("a", 1, "user")]
    assert read == ["b"]


def test_remove_index_deletes_the_file(saved: SavedSessions) -> None:
    saved.save("a", Turn(user=f"password xyzzy{'y' * 50}"))
    saved.find("password")
    assert b"xyzzy" in saved.index.read_bytes()
    remove_index(saved.index)
    assert not saved.index.exists()
    remove_index(saved.index)


def test_damaged_session_is_skipped_with_a_warning(saved: SavedSessions) -> None:
    saved.save("good", Turn(user="heron"))
    saved.save("bad", Turn(user="heron"))
    assert len(saved.find("heron").hits) == 2
    with saved.sessions.path("bad").open("ab") as file:
        file.write(b'{"text": "he')
    for _ in range(2):
        found = saved.find("heron")
        assert [hit.session for hit in found.hits] == ["good"]
        (warning,) = found.warnings
        assert "bad.jsonl" in warning and "line 3" in warning


def corrupt(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)


def make_foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE words (text)")
    other.close()


def make_older(path: Path) -> None:
    with sqlite3.connect(path) as old:
        old.execute("PRAGMA user_version = 0")
    old.close()


@pytest.mark.parametrize(
    "damage",
    [
        corrupt,
        make_foreign,
        make_older,
        lambda path: path.write_bytes(b"plain text, not a database" * 99),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
    ],
    ids=["damaged", "foreign", "other version", "text", "empty", "torn"],
)
def test_invalid_index_is_rebuilt(saved: SavedSessions, damage: object) -> None:
    saved.save("a", Turn(user="heron"))
    saved.find("heron")
    assert callable(damage)
    damage(saved.index)
    assert saved.positions("heron") == [("a", 1, "user")]
    with sqlite3.connect(saved.index) as database:
        assert database.execute("SELECT name FROM sessions").fetchall() == [("a",)]
    database.close()


@pytest.mark.skipif(
    os.name == "nt" or os.geteuid() == 0, reason="root and Windows ignore file modes"
)
def test_search_works_with_a_read_only_cache(saved: SavedSessions) -> None:
    saved.save("a", Turn(user="heron"))
    saved.index.parent.mkdir()
    saved.index.parent.chmod(0o500)
    try:
        assert saved.positions("heron") == [("a", 1, "user")]
    finally:
        saved.index.parent.chmod(0o700)
    assert list(saved.index.parent.iterdir()) == []


def test_search_works_if_the_index_path_is_a_folder(saved: SavedSessions) -> None:
    saved.save("a", Turn(user="heron"))
    saved.index.mkdir(parents=True)
    assert saved.positions("heron") == [("a", 1, "user")]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
def test_index_has_mode_0600(saved: SavedSessions) -> None:
    saved.save("a", Turn(user="heron"))
    old = os.umask(0)
    try:
        saved.find("heron")
    finally:
        os.umask(old)
    assert stat.S_IMODE(saved.index.stat().st_mode) == 0o600
    assert stat.S_IMODE(saved.index.parent.stat().st_mode) == 0o700


def test_concurrent_searches_succeed(saved: SavedSessions) -> None:
    for number in range(30):
        saved.save(f"s{number}", *[Turn(user=f"heron {n} {'water ' * 50}") for n in range(20)])
    program = (
        "import sys; from pathlib import Path\n"
        "from llmtool.sessions.search import search; from llmtool.sessions.store import Sessions\n"
        "found = search(Sessions(Path(sys.argv[1])), 'heron', index=Path(sys.argv[2]))\n"
        "print(found.total)\n"
    )
    args = [sys.executable, "-c", program, str(saved.sessions.folder), str(saved.index)]
    running = [subprocess.Popen(args, stdout=subprocess.PIPE) for _ in range(4)]
    assert [process.communicate()[0].strip() for process in running] == [b"600"] * 4


def test_sqlite_without_fts5_is_reported(
    saved: SavedSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Old(sqlite3.Connection):
        def execute(self, sql: str, *args: object) -> sqlite3.Cursor:
            if "fts5" in sql:
                raise sqlite3.OperationalError("no such module: fts5")
            return super().execute(sql, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(searching.sqlite3, "connect", lambda path: Old(path))
    with pytest.raises(UsageError, match="requires SQLite with FTS5"):
        saved.find("heron")
