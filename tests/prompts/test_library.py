"""Template lookup and inheritance."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmtool.errors import TemplateError
from llmtool.prompts.library import MAX_EXTENDS, Library, built_in_folder
from llmtool.prompts.render import render


def write(folder: Path, name: str, text: str, *, head: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text((f"llmtool: 1\nname: {name}\n" if head else "") + text, encoding="utf-8")
    return path


def said(library: Library, name: str, **variables: object) -> str:
    return render(library.load(name), variables).messages[-1].content


@pytest.fixture
def user(tmp_path: Path) -> Path:
    return tmp_path / "user"


def test_built_in_templates_are_valid() -> None:
    library = Library()
    assert "gen" in library.names()
    for name in library.names():
        assert library.load(name).name == name


def test_user_template_overrides_a_built_in_one(user: Path, tmp_path: Path) -> None:
    write(user, "gen", "prompt: Mine")
    write(tmp_path / "second", "gen", "prompt: Second")
    write(tmp_path / "second", "other", "prompt: Other")
    library = Library(user_folders=[user, tmp_path / "second", tmp_path / "missing"])
    assert said(library, "gen") == "Mine"
    assert said(library, "other") == "Other"
    assert {"gen", "other"} <= set(library.names())


def test_template_can_be_named_by_path(
    user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "near", "prompt: Near")
    monkeypatch.chdir(tmp_path)
    library = Library(user_folders=[user])
    assert said(library, "near.yaml") == "Near" == said(library, "./near.yaml")
    assert said(library, str(tmp_path / "near.yaml")) == "Near"
    with pytest.raises(TemplateError, match="unknown template 'near'"):
        library.load("near")


def test_unknown_name_suggests_a_similar_one(user: Path) -> None:
    write(user, "ticket-triage", "prompt: x")
    with pytest.raises(TemplateError) as caught:
        Library(user_folders=[user]).load("ticket-traige")
    assert str(caught.value) == ("unknown template 'ticket-traige'; did you mean 'ticket-triage'?")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "Gen", "-gen", "a b", "gen\n", "a.b", "~", "C:gen", "gen\0"]
)
def test_invalid_name_is_rejected(name: str, user: Path) -> None:
    with pytest.raises(TemplateError, match="is not a valid template name"):
        Library(user_folders=[user]).load(name)


@pytest.mark.parametrize("path", ["no/such.yaml", "../gen", "/", "a\0.yaml", "/dev/null/x.yaml"])
def test_missing_path_is_rejected(path: str, user: Path) -> None:
    with pytest.raises(TemplateError):
        Library(user_folders=[user]).load(path)


def test_symlinks_out_of_the_folder_are_ignored(user: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", "secret", "prompt: Secret")
    write(user, "real", "prompt: Real")
    (user / "secret.yaml").symlink_to(outside)
    (user / "alias.yml").symlink_to(user / "real.yaml")
    library = Library(user_folders=[user])
    assert "secret" not in library.names()
    with pytest.raises(TemplateError, match="unknown template 'secret'"):
        library.load("secret")


def test_user_folder_may_be_a_symlink(user: Path, tmp_path: Path) -> None:
    write(user, "mine", "prompt: Mine")
    (tmp_path / "link").symlink_to(user)
    assert said(Library(user_folders=[tmp_path / "link"]), "mine") == "Mine"


def test_name_must_match_the_file_name(user: Path) -> None:
    write(user, "one", "llmtool: 1\nname: two\nprompt: x", head=False)
    with pytest.raises(
        TemplateError, match=r"one\.yaml:2: name: must be 'one', as the file is one\.yaml"
    ):
        Library(user_folders=[user]).load("one")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"llmtool: 1\nname: \xff", "not UTF-8 at byte 17"), (b"#" * (5 << 20), "longer than")],
    ids=["not UTF-8", "too long"],
)
def test_unreadable_file_is_rejected(user: Path, content: bytes, reason: str) -> None:
    write(user, "bad", "").write_bytes(content)
    with pytest.raises(TemplateError, match=reason):
        Library(user_folders=[user]).load("bad")


BASE = """\
description: Base
task: classify
inputs:
  text: {type: text, required: true}
  tone: {type: string, default: kind}
system: Base system
prompt: 'Base {{ text }}'
examples:
  - {text: one, output: a}
output: {labels: {a: first, b: second}}
model: {params: {temperature: 0, max_tokens: 8}}
tests:
  - vars: {text: t}
"""


def test_extends_merges_mappings_and_replaces_other_values(user: Path) -> None:
    write(user, "base", BASE)
    write(
        user,
        "child",
        "extends: base\n"
        "inputs: {tone: {default: curt}, more: {type: text}}\n"
        "prompt: 'Child {{ text }} {{ tone }}'\n"
        "output: {labels: {b: other, c: third}}\n"
        "model: {params: {max_tokens: 99}}\n"
        "examples+: [{text: two, output: c}]\n"
        "tests+: [{vars: {text: u}}]\n",
    )
    child = Library(user_folders=[user]).load("child")
    assert (child.name, child.description, child.task) == ("child", "Base", "classify")
    assert list(child.inputs) == ["text", "tone", "more"]
    assert child.inputs["tone"].type == "string" and child.inputs["tone"].default == "curt"
    assert child.output.labels == {"a": "first", "b": "other", "c": "third"}
    assert child.params == {"temperature": 0.0, "max_tokens": 99}
    assert [example.output for example in child.examples] == ["a", "c"]
    assert [test.vars for test in child.tests] == [{"text": "t"}, {"text": "u"}]
    assert render(child, {"text": "x"}).messages[-1].content == "Child x curt"


def test_extends_finds_a_file_in_the_same_folder(user: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    write(folder, "base", "prompt: From this folder.")
    write(user, "base", "prompt: From the user's folder.")
    write(folder, "child", "extends: ./base.yaml\nsystem: Be brief.")
    loaded = Library([user]).load(str(folder / "child.yaml"))
    assert loaded.prompt.text == "From this folder." and loaded.name == "child"
    assert [Path(each).name for each in loaded.files] == ["child.yaml", "base.yaml"]


def test_extends_replaces_lists_and_other_output_kinds(user: Path) -> None:
    write(user, "base", BASE)
    write(user, "child", "extends: base\nsystem: null\nexamples: []\noutput: {code: go}")
    child = Library(user_folders=[user]).load("child")
    assert child.examples == () and child.system is None
    assert (child.output.kind, child.output.code) == ("code", "go")


def test_template_can_extend_the_one_it_overrides(user: Path, tmp_path: Path) -> None:
    write(user, "gen", "extends: gen\nsystem: Be brief.")
    write(tmp_path / "second", "gen", "extends: gen\nmodel: {params: {max_tokens: 7}}")
    gen = Library(user_folders=[user, tmp_path / "second"]).load("gen")
    assert gen.params["max_tokens"] == 7 and gen.params["temperature"] > 0
    assert [m.role for m in render(gen, {"prompt": "Hi"}).messages] == ["system", "user"]


def test_errors_name_the_file_of_the_inherited_part(user: Path) -> None:
    write(user, "base", BASE)
    write(user, "child", "extends: base\ninputs:\n  text: {type: int}\n")
    with pytest.raises(
        TemplateError, match=r"base\.yaml:11: examples\.0\.text: must be an integer"
    ):
        Library(user_folders=[user]).load("child")
    write(user, "other", "extends: base\nexamples+:\n  - {text: t, output: z}\n")
    with pytest.raises(TemplateError, match=r"other\.yaml:5: examples\.1: unknown label 'z'"):
        Library(user_folders=[user]).load("other")


CIRCLES = {
    "itself": {"a": "extends: a"},
    "each other": {"a": "extends: b", "b": "extends: a"},
    "nothing": {"a": "extends: none-such"},
    "a missing file": {"a": "extends: ./none-such.yaml"},
    "itself by file": {"a": "extends: ./a.yaml"},
    "a path": {"a": "extends: ../a"},
    "two": {"a": "extends: [b, c]"},
}


@pytest.mark.parametrize("files", CIRCLES.values(), ids=CIRCLES)
def test_invalid_extends_fails_with_its_line(files: dict[str, str], user: Path) -> None:
    for name, text in files.items():
        write(user, name, text)
    with pytest.raises(TemplateError, match=r"[ab]\.yaml:3: extends: "):
        Library(user_folders=[user]).load("a")


def test_too_many_extends_levels_are_rejected(user: Path) -> None:
    for number in range(MAX_EXTENDS + 1):
        write(user, f"t{number}", f"extends: t{number + 1}")
    write(user, f"t{MAX_EXTENDS + 1}", "prompt: x")
    with pytest.raises(TemplateError, match=f"more than {MAX_EXTENDS} levels"):
        Library(user_folders=[user]).load("t0")
    assert said(Library(user_folders=[user]), "t2") == "x"


def test_built_in_folder_contains_only_templates_and_schema() -> None:
    names = [path.name for path in built_in_folder().iterdir()]
    assert [name for name in names if not name.endswith(".yaml")] == ["schema.json"]
