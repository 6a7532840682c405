"""The file of a tuned template, which extends the original."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from llmtool.errors import UsageError
from llmtool.evals.plan import hash_of
from llmtool.prompts.library import Library, is_path, merge
from llmtool.prompts.raw_template import RawTemplate, read_raw_template
from llmtool.prompts.template import Template, build
from llmtool.prompts.writing import to_yaml

if TYPE_CHECKING:
    from llmtool.prompts.schema import TunedFile

_SOURCE = "the tuned template"


class Original(msgspec.Struct, frozen=True, kw_only=True):
    """A template to tune, and how others extend it.

    `template` may be a variant for a model, whose `pattern` is then set. `sha256` is the hash of
    the merged content.
    """

    template: Template
    raw: RawTemplate
    extends: str
    sha256: str
    pattern: str | None = None

    def for_model(self, name: str | None) -> Original:
        """Return the variant for a model.

        Raises:
            UsageError: it is for a classification without labels.
        """
        template = self.template
        chosen = template.for_model(name)
        if chosen.task == "classify" and chosen.output.kind != "labels":
            raise UsageError(
                f"template {template.name!r} declares no labels; tune one of your own that does"
            )
        found = (pattern for pattern, variant in template.variants if variant is chosen)
        return msgspec.structs.replace(
            self, template=_with_texts(chosen), pattern=next(found, None)
        )

    def make(self, name: str, changes: Mapping[str, Any]) -> Template:
        """Return the template with changes for the model.

        Raises:
            TemplateError: it is not valid with these changes.
        """
        raw = read_raw_template(self.text(name, changes), source=_SOURCE)
        whole = raw.over(self.raw.without("name", "tuned")).without("extends")
        return _with_texts(_for_pattern(build(whole), self.pattern))

    def text(self, name: str, changes: Mapping[str, Any], tuned: TunedFile | None = None) -> str:
        """Return the content of a file with changes for the model, which extends the original."""
        head: dict[str, Any] = {"llmtool": 1, "name": name, "extends": self.extends}
        body = dict(changes) if self.pattern is None else {"variants": {self.pattern: changes}}
        about = {} if tuned is None else {"tuned": msgspec.to_builtins(tuned)}
        return to_yaml({**head, **(body if changes else {}), **about})


def load_original(library: Library, reference: str) -> Original:
    """Load a template to tune.

    Raises:
        TemplateError: it was not found, or is invalid.
    """
    lineage = library.lineage(reference)
    raw = merge(lineage)
    files = tuple(str(path) for path, _ in lineage)
    template = msgspec.structs.replace(build(raw), files=files)
    return Original(
        template=_with_texts(template),
        raw=raw,
        extends=f"./{Path(reference).name}" if is_path(reference) else template.name,
        sha256=hash_of(raw.value),
    )


def _for_pattern(template: Template, pattern: str | None) -> Template:
    return template if pattern is None else dict(template.variants)[pattern]


def _with_texts(template: Template) -> Template:
    """Return a template whose files are texts, because records contain the text itself."""
    inputs = {
        name: msgspec.structs.replace(spec, type="text") if spec.type == "file" else spec
        for name, spec in template.inputs.items()
    }
    return msgspec.structs.replace(template, inputs=inputs)
