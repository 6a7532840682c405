from pathlib import Path

import pytest

from llmtool.errors import ModelNotFound, UsageError
from llmtool.models.reference import Reference, check_name, parse, portable

ALIASES = {
    "qwen3.5-2b": "unsloth/Qwen3.5-2B-GGUF",
    "fast": "qwen3.5-2b",
    "pinned": "org/name:Q8_0@v1",
    "mine": "/models/mine.gguf",
    "a": "b",
    "b": "a",
    "self": "self",
}


def hub(repo="org/name", **fields):
    return Reference(kind="hub", repo=repo, **fields)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("org/name", hub()),
        ("org/name:Q4_K_M", hub(quant="Q4_K_M")),
        ("org/name:sub/file.gguf", hub(file="sub/file.gguf")),
        ("org/name@refs/pr/1", hub(revision="refs/pr/1")),
        ("org/name:q8-0@v1.0", hub(quant="q8-0", revision="v1.0")),
        ("org/name:f@2.gguf", hub(file="f@2.gguf")),
        ("hf.co/org/name:Q8_0", hub(quant="Q8_0")),
        ("huggingface.co/org/name", hub()),
        ("hf://org/name:Q8_0", hub(quant="Q8_0")),
        ("hf://org/name@main/sub/f.gguf", hub(file="sub/f.gguf", revision="main")),
        ("https://huggingface.co/org/name", hub()),
        ("https://huggingface.co/org/name/", hub()),
        ("https://huggingface.co/org/name:Q8_0", hub(quant="Q8_0")),
        ("https://hf.co/org/name/tree/v1", hub(revision="v1")),
        ("https://huggingface.co/org/name/blob/main/f.gguf", hub(file="f.gguf", revision="main")),
        (
            "https://huggingface.co/org/name/resolve/main/a/f.gguf?download=true",
            hub(file="a/f.gguf", revision="main"),
        ),
        (
            "https://huggingface.co/a/b/resolve/refs%2Fpr%2F1/x.gguf",
            hub("a/b", file="x.gguf", revision="refs/pr/1"),
        ),
        (
            "https://huggingface.co/a/b/resolve/refs/pr/1/x.gguf",
            hub("a/b", file="x.gguf", revision="refs/pr/1"),
        ),
        (
            "https://huggingface.co/a/b/blob/refs/pr/12/d/x.gguf?download=true",
            hub("a/b", file="d/x.gguf", revision="refs/pr/12"),
        ),
        (
            "https://huggingface.co/a/b/resolve/refs%2fpr/1/x.gguf",
            hub("a/b", file="x.gguf", revision="refs/pr/1"),
        ),
        (
            "https://huggingface.co/a/b/resolve/refs%2Fconvert%2Fgguf/x.gguf",
            hub("a/b", file="x.gguf", revision="refs/convert/gguf"),
        ),
        (
            "https://huggingface.co/a/b/resolve/refs/convert/gguf/x.gguf",
            hub("a/b", file="x.gguf", revision="refs/convert/gguf"),
        ),
        ("https://huggingface.co/a/b/tree/refs/pr/1", hub("a/b", revision="refs/pr/1")),
        ("https://huggingface.co/a/b/tree/refs%2Fpr%2F1/", hub("a/b", revision="refs/pr/1")),
        (
            "https://huggingface.co/a/b/resolve/refs/pr/x.gguf",
            hub("a/b", file="pr/x.gguf", revision="refs"),
        ),
        (
            "https://huggingface.co/a/b/resolve/refs/pr/1x/y.gguf",
            hub("a/b", file="pr/1x/y.gguf", revision="refs"),
        ),
        (
            "https://huggingface.co/a/b/resolve/feature%2Fq4/x.gguf",
            hub("a/b", file="x.gguf", revision="feature/q4"),
        ),
        ("hf://a/b@refs/pr/1/d/x.gguf", hub("a/b", file="d/x.gguf", revision="refs/pr/1")),
        ("hf://a/b@refs%2Fpr%2F1/x.gguf", hub("a/b", file="x.gguf", revision="refs/pr/1")),
        (
            "https://huggingface.co/a/b/blob/main/d/x%20y.gguf",
            hub("a/b", file="d/x y.gguf", revision="main"),
        ),
        ("qwen3.5-2b", hub("unsloth/Qwen3.5-2B-GGUF")),
        ("fast", hub("unsloth/Qwen3.5-2B-GGUF")),
        ("fast:Q8_0@v2", hub("unsloth/Qwen3.5-2B-GGUF", quant="Q8_0", revision="v2")),
        ("pinned", hub(quant="Q8_0", revision="v1")),
        ("pinned:Q4_0", hub(quant="Q4_0", revision="v1")),
        ("pinned:x.gguf", hub(file="x.gguf", revision="v1")),
        ("mine", Reference(kind="path", path=Path("/models/mine.gguf"))),
        ("starter", Reference(kind="starter")),
        ("./model.bin", Reference(kind="path", path=Path("model.bin"))),
        ("model.gguf", Reference(kind="path", path=Path("model.gguf"))),
        ("org/model.gguf", Reference(kind="path", path=Path("org/model.gguf"))),
        ("a/b/model.GGUF", Reference(kind="path", path=Path("a/b/model.GGUF"))),
    ],
    ids=str,
)
def test_reference_is_parsed(text, expected):
    assert parse(text, ALIASES) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a model reference"),
        ("  ", "not a model reference"),
        ("a\0b", "not a model reference"),
        ("org/name:", "missing quant or file name after ':'"),
        ("org/name@", "missing revision after '@'"),
        ("org/name/more", "use org/name"),
        ("org/", "use org/name"),
        ("org/na me", "use org/name"),
        ("org/..", "use org/name"),
        ("org/name@../../x", "not a valid revision"),
        ("org/name:../../x.gguf", "not a valid file name"),
        ("org/name:a\\..\\x.gguf", "not a valid file name"),
        ("org/name:/etc/x.gguf", "not a valid file name"),
        ("org/name:a/b", "neither a quant nor a .gguf file"),
        ("https://example.org/org/name", "not a Hub URL"),
        ("https://[huggingface.co/org/name", "is not a valid URL"),
        ("https://huggingface.co/org%2Fname/x", "use org/name"),
        ("https://huggingface.co/a/b/resolve/main/x%0A.gguf", "not a valid file name"),
        ("https://huggingface.co/a/b/resolve/main/..%2Fx.gguf", "not a valid file name"),
        ("org/name:a\tb.gguf", "not a valid file name"),
        ("ftp://huggingface.co/org/name", "not a Hub URL"),
        ("https://huggingface.co/org/name/discussions/1", "not a model page"),
        ("a", "refers to itself: a -> b -> a"),
        ("self", "refers to itself: self -> self"),
        ("mine:Q4_0", "has no quants"),
    ],
)
def test_invalid_reference_is_rejected(text, message):
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        parse(text, ALIASES)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:8080/hub", "http://127.0.0.1:8080/hub/"])
@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("/org/name", hub()),
        ("/org/name:Q8_0", hub(quant="Q8_0")),
        ("/org/name/resolve/v1/f.gguf", hub(file="f.gguf", revision="v1")),
    ],
)
def test_url_of_configured_endpoint_is_parsed(endpoint, rest, expected):
    url = "http://127.0.0.1:8080/hub" + rest
    assert parse(url, endpoint=endpoint) == expected
    assert parse("mine", {"mine": url}, endpoint=endpoint) == expected


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/hub/a/b", "http://127.0.0.1:80801/hub/a/b", "http://127.0.0.1:8080/a/b"],
)
def test_url_of_another_origin_is_rejected(url):
    with pytest.raises(UsageError, match="not a Hub URL"):
        parse(url, endpoint="http://127.0.0.1:8080/hub")


def test_unknown_name_suggests_similar_names():
    with pytest.raises(ModelNotFound, match=r"unknown model 'qwen3-2b'.*did you mean .*qwen3.5-2b"):
        parse("qwen3-2b", ALIASES)


def test_unknown_name_mentions_file_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("n1.md").write_text("# Notes\n")
    Path("weights").write_bytes(b"GGUF\3\0\0\0")
    with pytest.raises(ModelNotFound, match=r"^unknown model 'n1.md'; .* is not a GGUF file$"):
        parse("n1.md", ALIASES)
    with pytest.raises(ModelNotFound, match=r"^unknown model 'weights'; use \./weights"):
        parse("weights", ALIASES)


def test_unknown_server_is_reported_as_typed():
    problem = "^unknown model 'gpu:m'; config.toml has no alias or endpoint 'gpu': "
    with pytest.raises(ModelNotFound, match=problem):
        parse("gpu:m", ALIASES)


def test_alias_takes_precedence_over_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("fast").touch()
    assert parse("fast", ALIASES).kind == "hub"
    assert parse("./fast", ALIASES).kind == "path"


def test_existing_file_in_folder_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("org").mkdir()
    Path("org/name").touch()
    assert parse("org/name", {}).kind == "path"
    assert parse("org/other", {}).kind == "hub"


@pytest.mark.parametrize("text", ["org/name", "org/name:Q4_K_M@v1", "org/name:f.gguf", "starter"])
def test_str_returns_the_reference(text):
    assert str(parse(text)) == text


@pytest.mark.parametrize("name", ["starter", "", "a/b", "x.gguf", "-x", "a:b", "a" * 97])
def test_invalid_model_name_is_rejected(name):
    with pytest.raises(UsageError, match="not a valid model name"):
        check_name(name)


def test_file_url_is_path():
    assert parse("file:///models/caf%E9.gguf").path == Path("/models/caf\udce9.gguf")
    assert portable("/models/caf\udce9.gguf") == "file:///models/caf%E9.gguf"
    assert portable("models/café.gguf") == "models/café.gguf"
    with pytest.raises(UsageError, match="'file://' is not a Hub URL"):
        parse("file://")
