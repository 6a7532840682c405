"""Faults during a download: afterwards the cache is unchanged, or has the complete file."""

import json
import os
import random
import signal
import time

import pytest
from hub.conftest import BIG, FILE, REPO, content
from hub.hub_server import wait_until

SIZE = len(BIG)


def assert_complete(client):
    """The complete file is the only one in the cache."""
    files = [value for name, value in client.visible().items() if name.endswith(FILE)]
    assert files == [BIG]
    assert client.parts() == []


def assert_unchanged(client, before=None):
    assert client.visible() == (before or {})


@pytest.mark.parametrize(
    ("kind", "times"),
    [("cut", 1), ("cut", 3), ("reset", 4), ("stall", 1), ("close", 1)],
    ids=lambda value: str(value),
)
def test_broken_connection_is_resumed(hub, client, kind, times):
    hub.fail("cdn", kind, times=times, after=600_000)
    result = client.pull()
    assert "path" in result, result
    assert_complete(client)
    ranges = [s.headers.get("range") for s in hub.seen if s.where == "cdn"]
    assert ranges[0] is None
    if kind in ("cut", "stall"):
        assert ranges[1:] == [f"bytes={600_000 * (i + 1)}-" for i in range(times)]


def test_download_succeeds_if_server_ignores_ranges(hub, client):
    hub.fail("cdn", "cut", after=600_000)
    hub.fail("cdn", "ignore-range")
    assert "path" in client.pull()
    assert_complete(client)


def test_failed_download_keeps_partial_file(hub, client):
    hub.fail("cdn", "cut", after=1_000_000)
    hub.fail("cdn", "close", times=50)
    result = client.pull()
    assert result["code"] == 16
    assert "attempts; 1.0 MB saved, run again to resume" in result["message"]
    assert_unchanged(client)
    assert [part.stat().st_size for part in client.parts()] == [1_000_000]


def test_next_pull_resumes(hub, client):
    hub.fail("cdn", "cut", after=1_000_000)
    hub.fail("cdn", "close", times=4)
    assert client.pull()["code"] == 16
    hub.faults.clear()
    result = client.pull()
    assert result["progress"] == [[1_000_000, SIZE], [SIZE, SIZE]]
    assert result["notes"] == [f"{FILE}: resuming at 1.0 MB of 3.0 MB"]
    assert_complete(client)


def test_progress_is_reported_before_resume_note(hub, client):
    hub.fail("cdn", "cut", after=1_000_000)
    hub.fail("cdn", "close", times=4)
    assert client.pull()["code"] == 16
    hub.faults.clear()
    client.output = ""
    client.pull(live=True)
    events = [json.loads(line).get("event") for line in client.output.splitlines()]
    assert events[:2] == ["progress", "note"]


@pytest.mark.parametrize("kind", ["corrupt", "short", "long"])
def test_content_mismatch_is_downloaded_again(hub, client, kind):
    hub.fail("cdn", kind)
    result = client.pull()
    assert "path" in result, result
    assert any("downloading again" in note for note in result["notes"])
    assert_complete(client)


@pytest.mark.parametrize("kind", ["corrupt", "short", "long"])
def test_second_content_mismatch_is_an_error_and_leaves_no_files(hub, client, kind):
    hub.fail("cdn", kind, times=2)
    result = client.pull()
    assert result["code"] == 16
    assert "content mismatch twice" in result["message"]
    assert_unchanged(client)
    assert client.parts() == []


def test_wrong_partial_file_is_replaced(hub, client):
    hub.fail("cdn", "cut", after=1_000_000)
    hub.fail("cdn", "close", times=4)
    client.pull()
    hub.faults.clear()
    client.parts()[0].write_bytes(b"x" * 1_000_000)
    assert "path" in client.pull()
    assert_complete(client)


def test_oversized_partial_file_is_replaced(hub, client):
    hub.fail("cdn", "close", times=4)
    client.pull()
    hub.faults.clear()
    client.parts()[0].write_bytes(b"x" * (SIZE + 1))
    assert "path" in client.pull()
    assert_complete(client)


def test_unsatisfiable_range_restarts_download(hub, client):
    hub.fail("cdn", "cut", after=1_000_000)
    hub.fail("cdn", "status", status=416)
    assert "path" in client.pull()
    assert_complete(client)


@pytest.mark.parametrize(
    ("where", "status"), [("api", 500), ("resolve", 502), ("cdn", 503), ("cdn", 504)]
)
def test_temporary_server_error_is_retried(hub, client, where, status):
    hub.fail(where, "status", status=status, times=2)
    assert "path" in client.pull()
    assert_complete(client)


@pytest.mark.parametrize("where", ["api", "resolve", "cdn"])
def test_permanent_server_error_names_the_host(hub, client, where):
    hub.fail(where, "status", status=503, times=50)
    result = client.pull()
    assert result["code"] == 16
    host = (hub.cdn_url if where == "cdn" else hub.url).removeprefix("http://")
    assert f"HTTP 503 from {host} after 3 attempts" in result["message"]
    assert_unchanged(client)


@pytest.mark.parametrize("where", ["api", "resolve", "cdn"])
def test_retry_after_header_is_respected(hub, client, where):
    hub.fail(where, "status", status=429, headers={"Retry-After": "1"})
    start = time.monotonic()
    result = client.pull()
    assert time.monotonic() - start >= 1
    assert any("too many requests" in n and "retrying in 1 s" in n for n in result["notes"])
    assert_complete(client)


@pytest.mark.parametrize("where", ["api", "cdn"])
def test_long_retry_after_is_an_error(hub, client, where):
    hub.fail(where, "status", status=429, headers={"Retry-After": "3600"}, times=9)
    result = client.pull()
    assert result["code"] == 16
    assert "retry after 3600 s; try again later" in result["message"]


def test_expired_signed_url_is_requested_again(hub, client):
    hub.signature_uses = 1
    hub.fail("cdn", "cut", after=600_000, times=2)
    assert "path" in client.pull()
    assert_complete(client)
    assert hub.signature == 3


def test_rejected_signed_url_is_requested_again(hub, client):
    hub.fail("cdn", "status", status=403, times=2)
    assert "path" in client.pull()
    assert_complete(client)


def test_errors_do_not_show_signed_urls(hub, client):
    hub.fail("cdn", "status", status=403, times=50)
    result = client.pull()
    assert "rejected a signed URL (HTTP 403)" in result["message"]
    assert "signature" not in client.output


@pytest.mark.parametrize("where", ["api", "resolve", "cdn"])
def test_login_page_is_reported(hub, client, where):
    hub.fail(where, "html", times=50)
    result = client.pull()
    assert result["code"] == 16
    assert "not that of a Hub" in result["message"]
    assert_unchanged(client)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"id": 1}', b'{"id": "a/b", "sha": "main", "siblings": []}', b"{" * 99]
)
def test_unexpected_json_is_reported(hub, client, body):
    hub.fail("api", "status", status=200, body=body)
    result = client.pull()
    assert (result["code"], "not that of a Hub" in result["message"]) == (16, True)


@pytest.mark.parametrize("where", ["api", "resolve", "cdn"])
def test_server_timeout_is_reported(hub, client, where):
    hub.fail(where, "silent", times=50)
    result = client.pull(retry={"response_seconds": 0.3, "stall_seconds": 0.3})
    assert result["code"] == 16
    assert "stopped responding" in result["message"]
    assert_unchanged(client)


def test_refused_connection_is_reported(hub, client):
    client.env["HF_ENDPOINT"] = "http://127.0.0.1:9"
    result = client.pull()
    assert result["code"] == 16
    assert "cannot connect to 127.0.0.1:9 after 3 attempts" in result["message"]


def test_redirect_loop_is_reported(hub, client):
    where = f"{hub.url}/api/models/{REPO}"
    hub.fail("api", "status", status=307, headers={"Location": where}, times=50)
    assert "too many redirects" in client.pull()["message"]


def test_redirect_to_another_scheme_is_rejected(hub, client):
    hub.fail("resolve", "status", status=302, headers={"Location": "file:///etc/passwd"}, times=9)
    assert "not that of a Hub" in client.pull()["message"]


def test_insufficient_disk_space_fails_before_download(hub, client):
    result = client.pull(free_bytes=64 * 1024 * 1024 + SIZE - 1)
    assert result["code"] == 16
    assert "needs 70.1 MB of disk space" in result["message"]
    assert hub.count("cdn") == 0
    assert "path" in client.pull(free_bytes=64 * 1024 * 1024 + SIZE)


def test_full_disk_keeps_partial_file(hub, client):
    import resource

    child = client.start("pull", live=True)
    resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
    result = client.finish(child)
    assert result["code"] == 16
    assert_unchanged(client)
    assert "path" in client.pull()
    assert_complete(client)


def test_unwritable_cache_is_reported(hub, client):
    client.cache.parent.mkdir(parents=True)
    client.cache.write_text("not a folder")
    result = client.pull()
    assert result["code"] == 16
    assert "cannot write to" in result["message"]


def kill_when(hub, child, sent, how=signal.SIGKILL):
    wait_until(lambda: hub.bytes_sent >= sent)
    time.sleep(0.05)
    os.kill(child.pid, how)
    return child.wait(10)


def test_download_resumes_after_kill_9(hub, client):
    hub.fail("cdn", "slow", after=1_000_000)
    child = client.start("pull")
    assert kill_when(hub, child, 1_500_000) == -signal.SIGKILL
    assert_unchanged(client)
    saved = client.parts()[0].stat().st_size
    assert 0 < saved < SIZE
    result = client.pull()
    assert result["progress"][0] == [saved, SIZE]
    assert_complete(client)


@pytest.mark.parametrize(
    ("seed", "kills"),
    [(1, 3), *(pytest.param(n, 25, marks=pytest.mark.long) for n in range(2, 10))],
)
@pytest.mark.timeout(900)
def test_download_killed_at_any_time_resumes_to_the_same_files(
    hub, client, record_property, seed, kills
):
    chance, n_live = random.Random(seed), 0
    client.pull()
    expected, models = client.visible(), (client.data / "models.json").read_bytes()
    client.run("remove")
    while n_live < kills:
        is_slow = chance.random() < 0.7
        hub.faults.clear()
        if is_slow:  # the server pauses, so that most kills hit the transfer
            hub.fail("cdn", "slow", after=chance.randrange(0, SIZE // 2))
        before = hub.bytes_sent
        child = client.start("pull")
        if is_slow:
            wait_until(lambda c=child, n=before: c.poll() is not None or hub.bytes_sent > n, 90)
        time.sleep(chance.uniform(0, 0.3))
        child.kill()
        n_live += child.wait() == -signal.SIGKILL
        child.stdout.close()
        child.stderr.close()
        seen = client.visible()
        assert seen.items() <= expected.items()
        if chance.random() < 0.3:
            hub.faults.clear()
            assert "path" in client.pull()
            assert client.visible() == expected
            assert client.parts() == []
            assert (client.data / "models.json").read_bytes() == models
            client.run("remove")
            client.run("prune")
            assert client.visible() == {}
    record_property("live kills: pull", n_live)
    hub.faults.clear()
    assert "path" in client.pull()
    assert client.visible() == expected
    assert client.parts() == []
    assert client.run("prune")["removed"] == []


def test_signal_stops_immediately_and_keeps_partial_file(hub, client):
    hub.fail("cdn", "stall", after=1_000_000)
    child = client.start("pull", retry={"stall_seconds": 30})
    wait_until(lambda: hub.bytes_sent >= 1_000_000)
    time.sleep(0.2)
    start = time.monotonic()
    child.send_signal(signal.SIGTERM)
    result = client.finish(child)
    assert time.monotonic() - start < 10
    assert result["error"] == "Cancelled"
    assert "run again to resume" in result["message"]
    assert client.pull()["progress"][0] == [1_000_000, SIZE]


@pytest.mark.parametrize("count", [2, 4])
def test_concurrent_processes_download_file_once(hub, client, count):
    hub.fail("cdn", "slow", after=500_000)
    children = [client.start("pull") for _ in range(count)]
    results = [client.finish(child) for child in children]
    assert all("path" in result for result in results)
    assert hub.count("cdn") == 1
    waited = [r for r in results if any("another process" in note for note in r["notes"])]
    assert len(waited) == count - 1
    assert_complete(client)
    records = json.loads((client.data / "models.json").read_text())["models"]
    assert len(records) == 1


def test_concurrent_processes_save_both_records(hub, client):
    for name in ("org/one", "org/two"):
        hub.add(name, {FILE: content(200_000, seed=len(name) + ord(name[-1]))})
    children = [client.start("pull", name) for name in ("org/one", "org/two")]
    for child in children:
        assert "path" in client.finish(child)
    records = json.loads((client.data / "models.json").read_text())["models"]
    assert {record["name"] for record in records} == {"org/one", "org/two"}


def test_concurrent_hf_hub_download_shares_the_file(hub, client):
    import subprocess
    import sys

    hub.fail("cdn", "slow", after=500_000)
    ours = client.start("pull")
    wait_until(lambda: hub.count("cdn") == 1)
    code = f"from huggingface_hub import hf_hub_download; hf_hub_download({REPO!r}, {FILE!r})"
    theirs = subprocess.Popen([sys.executable, "-c", code], env=client.env, stderr=-3)
    assert "path" in client.finish(ours)
    assert theirs.wait(30) == 0
    assert hub.count("cdn") == 1
    assert_complete(client)


def test_truncated_cached_file_is_replaced(hub, client):
    path = client.pull()["path"]
    os.truncate(path, SIZE - 1)
    result = client.run("find")
    assert result["code"] == 11
    assert "is damaged" in result["message"] and "`llmtool models pull" in result["message"]
    assert "path" in client.pull()
    assert_complete(client)


def test_dangling_link_is_replaced(hub, client):
    path = client.pull()["path"]
    os.unlink(os.path.realpath(path))
    assert client.run("find")["code"] == 10
    assert "path" in client.pull()
    assert_complete(client)


def test_failed_update_keeps_old_commit(hub, client):
    client.pull()
    before = client.visible()
    hub.add(REPO, {FILE: content(SIZE, seed=2)}, revisions={"main": "b" * 40})
    hub.fail("cdn", "corrupt", times=2)
    assert client.pull()["code"] == 16
    assert_unchanged(client, before)
    assert client.run("find")["path"].count("a" * 40) == 1
    assert "path" in client.pull()
    assert client.run("find")["path"].count("b" * 40) == 1
