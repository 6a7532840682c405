"""The context that all tasks share: a model, prompt templates, settings and caches."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from llmtool.cancellation import Cancellation
from llmtool.config import Folders, Settings
from llmtool.engine.types import Adapter, Engine
from llmtool.errors import Cancelled, ClosedError
from llmtool.tasks.pipeline.async_streams import AsyncBridge
from llmtool.tasks.pipeline.disk_cache import DiskCache

if TYPE_CHECKING:
    from llmtool.prompts.library import Library
    from llmtool.prompts.template import Template
    from llmtool.structured.constraint import Constraint


CLOSED = "the Toolbox is closed; create a new one"


class TaskModel(Protocol):
    """A model that tasks run on, loaded on first use."""

    @property
    def name(self) -> str: ...

    @property
    def reference(self) -> str:
        """A reference that finds the same model from any directory."""
        ...

    @property
    def identity(self) -> str:
        """The name and a hash of the file, which identify cached results."""
        ...

    @property
    def reproducible(self) -> bool:
        """Whether results do not depend on the other requests of a batch."""
        ...

    @property
    def adapters(self) -> tuple[Adapter, ...]:
        """The LoRA adapters of prompts that name none."""
        ...

    @property
    def has_given_adapters(self) -> bool:
        """Whether its LoRA adapters were chosen for this call, and replace those of templates."""
        ...

    def check_options(self, sampling: Mapping[str, Any], constraint: Constraint | None) -> None:
        """Check the options and the constraint on replies that the user gave.

        Raises:
            UsageError: the model does not support one.
        """
        ...

    @property
    def engine(self) -> Engine: ...

    @property
    def loaded_engine(self) -> Engine | None:
        """The engine if it is loaded; does not wait."""
        ...

    def warm_up(self) -> None:
        """Start loading the model in the background; `engine` waits for it."""
        ...

    def close(self) -> None:
        """Free the model; `engine` loads it again."""
        ...


class NamedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A `TaskModel` of which only the name is known, and which loads nothing; without an engine."""

    name: str
    reproducible: bool = False
    adapters: tuple[Adapter, ...] = ()
    has_given_adapters: bool = False

    @property
    def reference(self) -> str:
        return self.name

    @property
    def identity(self) -> str:
        return self.name

    def check_options(self, sampling: Mapping[str, Any], constraint: Constraint | None) -> None:
        """Accept all options."""

    def warm_up(self) -> None: ...

    def close(self) -> None: ...


class TaskContext:
    """A model with the templates, settings and caches of a user; the first argument of all tasks.

    Args:
        cached: whether to cache label scores, summaries, self-tests and translations on disk.
    """

    def __init__(
        self,
        model: TaskModel,
        *,
        settings: Settings,
        folders: Folders,
        cancellation: Cancellation,
        cached: bool = True,
    ) -> None:
        self.model, self.settings, self.folders = model, settings, folders
        self.cancellation = cancellation
        self.bridge = AsyncBridge(cancellation)
        self.calibrations = DiskCache(folders.data / "calibrations", is_durable=True)
        self.anchors = DiskCache(folders.cache / "anchors") if cached else None
        self.notes = DiskCache(folders.cache / "notes", limit=5000) if cached else None
        self.self_tests = DiskCache(folders.cache / "self-tests") if cached else None
        self.translations = (
            DiskCache(folders.cache / "translations", limit=200_000, limit_bytes=100_000_000)
            if cached
            else None
        )
        self.translated = (
            DiskCache(folders.cache / "translated", limit=5000, limit_bytes=100_000_000)
            if cached
            else None
        )
        self._closed = False

    def close(self) -> None:
        """Free the model for good."""
        self._closed = True
        self.model.close()

    @property
    def engine(self) -> Engine:
        """The model's engine, loaded on first use.

        Raises:
            ClosedError: the context was closed.
            EngineError: the event loop of this thread waits for another reply.
        """
        self.check_open()
        self.bridge.check_thread()
        try:
            engine = self.model.engine
        except Cancelled:
            self.check_open()
            raise
        if self._closed:  # while this thread waited for the model
            self.model.close()
            self.check_open()
        return engine

    def check_open(self) -> None:
        if self._closed:
            raise ClosedError(CLOSED)

    @property
    def cache_identity(self) -> str:
        """Identifies the model and, as rounding differs, whether its results are reproducible."""
        return f"{self.model.identity}{' reproducible' if self.model.reproducible else ''}"

    @cached_property
    def library(self) -> Library:
        """The user's templates and the built-in ones."""
        from llmtool.prompts.library import Library

        return Library(user_folders=self.folders.prompt_folders)

    def load_template(self, template: str | Template) -> Template:
        """Return a template's variant for the model; a name or path is loaded from the library.

        Raises:
            TemplateError: the template is not found, or invalid.
        """
        loaded = self.library.load(template).for_model(self.model.name)
        if loaded.lora and self.model.has_given_adapters:
            return msgspec.structs.replace(loaded, lora=())
        return loaded
