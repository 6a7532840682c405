"""Cache replies on disk by model and request."""

from __future__ import annotations

import hashlib

import msgspec

from llmtool.engine.types import Request
from llmtool.tasks.pipeline.disk_cache import DiskCache
from llmtool.tasks.pipeline.prepare import identify_adapters
from llmtool.tasks.pipeline.workflow import StepReply


class ReplyCache(msgspec.Struct, frozen=True):
    """Stores the reply to a request to a model; with `cache` None it stores nothing."""

    cache: DiskCache | None
    model_identity: str

    def load(self, request: Request) -> StepReply | None:
        return None if self.cache is None else self.cache.load(self._key(request), StepReply)

    def save(self, request: Request, reply: StepReply) -> None:
        if self.cache is not None:
            self.cache.try_to_save(self._key(request), reply)

    def _key(self, request: Request) -> str:
        adapters = [*identify_adapters(request.prompt.adapters or ())]
        content = msgspec.json.encode([request.prompt, request.sampling, *adapters])
        return hashlib.sha256(self.model_identity.encode() + content).hexdigest()
