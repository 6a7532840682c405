"""Downloads without faults: cache layout, requests, tokens, revisions, errors for missing names."""

import hashlib
import json
import subprocess
import sys

import pytest
from hub.conftest import BIG, FILE, REPO, TOKEN, Client, content

COMMIT = "a" * 40


def test_pull_downloads_file_and_reports_progress(hub, client):
    result = client.pull()
    assert result["name"] == f"{REPO}:Q4_K_M"
    assert result["path"].endswith(f"snapshots/{COMMIT}/{FILE}")
    assert result["progress"] == [[0, len(BIG)], [len(BIG), len(BIG)]]
    digest = hashlib.sha256(BIG).hexdigest()
    folder = "models--org--model-GGUF"
    assert client.visible() == {
        f"{folder}/snapshots/{COMMIT}/{FILE}": BIG,
        f"{folder}/refs/main": COMMIT.encode(),
        f"{folder}/blobs/{digest}": BIG,
    }
    assert client.parts() == []


def test_huggingface_hub_reads_the_cache(hub, client):
    client.pull()
    code = (
        "import json, sys\n"
        "from huggingface_hub import hf_hub_download, scan_cache_dir\n"
        f"path = hf_hub_download({REPO!r}, {FILE!r}, local_files_only=True)\n"
        "scan = scan_cache_dir()\n"
        "print(json.dumps([open(path, 'rb').read() == open(sys.argv[1], 'rb').read(),\n"
        "    [r.repo_id for r in scan.repos], len(scan.warnings), scan.size_on_disk]))\n"
    )
    path = client.run("find")["path"]
    out = subprocess.run(
        [sys.executable, "-c", code, path], env=client.env, capture_output=True, text=True
    )
    assert json.loads(out.stdout) == [True, [REPO], 0, len(BIG)], out.stderr


def test_file_from_hf_hub_download_is_reused(hub, client):
    code = f"from huggingface_hub import hf_hub_download; hf_hub_download({REPO!r}, {FILE!r})"
    subprocess.run([sys.executable, "-c", code], env=client.env, check=True, capture_output=True)
    sent = hub.count("cdn")
    assert client.run("find")["path"].endswith(FILE)
    client.pull()
    assert hub.count("cdn") == sent


def test_second_pull_downloads_nothing(hub, client):
    client.pull()
    sent = hub.count("cdn") + hub.count("resolve")
    assert client.pull()["progress"][-1] == [len(BIG), len(BIG)]
    assert hub.count("cdn") + hub.count("resolve") == sent


def test_token_is_sent_only_to_the_hub(hub, client):
    hub.add("org/private", {FILE: BIG}, private=True, allowed=(TOKEN,))
    client.pull("org/private")
    by_origin = {(seen.where, seen.headers.get("authorization")) for seen in hub.seen}
    assert by_origin == {
        ("api", f"Bearer {TOKEN}"),
        ("resolve", f"Bearer {TOKEN}"),
        ("cdn", None),
    }


def test_token_is_not_sent_after_cross_origin_redirect(hub, client):
    """Compares origins, not URL prefixes: `:80` is a prefix of `:8080`."""
    where = f"{hub.cdn_url}/api/models/{REPO}"
    hub.fail("api", "status", times=9, status=307, headers={"Location": where})
    assert client.pull()["code"] == 16
    assert hub.count("cdn") > 0  # the fixture checks the headers of these requests


def test_parts_of_split_model_are_one_download(hub, client):
    names = [f"Q8_0/big-Q8_0-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    parts = {name: content(400_000, seed=i) for i, name in enumerate(names)}
    hub.add("org/split", parts)
    result = client.pull("org/split:q8_0")
    assert result["parts"] == 3
    assert result["progress"] == [[0, 1_200_000], [1_200_000, 1_200_000]]
    assert client.run("find", "org/split")["path"].endswith("Q8_0/big-Q8_0-00001-of-00003.gguf")


def test_small_file_without_lfs_is_downloaded(hub, client):
    hub.add("org/small", {"m-Q8_0.gguf": b"GGUF" + b"x" * 500})
    client.pull("org/small")
    assert hub.count("cdn") == 0
    assert client.run("find", "org/small:Q8_0")["path"].endswith("m-Q8_0.gguf")


def test_empty_cache_variable_is_ignored(hub, client):
    client.env["HF_HUB_CACHE"] = ""
    client.pull()
    assert client.parts() == []
    assert any(name.endswith(FILE) for name in client.visible())


def test_pinned_revision_is_downloaded(hub, client):
    repo = hub.repos[REPO]
    repo.revisions = {"main": COMMIT, "v1": "b" * 40}
    client.pull(f"{REPO}@v1")
    assert client.run("find", f"{REPO}@v1")["path"].count("b" * 40) == 1
    assert client.run("find", f"{REPO}@{'b' * 40}")["path"].count("b" * 40) == 1
    assert client.run("find", REPO)["code"] == 10


def test_new_commit_with_same_file_downloads_nothing(hub, client):
    client.pull()
    sent = hub.count("cdn")
    hub.repos[REPO].revisions = {"main": "c" * 40}
    client.pull()
    assert hub.count("cdn") == sent
    assert "c" * 40 in client.run("find")["path"]


def test_renamed_repository_is_followed(hub, client):
    hub.add("new/name-GGUF", {FILE: BIG}, private=True, allowed=(TOKEN,))
    hub.renamed["old/name-GGUF"] = "new/name-GGUF"
    result = client.pull("old/name-GGUF")
    assert "old/name-GGUF was renamed to new/name-GGUF" in result["notes"]
    assert client.run("find", "old/name-GGUF")["path"].endswith(FILE)


def test_later_pull_selects_previous_quant(hub, client):
    hub.add("org/two", {"m-Q4_K_M.gguf": content(5000), "m-Q8_0.gguf": content(6000)})
    client.pull("org/two:Q8_0")
    client.pull("org/two")
    assert client.run("find", "org/two")["path"].endswith("m-Q8_0.gguf")
    assert sum("m-Q4" in name for name in client.visible()) == 0


def test_plan_has_sizes_and_writes_no_files(hub, client):
    plan = client.run("plan")
    assert (plan["size"], plan["missing"], plan["files"]) == (len(BIG), len(BIG), [FILE])
    assert plan["fits_disk"]
    assert not client.cache.exists()
    client.pull()
    assert client.run("plan")["missing"] == 0


def test_get_downloads_missing_model(hub, client):
    assert client.run("get")["path"].endswith(FILE)
    sent = len(hub.seen)
    assert client.run("get")["path"].endswith(FILE)
    assert len(hub.seen) == sent


def test_cached_model_is_found_without_importing_huggingface_hub(hub, client):
    client.pull()
    modules = client.finish(client.start("find"))["modules"]
    heavy = {"huggingface_hub", "httpx2", "rich", "numpy", "yaml", "filelock"}
    assert heavy.isdisjoint(modules)


@pytest.mark.parametrize(
    ("reference", "code", "message"),
    [
        (
            "org/model-GGUF:Q8_0",
            10,
            "org/model-GGUF: quant Q8_0 not found; available: Q4_K_M (3.0 MB)",
        ),
        ("org/model-GGUF:other.gguf", 10, "file other.gguf not found"),
        ("org/none", 10, "org/none not found on 127.0.0.1"),
        ("org/model-GGUF@v9", 10, "revision 'v9' not found; available: main"),
    ],
)
def test_missing_quant_file_repository_or_revision_is_not_found(
    hub, client, reference, code, message
):
    result = client.pull(reference)
    assert (result["code"], "\n" in result["message"]) == (code, False)
    assert message in result["message"]
    assert client.visible() == {}


@pytest.mark.parametrize(
    ("reference", "suggestion"),
    [
        ("org/modle-GGUF", "org/model-GGUF"),
        ("unsloth/Qwen3.5-2B-GUFF", "unsloth/Qwen3.5-2B-GGUF"),
        ("big/nothing-like-it", None),
    ],
    ids=["cached", "in the catalogue", "none"],
)
def test_missing_repository_suggests_similar_name(hub, client, reference, suggestion):
    client.pull()
    message = client.pull(reference)["message"]
    assert f"{reference} not found on 127.0.0.1" in message
    assert (suggestion in message) if suggestion else ("did you mean" not in message)


def test_missing_listed_file_suggests_similar_name(hub, client):
    hub.add("org/odd", {"m-Q8_0.gguf": BIG}, listed=("m-Q4_0.gguf",))
    result = client.pull("org/odd:m-Q4_0.gguf")
    assert result["code"] == 10
    assert "org/odd: file m-Q4_0.gguf not found" in result["message"]
    assert "did you mean 'm-Q8_0.gguf'?" in result["message"]


def test_plan_rejects_starter(hub, client):
    result = client.run("plan", "starter")
    assert result["code"] == 10
    assert result["message"] == "starter is a local model; nothing to download"
    assert hub.seen == []


def test_offline_error_shows_pull_command(hub, client):
    result = client.pull(offline=True)
    assert result["code"] == 10
    assert "`llmtool models pull org/model-GGUF` without --offline" in result["message"]
    client.env["HF_HUB_OFFLINE"] = "1"
    result = client.pull()
    assert result["code"] == 10
    assert "HF_HUB_OFFLINE" in result["message"]
    assert hub.seen == []


@pytest.mark.parametrize(
    "bad",
    [
        "../../evil.gguf",
        "a/../../x.gguf",
        "/etc/x.gguf",
        "a\\b.gguf",
        "x\n.gguf",
        "x.gguf-split-a\tb",
        "README\x1b[2J.md",
        "notes\u2028.txt",
    ],
)
def test_listing_with_unsafe_name_is_rejected(hub, client, bad):
    hub.repos[REPO].listed = (bad,)
    result = client.pull()
    assert result["code"] == 16
    assert "unsafe name" in result["message"]
    assert client.visible() == {}


def test_gated_repository_error_says_how_to_get_access(hub, tmp_path):
    hub.add("org/gated", {FILE: BIG}, gated=True, allowed=(TOKEN,))
    anonymous = Client(hub, tmp_path / "a", token=None).pull("org/gated")
    assert anonymous["code"] == 16
    assert f"accept its licence at {hub.url}/org/gated and set HF_TOKEN" in anonymous["message"]
    stranger = Client(hub, tmp_path / "b", token="hf_stranger").pull("org/gated")
    assert "request access at" in stranger["message"]
    assert "path" in Client(hub, tmp_path / "c").pull("org/gated")


def test_rejected_token_is_reported(hub, client):
    hub.bad_tokens.add(TOKEN)
    result = client.pull()
    assert result["code"] == 16
    assert "rejected the token (HF_TOKEN or the saved token)" in result["message"]


def test_invalid_token_is_rejected_and_not_shown(hub, client):
    client.env["HF_TOKEN"] = "hf_Bad\x01Token"
    result = client.pull()
    assert result["code"] == 2
    assert "Bad" not in result["message"]


def test_saved_token_is_used(hub, tmp_path):
    client = Client(hub, tmp_path, token=None)
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text(TOKEN)
    hub.add("org/private", {FILE: BIG}, private=True, allowed=(TOKEN,))
    assert "path" in client.pull("org/private")
