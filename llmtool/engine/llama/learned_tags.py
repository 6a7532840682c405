"""Learn reasoning tags from a chat template that writes the reasoning of earlier replies."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from llmtool.engine.text_stream import TAG, ReasoningTags, partner


def learn_reasoning_tags(
    render: Callable[[Sequence[Mapping[str, str]], bool, bool], str],
) -> ReasoningTags | None:
    """Return the text that a chat template writes around known reasoning, None if it writes none.

    `render` renders messages; its flags are whether to reason, and whether to begin a reply.
    """
    reasoning, answer = "Some reasoning", "Some answer"
    user = {"role": "user", "content": "Some question"}
    reply = {"role": "assistant", "content": answer}
    fields = dict.fromkeys(("reasoning_content", "reasoning", "thinking"), reasoning)
    before, _, rest = render([user, {**reply, **fields}], True, False).partition(reasoning)
    separator, found, after = rest.partition(answer)
    if not (found and separator.strip()):
        return None
    prompt = render([user], True, True)
    others = [prompt, render([user], False, True), render([user, reply], True, False)]
    n = len(os.path.commonprefix([before, *others]))
    is_word = before[n : n + 1].isalnum()  # as in <|open|>think<|sep|>
    spans = [m.span() for m in TAG.finditer(before)]
    n = next((a for a, b in spans if a < n < b + is_word), n)
    # The prompt may begin the reasoning, with a text or the last tag.
    opened = prompt.removeprefix(before) if prompt.startswith(before) else ""
    last = before[spans[-1][0] :].strip() if spans else ""
    start = before[n:].strip() or opened.strip() or (last if partner(last) in separator else "")
    if not start:
        return None
    end, opening = _split_tags(separator, len(TAG.findall(start)))
    answer_end, _ = _split_tags(after, len(TAG.findall(opening))) if opening else ("", "")
    return ReasoningTags(start, end, opening, answer_end, separator)


def _split_tags(text: str, n: int) -> tuple[str, str]:
    """Split text after its first `n` tags; without tags, all of it is the first part."""
    tags = list(TAG.finditer(text))[:n]
    at = tags[-1].end() if tags else len(text)
    return text[:at].strip(), text[at:].strip()
