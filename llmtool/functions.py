"""The package's functions: the methods of a `Toolbox` with the user's configuration.

The package imports this module on the first use of a function.
"""

from __future__ import annotations

from llmtool.toolbox import Toolbox


class _DefaultToolbox(Toolbox):
    """Other processes that receive it, such as those of a pool, use their own."""

    def __reduce__(self) -> tuple[object, ...]:
        return _get_toolbox, ()


def _get_toolbox() -> Toolbox:
    return _toolbox


_toolbox = _DefaultToolbox()

aclassify = _toolbox.aclassify
agenerate = _toolbox.agenerate
arun = _toolbox.arun
astream_generate = _toolbox.astream_generate
astream_summarize = _toolbox.astream_summarize
astream_translate = _toolbox.astream_translate
asummarize = _toolbox.asummarize
atranslate = _toolbox.atranslate
awrite_code = _toolbox.awrite_code
chat = _toolbox.chat
classify = _toolbox.classify
commit_message = _toolbox.commit_message
complete_code = _toolbox.complete_code
explain_code = _toolbox.explain_code
fix_code = _toolbox.fix_code
generate = _toolbox.generate
review_code = _toolbox.review_code
run = _toolbox.run
run_each = _toolbox.run_each
stream_generate = _toolbox.stream_generate
stream_summarize = _toolbox.stream_summarize
stream_translate = _toolbox.stream_translate
summarize = _toolbox.summarize
translate = _toolbox.translate
tune = _toolbox.tune
write_code = _toolbox.write_code
write_tests = _toolbox.write_tests
