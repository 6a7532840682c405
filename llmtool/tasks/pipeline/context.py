"""What a task finds on the toolbox that it is a method of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from llmtool.config import Settings
from llmtool.engine.types import Engine
from llmtool.tasks.options import GenerateOptions, SamplingOptions
from llmtool.tasks.pipeline.async_streams import Turns
from llmtool.tasks.pipeline.prepare import PreparedTask, prepare

if TYPE_CHECKING:
    from llmtool.prompts.library import Library
    from llmtool.prompts.template import Template
    from llmtool.tasks.pipeline.disk_cache import Kept


class Tools(Protocol):
    """A model, templates and settings. Every task is a class over these, and a toolbox all."""

    settings: Settings
    turns: Turns
    anchors: Kept | None  # scores of what calibrates labels; None keeps none
    fits: Kept | None  # calibrations on labelled texts
    summaries: Kept | None  # notes on parts of long texts

    @property
    def engine(self) -> Engine: ...

    @property
    def library(self) -> Library: ...

    @property
    def model_name(self) -> str: ...

    @property
    def model_reference(self) -> str: ...

    @property
    def model_identity(self) -> str: ...

    def load_template(self, template: str | Template) -> Template:
        """Return the variant of a template for the model, from the library if it is only named.

        Raises:
            TemplateError: it is not found, or broken.
        """
        loaded = self.library.load(template) if isinstance(template, str) else template
        return loaded.for_model(self.model_name)

    def prepare(self, options: GenerateOptions) -> PreparedTask:
        """Check the options of a call and load its template, once for all its prompts."""
        return prepare(
            self.load_template(options.template),
            options,
            model=self.model_name,
            defaults=SamplingOptions(
                max_tokens=self.settings.max_tokens, temperature=self.settings.temperature
            ),
        )
