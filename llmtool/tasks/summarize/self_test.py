"""Test how well a model writes summaries, on built-in passages.

A model may write if most of its sentences pass the checks of `Draft`, which include that they say
as much per word as the sentences of the source, and are not copies of these. The result is cached
by model and template.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from llmtool.engine.types import Engine, Failed, Finished, Request, Token
from llmtool.tasks.pipeline.disk_cache import DiskCache
from llmtool.tasks.pipeline.ordering import closing_stream
from llmtool.tasks.summarize.draft import Draft
from llmtool.tasks.summarize.extract import ScoredSource
from llmtool.tasks.summarize.prompts import SummaryPrompts
from llmtool.tasks.summarize.source import read_sentences
from llmtool.tasks.summarize.verify import lower_words

_MIN_PASSED = 0.75  # share of the sentences
_FEW, _MANY = 3, 12  # source sentences in a request
_VERSION = 2  # of the passages and checks
PASSAGES = (
    "The town of Ellmouth opened its new swimming bath on 14 March. It replaces a hall from 1963 "
    "that had been closed since 2019 because the roof was no longer safe. Building it cost 18.4 "
    "million euros, two million more than planned. The bath has three pools, and its water is "
    "heated by the waste heat of a bakery. Entry costs 5 euros for adults and nothing for children "
    "under six. In the first week 7,300 people came.",
    "A storm cut the power of 52,000 households in the county on Tuesday night. Most of them had "
    "light again by noon, but in the valley of Orne the repairs took three days. A tree had fallen "
    "on the only line to it, and the road was blocked by snow. The grid operator, Nordlys, "
    "will pay each household in the valley 80 euros. It will also build a second line, which "
    "should be ready in 2028. Nobody was hurt.",
    "The museum has lent the painting to Ghent for the first time. It was cleaned before, and the "
    "restorer Ines Baptista found a date under the frame: 1611, eleven years earlier than assumed. "
    "So it cannot show the fire of 1620, as the catalogue says. The museum will print a new one. "
    "Until May visitors see a copy, at half the price. The insurance covers 30 million euros.",
    "Version 4 of the library reads files of any size. Earlier versions stopped at 2 gigabytes. "
    "Reading is 40 percent faster on average, since the index is in memory. Programs that "
    "call the old function must be changed before October, when it will be removed. The "
    "maintainer, Kofi Anane, asks for reports from users of Windows. Two known errors in the "
    "export are not fixed yet.",
)


class SelfTest(msgspec.Struct, frozen=True, kw_only=True):
    """What a model can do: whether it may write, and from how many sentences in one request.

    `passed` is the share of its sentences that passed, by number of source sentences.
    """

    may_write: bool
    n_sentences: int
    passed: dict[int, float]


def test_key(prompts: SummaryPrompts, model_identity: str) -> str:
    """Return the key of a cached result."""
    parts = model_identity.encode() + prompts.writing_identity()
    return hashlib.sha256(b"%d" % _VERSION + parts).hexdigest()


def load_self_test(cache: DiskCache | None, key: str) -> SelfTest | None:
    """Return the cached result, or None."""
    return None if cache is None else cache.load(key, SelfTest)


def run_self_test(
    engine: Engine, prompts: SummaryPrompts, cache: DiskCache | None, key: str
) -> SelfTest:
    """Let the model write from the passages, and store the result."""
    drafts = list(_drafts(prompts))
    requests = [_request(prompts, draft, id) for id, draft in enumerate(drafts)]
    with closing_stream(engine.stream(requests)) as events:
        for event in events:
            if isinstance(event, Token):
                drafts[event.id].feed(event.text)
            elif isinstance(event, Finished):
                drafts[event.id].end(event.finish_reason)
            elif isinstance(event, Failed):
                drafts[event.id].faults.append(str(event.error))
    passed = {
        n: _share([draft for draft in drafts if len(draft.indexes) == n]) for n in (_FEW, _MANY)
    }
    can = [n for n, share in passed.items() if share >= _MIN_PASSED]
    result = SelfTest(may_write=_FEW in can, n_sentences=max(can, default=_FEW), passed=passed)
    if cache is not None:
        cache.try_to_save(key, result)
    return result


def _drafts(prompts: SummaryPrompts) -> Iterator[Draft]:
    """Yield drafts on parts of single passages, and on two passages together."""
    texts = [(text, _FEW) for text in PASSAGES]
    texts += [("\n\n".join(pair), _MANY) for pair in (PASSAGES[:2], PASSAGES[2:])]
    for text, n in texts:
        source = ScoredSource(read_sentences(text))
        indexes = range(min(n, len(source.sentences)))
        n_words = sum(source.sentences[i].n_words for i in indexes)
        yield Draft(
            source,
            indexes,
            budget=n_words // 2,
            style=prompts.style,
            lower_words=lower_words(source.sentences),
        )


def _request(prompts: SummaryPrompts, draft: Draft, id: int) -> Request:
    return msgspec.structs.replace(prompts.request(draft.source, n=draft.budget), id=id)


def _share(drafts: list[Draft]) -> float:
    n_accepted = sum(len(draft.accepted) for draft in drafts)
    n_failed = sum(len(draft.faults) or not draft.accepted for draft in drafts)
    return (n_accepted - sum(draft.n_copied for draft in drafts)) / (n_accepted + n_failed)
