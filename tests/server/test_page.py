"""The page at `/`: served without a key and with a strict policy, and used in a browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from running_server import Serve

from llmtool.engine.scripted import ScriptedEngine

_CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def test_the_page_needs_no_key_and_loads_nothing_else(serve: Serve) -> None:
    client = serve(ScriptedEngine("Hi"), keys=["k"]).client
    page = client.get("/")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http://" not in page.text.replace("http://127.0.0.1", "")
    assert "https://" not in page.text
    assert client.get("/v1/functions").status_code == 401


@pytest.fixture
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if _CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=_CHROMIUM, args=_ARGUMENTS)
        yield made
        made.close()


@pytest.mark.long
def test_a_form_runs_a_function_by_keyboard(serve: Serve, browser: Any) -> None:
    engine = ScriptedEngine(scores=lambda _, label: -0.1 if "sport" in label else -3.0)
    server = serve(engine)
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(f"{server.url}/#classify")
    page.wait_for_selector("#field-text")
    page.fill("#field-text", "It's 2-1.")
    page.keyboard.press("Tab")
    page.keyboard.type("sport\npolitics")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#result .score")
    assert page.inner_text("#result .score.best span") == "sport"
    curl, python = (each.inner_text() for each in page.query_selector_all(".snippet pre"))
    assert curl.endswith("""-d '{"text":"It'\\''s 2-1.","labels":["sport","politics"]}'""")
    compile(python, "snippet", "exec")
    assert not errors


@pytest.mark.long
def test_an_error_is_shown_and_a_key_is_asked_for(serve: Serve, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 800})
    server = serve(ScriptedEngine("Hi"), keys=["sesame"])
    page.goto(f"{server.url}/#gen")
    page.wait_for_selector("#main .error")
    page.fill("#key", "sesame")
    page.keyboard.press("Enter")
    page.wait_for_selector("#field-prompt")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.click("summary")
    page.fill("#field-prompt", "hello")
    page.fill("#field-schema", "{")
    page.click("button[type=submit].primary")
    page.wait_for_selector("#result .error")
    assert "schema: not JSON" in page.inner_text("#result")


@pytest.mark.long
def test_a_conversation_is_streamed(serve: Serve, browser: Any) -> None:
    engine = ScriptedEngine(["<b>Good</b> day.", "Again."])
    page = browser.new_page()
    page.goto(f"{serve(engine).url}/#chat")
    for text in ("hello", "more"):
        page.fill("#message", text)
        page.keyboard.press("Enter")
        page.wait_for_selector("button.primary:not([disabled])")
    page.wait_for_selector(".message:nth-of-type(4)")
    shown = [each.inner_text() for each in page.query_selector_all(".message .text:last-child")]
    assert shown == ["hello", "<b>Good</b> day.", "more", "Again."]
    assert json.dumps(engine.prompts[-1]).count("Good") == 1
