"""Write outcomes as JUnit XML, in the subset that GitHub Actions, GitLab and Jenkins can read.

JUnit XML has no specification, so this follows the schema of Jenkins' xUnit plugin, `junit-10.xsd`.
Metrics are in `system-out`, and a known failure is a skipped test.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from llmtool.evals.results import Outcome

_FORBIDDEN = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(outcomes: Iterable[Outcome], *, seconds: float) -> str:
    """Return outcomes as an XML document, with one suite per template and model.

    Characters that XML does not allow become U+FFFD. `seconds` is the duration of the whole run.

    Example:
        >>> write_junit([], seconds=0.5).splitlines()[1]
        '<testsuites name="llmtool" tests="0" failures="0" errors="0" time="0.500" />'
    """
    suites: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        suites.setdefault((outcome.template, outcome.model), []).append(outcome)
    every = [outcome for suite in suites.values() for outcome in suite]
    root = ET.Element("testsuites", {"name": "llmtool", **_counts(every), "time": _time(seconds)})
    for (template, model), suite in suites.items():
        total = sum(outcome.seconds for outcome in suite)
        element = ET.SubElement(
            root,
            "testsuite",
            {
                "name": _clean(f"{template} [{model}]" if model else template),
                **_counts(suite),
                "skipped": str(sum(outcome.status == "known" for outcome in suite)),
                "time": _time(total),
                "file": _clean(suite[0].file),
            },
        )
        for outcome in suite:
            _case(element, outcome)
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _case(suite: ET.Element, outcome: Outcome) -> None:
    # Jenkins takes the part before the last dot as the package.
    classname = f"{outcome.template}.{outcome.model.replace('.', '_')}".removesuffix(".")
    element = ET.SubElement(
        suite,
        "testcase",
        {
            "name": _clean(outcome.name),
            "classname": _clean(classname),
            "time": _time(outcome.seconds),
        },
    )
    tag = {"failed": "failure", "error": "error", "known": "skipped"}.get(outcome.status)
    if tag == "skipped":
        ET.SubElement(element, tag, {"message": _clean(f"known failure: {outcome.reason}")})
    elif tag is not None:
        message = {"message": _clean(outcome.reason), "type": outcome.status}
        ET.SubElement(element, tag, message).text = _clean(_details(outcome))
    if outcome.metrics:
        lines = [f"{name} = {value:.4f}" for name, value in outcome.metrics.items()]
        ET.SubElement(element, "system-out").text = _clean("\n".join(lines))


def _details(outcome: Outcome) -> str:
    lines = [f"{outcome.file}:{outcome.line}"]
    for failure in outcome.failures:
        lines += ["", failure.case, f"  {failure.reason}"]
        for expected, actual in failure.values:
            lines += [f"  expected: {expected}"] if expected else []
            lines.append(f"  actual: {actual}")
    if outcome.n_failed > len(outcome.failures):
        lines += ["", f"and {outcome.n_failed - len(outcome.failures)} more"]
    return "\n".join(lines)


def _counts(outcomes: list[Outcome]) -> dict[str, str]:
    return {
        "tests": str(len(outcomes)),
        "failures": str(sum(outcome.status == "failed" for outcome in outcomes)),
        "errors": str(sum(outcome.status == "error" for outcome in outcomes)),
    }


def _time(seconds: float) -> str:
    return f"{seconds:.3f}"


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
