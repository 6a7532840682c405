"""Export a review as SARIF 2.1.0, which code hosts and editors show next to the code."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from llmtool.tasks.code.results import Review

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_RULE = "review"


def sarif(review: Review, *, version: str) -> dict[str, Any]:
    """Return the SARIF log of a review; paths are relative to the root of the repository.

    Source: OASIS, "Static Analysis Results Interchange Format (SARIF) version 2.1.0".
    Simplified: all findings have the same rule.
    """
    rule = {"id": _RULE, "shortDescription": {"text": "A finding of a language model"}}
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "llmtool", "version": version, "rules": [rule]}},
                "columnKind": "unicodeCodePoints",
                "properties": {"model": review.model},
                "results": [
                    {
                        "ruleId": _RULE,
                        "ruleIndex": 0,
                        "level": finding.severity,
                        "message": {"text": finding.message},
                        "locations": [
                            {
                                "physicalLocation": {
                                    "artifactLocation": {"uri": quote(finding.path)},
                                    "region": {"startLine": finding.line},
                                }
                            }
                        ],
                    }
                    for finding in review.findings
                ],
            }
        ],
    }
