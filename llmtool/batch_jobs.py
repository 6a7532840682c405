"""Batch files of a task: collect the requests of its records, and answer them from results."""

from __future__ import annotations

import hashlib
import math
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from llmtool.batch.readers import Record
from llmtool.batch.request_files import (
    CHAT,
    TEXT,
    FileResult,
    find_results,
)
from llmtool.config import Kind, Settings
from llmtool.engine.intake import AnyRequest
from llmtool.engine.openai import bodies
from llmtool.engine.openai.bodies import check_supported, make_body
from llmtool.engine.openai.capabilities import FEATURES, guess_kind
from llmtool.engine.openai.endpoint import Endpoint, find_endpoint
from llmtool.engine.openai.errors import Fatal, Retryable, read_error, response_error, shorten
from llmtool.engine.openai.replies import ReplyReader
from llmtool.engine.openai.scoring import label_request, label_scores
from llmtool.engine.openai.tokens import estimate
from llmtool.engine.types import (
    DEFAULT_MAX_TOKENS,
    Engine,
    EngineInfo,
    Event,
    Failed,
    Finished,
    Prompt,
    ReasoningSupport,
    Request,
    Sampling,
    ScoreRequest,
    Scores,
    StreamProgress,
    Timings,
    Token,
    Tokenized,
    Usage,
)
from llmtool.errors import (
    InputError,
    LlmtoolError,
    NoResult,
    OutputValidationError,
    ServerError,
    UsageError,
    format_json_error,
    os_error_reason,
)
from llmtool.files import write_atomically
from llmtool.option_names import option
from llmtool.structured.constraint import Constraint
from llmtool.tasks.pipeline.context import NamedModel
from llmtool.tasks.pipeline.ordering import MAX_AHEAD
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.pipeline.records import BatchTask
from llmtool.temporary import TemporaryFile, default_mode

MAX_REQUESTS: Final = 50_000  # of a file, for OpenAI's Batch API
MAX_BYTES: Final = 200_000_000
_VERSION = 1
_SUFFIX = ".batch.json"
_PART = re.compile(r"-\d+$")
_N_CTX = 1 << 20  # unknown, but the server checks it
_POLL_SECONDS = 0.005
_DEFAULTS = Sampling()
_URLS = {bodies.CHAT: CHAT, bodies.TEXT: TEXT}


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed to read the results of a batch file: the command that its requests are from.

    `kind` is the program whose options the requests have. `files` are the names of the batch files,
    in the same folder, and `input` that of a copy of standard input, if the command read it.
    `endpoint` is the name of an endpoint in the settings, or `base_url` its URL, if `-m` named one.
    `n_failed` of `n_records` have an error instead of requests.
    """

    args: list[str]
    model: str
    kind: Kind
    files: list[str]
    n_requests: int
    n_records: int
    n_failed: int = 0
    input: str | None = None
    endpoint: str | None = None
    base_url: str | None = None
    version: int = _VERSION

    @classmethod
    def read(cls, path: str) -> tuple[Job, Path]:
        """Return the job of a batch file, and the path of the job.

        Raises:
            InputError: it has none, or an invalid one.
        """
        found = next((each for each in _job_paths(path) if each.is_file()), None)
        if found is None:
            raise InputError(
                f"{path}: no job of this file; pass one that `llmtool batch create` wrote, beside "
                f"its {_job_paths(path)[0].name}"
            )
        try:
            job = msgspec.json.decode(found.read_bytes(), type=cls)
        except OSError as exc:
            raise InputError(f"cannot read {found}: {os_error_reason(exc)}") from exc
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise InputError(f"{found}: not a job: {format_json_error(exc)}") from exc
        if job.version != _VERSION:
            raise InputError(f"{found}: of another version of llmtool; create the job again")
        return job, found


def job_path(path: str) -> Path:
    """Return the path of the job of a batch file.

    Example:
        >>> job_path("out/job.jsonl").name
        'job.batch.json'
    """
    return Path(path.removesuffix(".jsonl") + _SUFFIX)


def input_path(path: str) -> Path:
    """Return the path of the copy of standard input."""
    return Path(path.removesuffix(".jsonl") + ".input")


def _job_paths(path: str) -> list[Path]:
    """Return the possible paths of the job of a batch file, or of one of its parts."""
    stem = path.removesuffix(".jsonl").removesuffix(_SUFFIX)
    return [job_path(stem), job_path(_PART.sub("", stem))]


class BatchModel(NamedModel, frozen=True, kw_only=True):
    """The model of batch files; its engine collects requests, or answers them from results."""

    kind: Kind
    engine: RequestCollector | ResultEngine

    @property
    def identity(self) -> str:
        return f"batch file:{self.name}"

    def check_options(self, sampling: Mapping[str, Any], constraint: Constraint | None) -> None:
        """Check that the program that will answer has the options that the user gave.

        Raises:
            UsageError: it does not have one.
        """
        check_supported(_endpoint_of(self.kind), FEATURES[self.kind], sampling, constraint)

    @property
    def loaded_engine(self) -> Engine:
        return self.engine


class JobReader(msgspec.Struct, frozen=True, kw_only=True):
    """A job, its path, and the files with its results, which the command reads."""

    job: Job
    path: Path
    results: Sequence[str]
    output: str | None

    @property
    def input(self) -> str | None:
        """The path of the copy of standard input."""
        return None if self.job.input is None else str(self.path.with_name(self.job.input))

    def open_model(self) -> tuple[BatchModel, int]:
        """Return the model whose engine reads the results, and how many lines are not valid.

        Raises:
            InputError: a file cannot be read.
        """
        engine = ResultEngine(self.results, model=self.job.model, kind=self.job.kind)
        model = BatchModel(name=self.job.model, kind=self.job.kind, engine=engine)
        return model, engine.n_invalid


class JobWriter:
    """Writes requests to batch files, which `close` names; until then, they are temporary.

    Args:
        path: the file; if there is more than one, they are `job-1.jsonl` and so on.
        max_requests, max_bytes: of one file.
    """

    def __init__(
        self,
        path: str,
        *,
        kind: Kind | None = None,
        max_requests: int = MAX_REQUESTS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._path, self._kind = path, kind
        self._max_requests, self._max_bytes = max_requests, max_bytes
        self._parts: list[TemporaryFile] = []
        self._n_part = self._size = 0
        self._input: TemporaryFile | None = None
        self._model: BatchModel | None = None
        self._endpoint: Endpoint | None = None
        self._collector = RequestCollector(kind or "other")
        self.n_requests = self.n_records = self.n_failed = 0
        self.first_error: str | None = None
        self.omitted: set[str] = set()  # options that the program does not have

    def open_model(
        self,
        reference: str | None,
        *,
        base_url: str | None,
        settings: Settings,
        environ: Mapping[str, str],
        folder: Path,
    ) -> BatchModel:
        """Return the model that the requests name; nothing is loaded or requested.

        Raises:
            UsageError: no model is named, or an endpoint is invalid.
        """
        remote = find_endpoint(
            reference, base_url=base_url, settings=settings, environ=environ, folder=folder
        )
        name = reference or settings.model if remote is None else remote.model
        if not name:
            raise UsageError(
                f"name the model that will answer, as its server does, with {option('model')}"
            )
        kind = self._kind or (None if remote is None else guess_kind(remote.endpoint)) or "other"
        self._endpoint = None if remote is None else remote.endpoint
        self._collector = RequestCollector(kind)
        self._model = BatchModel(name=name, kind=kind, engine=self._collector)
        return self._model

    def open_input(self) -> TemporaryFile:
        """Return a file for a copy of standard input, which reading the results needs again.

        Raises:
            OSError: it cannot be created.
        """
        self._input = TemporaryFile(input_path(self._path), mode=default_mode())
        return self._input

    def add(self, task: BatchTask, record: Record, case: Case | Failed) -> None:
        """Add the requests of a record that need no earlier reply.

        Raises:
            UsageError: the server cannot do what they need.
            InputError: one is larger than a file may be.
            OSError: the file cannot be written.
        """
        self.n_records += 1
        error, requests = self._collector.collect(task, case)
        if error is not None:
            self.n_failed += 1
            self.first_error = self.first_error or str(error)
        for number, request in enumerate(requests):
            self.write(request, f"{record.index}" if not number else f"{record.index}.{number}")

    def write(self, request: Request, place: str) -> None:
        """Add a request, whose id begins with `place`; raises as `add`."""
        assert self._model is not None
        name, kind = self._model.name, self._model.kind
        digest, url, body = encode_request(request, model=name, kind=kind)
        custom_id = f"{place}-{digest}"
        self.omitted |= _omitted(request.sampling, kind)
        line = msgspec.json.encode(
            {"custom_id": custom_id, "method": "POST", "url": url, "body": msgspec.Raw(body)}
        )
        size = len(line) + 1
        if size > self._max_bytes:
            raise InputError(f"the request has {size:,} bytes, more than a file may have")
        is_full = self._n_part >= self._max_requests or self._size + size > self._max_bytes
        if is_full or not self._parts:
            self._parts.append(TemporaryFile(Path(self._path), mode=default_mode()))
            self._n_part = self._size = 0
        data = memoryview(line + b"\n")
        while data:
            data = data[os.write(self._parts[-1].descriptor, data) :]
        self._n_part, self._size = self._n_part + 1, self._size + size
        self.n_requests += 1

    def close(self, args: list[str]) -> Job:
        """Name the files, and write the job.

        Raises:
            InputError: no record has a request.
            OSError, OutputError: a file cannot be written.
        """
        if not self._parts:
            reason = f"; first error: {self.first_error}" if self.first_error else ""
            raise InputError(f"no record has a request, so nothing was written{reason}")
        assert self._model is not None
        endpoint = self._endpoint
        names = [self._path]
        if len(self._parts) > 1:
            stem = self._path.removesuffix(".jsonl")
            names = [f"{stem}-{number}.jsonl" for number in range(1, len(self._parts) + 1)]
        job = Job(
            args=args,
            model=self._model.name,
            kind=self._model.kind,
            files=[Path(name).name for name in names],
            n_requests=self.n_requests,
            n_records=self.n_records,
            n_failed=self.n_failed,
            endpoint=endpoint.name if endpoint is not None and endpoint.is_named else None,
            base_url=None if endpoint is None or endpoint.is_named else endpoint.base_url,
            input=None if self._input is None else input_path(self._path).name,
        )
        for part, name in zip(self._parts, names, strict=True):
            os.fsync(part.descriptor)
            part.rename(Path(name))
        if self._input is not None:
            os.fsync(self._input.descriptor)
            self._input.rename()
        document = msgspec.json.format(msgspec.json.encode(job), indent=1) + b"\n"
        write_atomically(job_path(self._path), document)
        return job

    def discard(self) -> None:
        """Remove the files that have no name yet."""
        for file in (*self._parts, *([self._input] if self._input else [])):
            file.discard()


def encode_request(request: Request, *, model: str, kind: Kind) -> tuple[str, str, bytes]:
    """Return a hash, the URL and the body of a request in a batch file.

    Its id has the number of the record and the hash, so that a result is used only for a request
    that it answers.

    Raises:
        UsageError: the server cannot do what the request needs.

    Example:
        >>> from llmtool.engine.types import Message, Prompt, Request
        >>> request = Request(prompt=Prompt(messages=(Message("user", "Hi"),)))
        >>> encode_request(request, model="small", kind="other")[:2]
        ('97e2179cc07cd2f0', '/v1/chat/completions')
    """
    seed = request.sampling.seed
    body = make_body(
        request,
        endpoint=_endpoint_of(kind),
        features=FEATURES[kind],
        model=model,
        seed=seed or 0,
        bias=request.sampling.logit_bias,
        stream=False,
    )
    if seed is None:
        body.document.pop("seed", None)
    data = msgspec.json.encode(body.document)
    digest = hashlib.sha256(data).hexdigest()[:16]
    return digest, _URLS[body.path], data


def _endpoint_of(kind: Kind) -> Endpoint:
    return Endpoint(name=f"of {option('kind', kind)}", base_url="")


def _omitted(sampling: Sampling, kind: Kind) -> set[str]:
    """Return the options that are not the defaults, but not sent, and an unsupported constraint."""
    changed = {
        name: value
        for name, value in msgspec.structs.asdict(sampling).items()
        if value != getattr(_DEFAULTS, name)
    }
    found = set(bodies.unsupported_sampling(changed, FEATURES[kind]))
    constraint = sampling.constraint
    if constraint is not None and constraint.kind not in FEATURES[kind].constraints:
        found.add(bodies.CONSTRAINT_OPTIONS[constraint.kind])
    return found


class _FileEngine:
    """What an engine without a model reports; tokens are an estimate."""

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(n_ctx=_N_CTX, n_ctx_train=_N_CTX)

    @property
    def progress(self) -> StreamProgress:
        return StreamProgress()

    @property
    def reasoning_support(self) -> ReasoningSupport:
        return ReasoningSupport()

    def tokenize(self, prompt: Prompt) -> Tokenized:
        return estimate(prompt)

    def check_length(self, n_prompt: int, max_tokens: int | None) -> tuple[int, int]:
        return DEFAULT_MAX_TOKENS if max_tokens is None else max_tokens, _N_CTX

    def save_state(self, prompt: Prompt) -> None: ...

    def close(self) -> None: ...

    def score(self, requests: Iterable[ScoreRequest | Failed | None]) -> Iterator[Scores | Failed]:
        """Yield the scores of each request."""
        return cast("Iterator[Scores | Failed]", self.stream(requests))

    def stream(self, requests: Iterable[AnyRequest | Failed | None]) -> Iterator[Event]:
        """Yield the events of each request; see `Engine.stream`."""
        raise NotImplementedError


class RequestCollector(_FileEngine):
    """Collects the requests of one record after the other, and answers none.

    Labels are scored by the likely tokens of a reply; until then, all are equally likely.
    """

    def __init__(self, kind: Kind) -> None:
        self._features = FEATURES[kind]
        self._requests: list[Request] = []
        self._is_full = False

    def collect(
        self, task: BatchTask, case: Case | Failed
    ) -> tuple[LlmtoolError | None, Sequence[Request]]:
        """Return the error of a record, if it has one, and the requests that need no reply."""
        self._requests, self._is_full = [], False
        error = None
        for event in task.outcomes(self, iter([case])):
            if isinstance(event, Failed) and not isinstance(event.error, NoResult):
                error = event.error
        if self._is_full:
            return InputError(f"the text needs more than {MAX_AHEAD} requests; split it"), ()
        return error, self._requests

    def stream(self, requests: Iterable[AnyRequest | Failed | None]) -> Iterator[Event]:
        """Yield an error for each request when no other follows without its reply."""
        waiting: list[int] = []
        for request in requests:
            if isinstance(request, ScoreRequest):
                self._requests.append(label_request(request, self._features))
                even = (-math.log(len(request.candidates)),)
                yield Scores(
                    id=request.id,
                    logprobs=(even,) * len(request.candidates),
                    usage=Usage(prompt_tokens=1, cached_tokens=0, completion_tokens=0),
                    timings=Timings(prefill_seconds=0.0, decode_seconds=0.0),
                    method="top-k",
                )
            elif isinstance(request, Request):
                self._requests.append(request)
                waiting.append(request.id)
            elif isinstance(request, Failed):
                yield request
            else:
                self._is_full |= len(waiting) >= MAX_AHEAD
                yield from map(_unanswered, waiting)
                waiting.clear()
        yield from map(_unanswered, waiting)


def _unanswered(id: int) -> Failed:
    return Failed(id, NoResult("the request has no result yet"))


class ResultEngine(_FileEngine):
    """Answers requests from files of results, in any order and of any program.

    A request without a result fails, as does one whose result is an error, a refusal or invalid.

    Args:
        paths: files of results and of errors. If a request has several results, the first response
            without an error counts.

    Raises:
        InputError: a file cannot be read.
    """

    def __init__(self, paths: Sequence[str], *, model: str, kind: Kind) -> None:
        self._paths, self._model, self._kind = paths, model, kind
        self._found = find_results(paths)
        self.n_invalid = self._found.n_invalid

    @cached_property
    def _by_digest(self) -> dict[str, str]:
        """The ids of the results by the hash of the request."""
        return {each.rpartition("-")[2]: each for each in reversed(self._found.places)}

    @cached_property
    def _numbers(self) -> set[str]:
        """The numbers of the records that have a result of any request."""
        return {custom_id.partition("-")[0] for custom_id in self._found.places}

    def stream(self, requests: Iterable[AnyRequest | Failed | None]) -> Iterator[Event]:
        """Yield the events of each request; see `Engine.stream`."""
        for request in requests:
            if request is None:
                time.sleep(_POLL_SECONDS)
            elif isinstance(request, Failed):
                yield request
            else:
                try:
                    if isinstance(request, ScoreRequest):
                        yield self._score(request)
                    else:
                        yield from self._answer(request)
                except (Retryable, Fatal) as exc:
                    yield Failed(request.id, exc.error)
                except LlmtoolError as exc:
                    yield Failed(request.id, exc)

    def _score(self, request: ScoreRequest) -> Scores:
        """Return scores by the likely tokens of a result; raises as `_answer`."""
        *tokens, end = self._answer(label_request(request, FEATURES[self._kind]))
        assert isinstance(end, Finished)
        found = [each for each in tokens if isinstance(each, Token)]
        return label_scores(request, found, end, Endpoint(name="the result", base_url=""))

    def _answer(self, request: Request) -> list[Event]:
        """Return the events of a result.

        Raises:
            LlmtoolError, Retryable, Fatal: there is none, or it is an error.
        """
        digest, _, _ = encode_request(request, model=self._model, kind=self._kind)
        custom_id = f"{request.id}-{digest}"
        if custom_id not in self._found.places:  # a task may number its requests itself
            custom_id = self._by_digest.get(digest, custom_id)
        result = self._found.read(custom_id)
        if result is None:
            problem = "it is missing in the files"
            if custom_id.partition("-")[0] in self._numbers:
                problem = "the input, template or an option has changed since `batch create`"
            raise NoResult(f"no result of request {custom_id}: {problem}")
        endpoint = Endpoint(name=self._found.name(custom_id), base_url="")
        _check(result, endpoint, self._model)
        assert result.response is not None
        body = bytes(result.response.body)
        if refusal := _refusal(body):
            raise OutputValidationError(f"the model refused: {shorten(refusal)}")
        reader = ReplyReader(
            request,
            endpoint=endpoint,
            model=self._model,
            seed=_seed(request),
            repeats_prefill=FEATURES[self._kind].prefill in ("", "repeat"),
        )
        events: list[Event] = [*reader.add(body)]
        if not reader.is_complete or reader.n_missing:
            raise ServerError(f"{endpoint.name}: the result of request {custom_id} is incomplete")
        return events + reader.finish()


def _seed(request: Request) -> int:
    return request.sampling.seed or 0


def _check(result: FileResult, endpoint: Endpoint, model: str) -> None:
    """Check that a result is not an error.

    Raises:
        LlmtoolError, Retryable, Fatal: it is one.
    """
    response = result.response
    if response is None:
        message, _ = read_error(msgspec.json.encode({"error": result.error}))
        raise ServerError(f"{endpoint.name}: the request was not run: {shorten(message)}")
    if response.status_code != 200 or result.error:
        body = bytes(response.body)
        if not read_error(body)[0]:
            error: Any = result.error  # as vLLM has it
            is_nested = isinstance(error, dict) and "error" in error
            body = msgspec.json.encode(error if is_nested else {"error": error})
        status = response.status_code if response.status_code != 200 else 500
        raise response_error(endpoint, status, body, {}, model=model, path="")


class _Refused(msgspec.Struct):
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Refused | None = None


class _Choices(msgspec.Struct):
    choices: list[_Choice] = []


_refusal_decoder = msgspec.json.Decoder(_Choices)


def _refusal(body: bytes) -> str:
    try:
        choices = _refusal_decoder.decode(body).choices
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""  # reported by the reader
    return next((each.message.refusal for each in choices if each.message and each.message.refusal),
                "")  # fmt: skip
