"""Who may call the server: keys, the Host header, pages of other sites."""

from __future__ import annotations

import pytest
from running_server import Serve

from llmtool.engine.scripted import ScriptedEngine
from llmtool.server import access

MODELS = "/v1/models"


@pytest.mark.parametrize("header", [{"Authorization": "Bearer sesame"}, {"X-Api-Key": "sesame"}])
def test_a_key_opens_the_server(serve: Serve, header: dict[str, str]) -> None:
    client = serve(ScriptedEngine("Hi"), keys=["other", "sesame"]).client
    assert client.get(MODELS, headers=header).status_code == 200


@pytest.mark.parametrize(
    "header",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic sesame"}, {"X-Api-Key": ""}],
)
def test_a_request_without_a_key_is_unauthorized(serve: Serve, header: dict[str, str]) -> None:
    response = serve(ScriptedEngine("Hi"), keys=["sesame"]).client.get(MODELS, headers=header)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert response.headers["www-authenticate"] == "Bearer"
    assert "sesame" not in response.text


def test_a_key_is_compared_with_every_key_in_constant_time(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[tuple[int, int]] = []

    def compare_digest(one: bytes, other: bytes) -> bool:
        lengths.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr(access.hmac, "compare_digest", compare_digest)
    client = serve(ScriptedEngine("Hi"), keys=["first", "the-second-key", "3"]).client
    for key in ("first", "3", "wrong"):
        client.get(MODELS, headers={"X-Api-Key": key})
        assert lengths == [(32, 32)] * 3
        lengths.clear()


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1:80", 200), ("[::1]:1", 200), ("evil.example", 403)],
)
def test_the_host_header_names_this_machine(serve: Serve, host: str, status: int) -> None:
    client = serve(ScriptedEngine("Hi")).client
    assert client.get(MODELS, headers={"Host": host}).status_code == status


def test_pages_of_other_sites_may_not_call(serve: Serve) -> None:
    server = serve(ScriptedEngine("Hi"))
    headers = {"Origin": "https://evil.example"}
    response = server.client.get(MODELS, headers=headers)
    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers
    own = {"Origin": server.url}
    assert server.client.get(MODELS, headers=own).status_code == 200


def test_an_allowed_site_gets_cors_headers(serve: Serve) -> None:
    site = "https://app.example"
    client = serve(ScriptedEngine("Hi"), origins=[site], keys=["k"]).client
    asked = {"Origin": site, "Access-Control-Request-Method": "POST"}
    preflight = client.options("/v1/chat/completions", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == site
    headers = {"Origin": site, "Authorization": "Bearer k"}
    assert client.get(MODELS, headers=headers).headers["access-control-allow-origin"] == site
    assert client.get(MODELS, headers={**headers, "Origin": "https://b.example"}).status_code == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("LocalHost:8080", 200),
        ("localhost.", 200),
        ("127.1.2.3", 200),
        ("127.evil.example", 403),
        ("localhost.evil.example", 403),
        ("localhost@evil.example", 403),
        ("0.0.0.0", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
def test_only_addresses_of_this_machine_are_hosts(serve: Serve, host: str, status: int) -> None:
    client = serve(ScriptedEngine("Hi")).client
    assert client.get(MODELS, headers={"Host": host}).status_code == status


@pytest.mark.parametrize("origin", ["null", "", "http://[", "file://", "*"])
def test_origins_that_name_no_site_may_not_call(serve: Serve, origin: str) -> None:
    response = serve(ScriptedEngine("Hi")).client.get(MODELS, headers={"Origin": origin})
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "forbidden_origin"


@pytest.mark.parametrize("origin", ["null", "file://", "http://["])
def test_origin_without_a_site_is_not_that_of_an_empty_host(serve: Serve, origin: str) -> None:
    client = serve(ScriptedEngine("Hi"), host="0.0.0.0", keys=["k"]).client
    headers = {"Origin": origin, "Host": "", "Authorization": "Bearer k"}
    assert client.get(MODELS, headers=headers).status_code == 403


def test_a_preflight_of_another_site_is_rejected(serve: Serve) -> None:
    client = serve(ScriptedEngine("Hi"), origins=["https://app.example"]).client
    asked = {"Origin": "https://b.example", "Access-Control-Request-Method": "POST"}
    response = client.options("/v1/chat/completions", headers=asked)
    assert response.status_code >= 400
    assert "access-control-allow-origin" not in response.headers


def test_a_key_may_have_any_characters(serve: Serve) -> None:
    client = serve(ScriptedEngine("Hi"), keys=["schlüssel-日"]).client
    header = {"Authorization": "Bearer schlüssel-日".encode()}
    assert client.get(MODELS, headers=header).status_code == 200
