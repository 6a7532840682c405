"""Settings and their precedence, and the folders of a user."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmtool.config import find_folders, load_settings, set_value
from llmtool.errors import UsageError


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def test_variable_overrides_file_and_file_overrides_default(tmp_path: Path) -> None:
    path = write(tmp_path, 'model = "file"\nthreads = 3\n[aliases]\nsmall = "starter"\n')
    settings = load_settings({"LLMTOOL_MODEL": "variable"}, path)
    assert (settings.model, settings.threads) == ("variable", 3)
    assert settings.n_gpu_layers == "auto"
    assert settings.aliases == {"small": "starter"}


def test_missing_file_and_empty_variable_give_the_default(tmp_path: Path) -> None:
    settings = load_settings({"LLMTOOL_MODEL": ""}, tmp_path / "none" / "config.toml")
    assert settings.model is None


@pytest.mark.parametrize(
    ("environ", "text", "expected"),
    [
        ({}, "", 512),
        ({}, "prefix_cache_mb = 64", 64),
        ({"LLMTOOL_PREFIX_CACHE_MB": "0"}, "prefix_cache_mb = 64", 0),
    ],
    ids=["default", "file", "variable"],
)
def test_prefix_cache_limit(
    tmp_path: Path, environ: dict[str, str], text: str, expected: int
) -> None:
    assert load_settings(environ, write(tmp_path, text)).prefix_cache_mb == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('modle = "x"', "unknown key 'modle'; did you mean 'model'?"),
        ("threads = 0", "threads"),
        ('threads = "two"', "threads"),
        ("color = 'red'", "color"),
        ("prefix_cache_mb = -1", "prefix_cache_mb"),
        ("model = ", "not valid TOML"),
        (f"model = {'[' * 5000}", "not valid TOML: nested too deeply"),
        (f"threads = 1{'0' * 5000}", "a number has more than 4,300 digits (at line 1); edit or"),
        ("\xff", "not UTF-8 at byte 0"),
    ],
)
def test_error_for_invalid_file_names_the_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        load_settings({}, path)
    assert str(path) in str(caught.value) and message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PREFIX_CACHE_MB", "-1"),
        ("PREFIX_CACHE_MB", "much"),
        ("THREADS", "0"),
        ("THREADS", "x"),
        ("N_PARALLEL", "0"),
        ("N_PARALLEL", "65"),
        ("TEMPERATURE", "-1"),
        ("N_GPU_LAYERS", "some"),
    ],
)
def test_error_for_invalid_variable_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"^LLMTOOL_{name} '{value}': must be "):
        load_settings({f"LLMTOOL_{name}": value}, Path("none"))


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HOME": "/h"}, "/h/.cache/huggingface/hub"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({"HOME": "/h", "HF_HOME": "/f"}, "/f/hub"),
        ({"HOME": "/h", "HF_HOME": "/f", "HUGGINGFACE_HUB_CACHE": "/g"}, "/g"),
        ({"HOME": "/h", "HF_HUB_CACHE": "/i", "HUGGINGFACE_HUB_CACHE": "/g"}, "/i"),
        ({"HOME": "/h", "HF_HUB_CACHE": "", "HF_HOME": "/f"}, "/f/hub"),
    ],
    ids=["home", "xdg", "hf-home", "old-variable", "new-variable", "empty-is-unset"],
)
def test_hub_cache_follows_the_variables_of_the_hub(environ: dict[str, str], expected: str) -> None:
    assert find_folders(environ).hub_cache == Path(expected)


def test_user_without_home_has_nonexistent_folders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As in a container that runs with an arbitrary user id.
    for name in ["HOME", *(name for name in os.environ if name.startswith("XDG_"))]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 2)
    folders = find_folders({})
    folder = Path("/nonexistent/llmtool")
    assert (folders.config, folders.data, folders.cache) == (folder, folder, folder)
    assert folders.hub_cache == Path("/nonexistent/.cache/huggingface/hub")


@pytest.mark.parametrize("variable", ["LLMTOOL_CACHE_DIR", "LLMTOOL_PROMPTS", "HF_HOME"])
def test_home_of_unknown_user_is_rejected(variable: str) -> None:
    message = f"^home folder in '~no-such-user/x' not found; check the user name in {variable}$"
    with pytest.raises(UsageError, match=message):
        find_folders({"HOME": "/h", variable: "~no-such-user/x"})


def test_folder_variables_override_the_platform() -> None:
    folders = find_folders(
        {"LLMTOOL_CONFIG_DIR": "/a", "LLMTOOL_DATA_DIR": "/b", "LLMTOOL_CACHE_DIR": "/c"}
    )
    assert (folders.config_file, folders.data, folders.cache) == (
        Path("/a/config.toml"),
        Path("/b"),
        Path("/c"),
    )


def test_template_folders_are_in_order_of_precedence(tmp_path: Path) -> None:
    environ = {
        "HOME": str(tmp_path),
        "LLMTOOL_CONFIG_DIR": str(tmp_path / "config"),
        "LLMTOOL_PROMPTS": os.pathsep.join(["/team/prompts", "", "/mine"]),
    }
    assert find_folders(environ).prompt_folders == (
        Path("/team/prompts"),
        Path("/mine"),
        tmp_path / "config" / "prompts",
    )
    assert find_folders({**environ, "LLMTOOL_PROMPTS": ""}).prompt_folders == (
        tmp_path / "config" / "prompts",
    )


MODELS = (
    "a table of names and tables with the keys lora (a list of strings), chat_template (a string) "
    "and template_args (a table)"
)
INVALID = {
    "LLMTOOL_TEMPERATURE=hot": "'hot': must be a number from 0 to 100",
    "LLMTOOL_TEMPERATURE=1e9": "'1e9': must be a number from 0 to 100",
    "LLMTOOL_MAX_TOKENS=0": "'0': must be a whole number of at least 1",
    "LLMTOOL_THREADS=x": "'x': must be a whole number from 1 to 512",
    "LLMTOOL_COLOR=blue": "'blue': must be auto, always or never",
    "LLMTOOL_OFFLINE=maybe": "'maybe': must be true or false",
    "LLMTOOL_N_GPU_LAYERS=-1": "'-1': must be auto, all or a whole number of at least 0",
    'temperature = "hot"': '"hot": must be a number from 0 to 100',
    "max_tokens = 1.5": "1.5: must be a whole number of at least 1",
    "temperature = nan": "nan: must be a number from 0 to 100",
    "max_tokens = inf": "inf: must be a whole number of at least 1",
    "model = 3": "3: must be a string",
    "log = 1": "1: must be true or false",
    "aliases = 3": "3: must be a table of names and models",
    "[aliases]\nbig = 3": '{"big":3}: must be a table of names and models',
    "models = 3": f"3: must be {MODELS}",
    '[models]\nx = {chat = "y"}': f'{{"x":{{"chat":"y"}}}}: must be {MODELS}',
}


@pytest.mark.parametrize(("setting", "reason"), INVALID.items())
def test_error_for_invalid_value_describes_valid_values(
    tmp_path: Path, setting: str, reason: str
) -> None:
    name, _, value = setting.partition("=")
    file = write(tmp_path, "" if name.startswith("LLMTOOL_") else setting)
    environ = {name: value} if name.startswith("LLMTOOL_") else {}
    with pytest.raises(UsageError) as caught:
        load_settings(environ, file)
    setting_name = name if environ else f"{file}: {name.strip().strip('[').partition(']')[0]}"
    assert str(caught.value) == f"{setting_name} {reason}"


def test_error_for_file_that_is_not_utf8_has_the_offset(tmp_path: Path) -> None:
    file = write(tmp_path, "")
    file.write_bytes(b"log\xff")
    with pytest.raises(UsageError, match="config.toml: not UTF-8 at byte 3; edit or delete"):
        load_settings({}, file)


@pytest.mark.parametrize(
    "line", [f"threads = {'9' * 4301}", 'threads = "2', "threads = 1\nthreads = 2"]
)
def test_key_whose_line_is_invalid_can_be_changed(tmp_path: Path, line: str) -> None:
    rest = '# mine\nmodel = "starter"\n', '\n[aliases]\nthreads = "starter"\n'
    file = write(tmp_path, line.join(rest))
    with pytest.raises(UsageError, match="edit or delete the file"):
        set_value(file, "log", "false")
    assert file.read_text() == line.join(rest)
    set_value(file, "threads", None)
    assert file.read_text() == "".join((rest[0], rest[1].lstrip("\n")))
    write(tmp_path, line.join(rest))
    set_value(file, "threads", "3")
    settings = load_settings({}, file)
    assert (settings.threads, settings.model, settings.aliases) == (
        3,
        "starter",
        {"threads": "starter"},
    )


def test_file_that_cannot_be_changed_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("".join(f"{'a.' * 90}k{i} = 1\n" for i in range(3)))
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"cannot change .*config.toml: .*; edit the file"):
        set_value(path, "threads", "4")
    assert path.read_bytes() == before
