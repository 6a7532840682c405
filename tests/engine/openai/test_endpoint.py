"""Which server a model is on, its address, and its key."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmtool.config import EndpointSettings, Settings
from llmtool.engine.openai.endpoint import RemoteName, check_endpoints, find_endpoint
from llmtool.errors import UsageError

KEY = "sk-secret-0123456789"


def find(
    reference: str | None = None,
    *,
    base_url: str | None = None,
    environ: dict[str, str] | None = None,
    folder: Path = Path(),
    model: str | None = None,
    aliases: dict[str, str] | None = None,
    **endpoints: Any,
) -> RemoteName | None:
    found = {name: EndpointSettings(**fields) for name, fields in endpoints.items()}
    settings = Settings(model=model, aliases=aliases or {}, endpoints=found)
    return find_endpoint(
        reference, base_url=base_url, settings=settings, environ=environ or {}, folder=folder
    )


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("http://gpu:8000", "http://gpu:8000/v1"),
        ("http://gpu:8000/", "http://gpu:8000/v1"),
        ("http://gpu:8000/v1/", "http://gpu:8000/v1"),
        ("https://host/api/v3", "https://host/api/v3"),
        ("http://gpu:8000/v1/chat/completions", "http://gpu:8000/v1"),
    ],
)
def test_base_url_ends_before_the_paths_of_the_api(base_url: str, expected: str) -> None:
    found = find("tiny", base_url=base_url)
    assert found is not None
    assert (found.endpoint.base_url, found.model) == (expected, "tiny")


@pytest.mark.parametrize(
    ("base_url", "message"),
    [
        ("gpu:8000", "base_url='gpu:8000': no scheme; use a URL such as http://localhost"),
        ("ftp://gpu", "unsupported scheme 'ftp'"),
        ("http://me:secret@gpu", "base_url='http://***@gpu': user names and passwords"),
        ("http://gpu/v1?key=secret", "must end before ? and #"),
    ],
)
def test_invalid_base_url_is_an_error_without_the_password(base_url: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        find("tiny", base_url=base_url)
    assert message in str(caught.value)
    assert ":secret" not in str(caught.value)


def test_name_of_an_endpoint_before_the_model_chooses_it() -> None:
    gpu = {"base_url": "http://gpu:8000", "concurrency": 5}
    for found in (
        find("gpu:Qwen/Qwen3:8B", gpu=gpu),
        find(None, model="gpu:Qwen/Qwen3:8B", gpu=gpu),
        find("big", aliases={"big": "gpu:Qwen/Qwen3:8B"}, gpu=gpu),
    ):
        assert found is not None
        assert (found.endpoint.name, found.model) == ("gpu", "Qwen/Qwen3:8B")
        assert found.endpoint.concurrency == 5


@pytest.mark.parametrize("reference", [None, "starter", "org/name:Q4_K_M", "other:model"])
def test_other_references_are_local(reference: str | None) -> None:
    assert find(reference, gpu={"base_url": "http://gpu"}) is None


def test_keys_of_the_settings_reach_the_endpoint() -> None:
    fields: dict[str, Any] = {
        "base_url": "http://gpu/v1",
        "kind": "vllm",
        "n_ctx": 4096,
        "concurrency": 3,
        "connect_timeout": 1.5,
        "first_token_timeout": 2.5,
        "token_timeout": 3.5,
        "check_model": False,
    }
    found = find("gpu:tiny", gpu=fields)
    assert found is not None
    read = found.endpoint
    assert (read.base_url, read.kind, read.n_ctx, read.concurrency, read.check_model) == (
        "http://gpu/v1",
        "vllm",
        4096,
        3,
        False,
    )
    assert (read.connect_seconds, read.first_token_seconds, read.token_seconds) == (1.5, 2.5, 3.5)


def test_openai_needs_no_settings() -> None:
    found = find("openai:gpt-4o", environ={"OPENAI_API_KEY": KEY})
    assert found is not None
    assert found.endpoint.base_url == "https://api.openai.com/v1"
    assert found.endpoint.request_headers() == {"Authorization": f"Bearer {KEY}"}


def test_openai_base_url_counts_only_for_a_model_of_openai() -> None:
    environ = {"OPENAI_BASE_URL": "http://proxy/v1", "OPENAI_API_KEY": KEY}
    found = find("openai:gpt-4o", environ=environ)
    assert found is not None and found.endpoint.base_url == "http://proxy/v1"
    assert find("starter", environ=environ) is None
    assert find(None, environ=environ) is None


def test_key_of_openai_is_not_sent_to_another_server() -> None:
    environ = {"OPENAI_API_KEY": KEY}
    found = find("tiny", base_url="http://gpu", environ=environ)
    assert found is not None and found.endpoint.key is None
    found = find("tiny", base_url="http://gpu", environ={"LLMTOOL_API_KEY": KEY})
    assert found is not None and found.endpoint.key is not None


def test_key_is_read_from_a_variable_or_a_private_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    (tmp_path / "key").chmod(0o600)
    for fields in ({"api_key_env": "GPU_KEY"}, {"api_key_file": "key"}):
        found = find(
            "gpu:tiny",
            environ={"GPU_KEY": KEY},
            folder=tmp_path,
            gpu={"base_url": "http://gpu", **fields},
        )
        assert found is not None and found.endpoint.key is not None
        assert found.endpoint.key.value == KEY


@pytest.mark.skipif(sys.platform == "win32", reason="no permissions for groups")
def test_key_file_that_others_can_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(UsageError, match="other users can read .*; run `chmod 600") as caught:
        find("gpu:a", folder=tmp_path, gpu={"base_url": "http://gpu", "api_key_file": "key"})
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("c", {}, "endpoints.c: the name must have at least two"),
        ("gpu", {"api_key_env": "A", "api_key_file": "b"}, "cannot be combined"),
        ("gpu", {"api_key_file": "missing"}, "cannot read .*missing: no such file"),
        ("gpu", {"base_url": "gpu"}, "endpoints.gpu.base_url 'gpu': no scheme"),
        ("gpu", {"headers": {"X Y": "a"}}, "endpoints.gpu.headers.X Y: must be a header"),
        ("gpu", {"headers": {"X": "a\nb"}}, "endpoints.gpu.headers.X: must be a header"),
    ],
)
def test_invalid_endpoint_is_an_error(
    tmp_path: Path, name: str, fields: dict[str, Any], message: str
) -> None:
    endpoint = EndpointSettings(**{"base_url": "http://gpu", **fields})
    (error,) = check_endpoints(Settings(endpoints={name: endpoint}), os.environ, tmp_path)
    import re

    assert re.search(message, error)


def test_no_representation_shows_a_key() -> None:
    settings = EndpointSettings(base_url="http://gpu", headers={"Api-Key": KEY}, api_key_env="K")
    found = find("gpu:a", environ={"K": KEY}, gpu=msgspec.to_builtins(settings))
    assert found is not None
    assert KEY not in repr(settings) + repr(found) + str(found.endpoint)
    assert found.endpoint.request_headers()["Api-Key"] == KEY
