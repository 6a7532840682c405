"""A mirror that lists only names: sizes and digests are requested for each file."""

import signal
import time

import pytest
from hub.conftest import BIG, FILE
from hub.hub_server import wait_until

MIRRORED = "org/mirrored-GGUF"


@pytest.fixture
def mirror(hub):
    hub.add(MIRRORED, {FILE: BIG, "README.md": b"# A model"}, lists_digests=False)
    return hub


def test_model_is_downloaded_without_listed_digests(mirror, client):
    plan = client.run("plan", MIRRORED)
    assert (plan["size"], plan["missing"]) == (len(BIG), len(BIG))
    assert "path" in client.pull(MIRRORED)
    assert BIG in client.visible().values()


@pytest.mark.parametrize("kind", ["status", "close", "silent"])
def test_failed_request_is_retried(mirror, client, kind):
    mirror.fail("resolve", kind, status=503, times=2, method="HEAD")
    result = client.pull(MIRRORED)
    assert "path" in result, result
    assert len(result["notes"]) == 2 and "retrying" in result["notes"][0]
    assert BIG in client.visible().values()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("status", "HTTP 503 from"),
        ("close", "lost the connection"),
        ("silent", "stopped responding"),
    ],
)
def test_permanently_failing_request_is_an_error(mirror, client, kind, message):
    mirror.fail("resolve", kind, status=503, times=50, method="HEAD")
    result = client.pull(MIRRORED)
    assert (result["error"], result["code"]) == ("DownloadError", 16)
    assert message in result["message"] and "after 3 attempts" in result["message"]
    assert client.visible() == {}


@pytest.mark.parametrize("call", ["pull", "plan"])
def test_waiting_request_can_be_cancelled(mirror, client, call):
    mirror.fail("resolve", "silent", times=50, method="HEAD")
    child = client.start(call, MIRRORED, retry={"response_seconds": 30})
    wait_until(lambda: mirror.count("resolve", "HEAD") == 1)
    start = time.monotonic()
    child.send_signal(signal.SIGTERM)
    assert client.finish(child)["error"] == "Cancelled"
    assert time.monotonic() - start < 10
