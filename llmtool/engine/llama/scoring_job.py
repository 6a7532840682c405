"""A request for log-probabilities: computes the tokens that candidates share only once.

The candidates form a tree of tokens that continues the prompt. A chain without branches is one run
of tokens in one sequence; at a branch, the sequence is copied. Sequences are never truncated, so
this works with every kind of memory.
"""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Iterator, Sequence

from llmtool.engine.llama.job import PrefixMatch, TokenRun
from llmtool.engine.llama.loaded_model import LoadedModel
from llmtool.engine.llama.sequences import Sequences
from llmtool.engine.types import ScoreRequest, Scores, Timings, Usage
from llmtool.errors import UsageError

MAX_BRANCHES = 16  # sequences of one request; more candidates run in groups


class Node:
    """A token of the tree. `needs_row` is true if the logits after it are used."""

    __slots__ = ("children", "ends", "logprob", "logprob_of_end", "token")

    def __init__(self, token: int) -> None:
        self.token = token
        self.children: dict[int, Node] = {}
        self.logprob = self.logprob_of_end = math.nan
        self.ends = False

    @property
    def needs_row(self) -> bool:
        return bool(self.children) or self.ends

    @property
    def inner(self) -> list[Node]:
        """The children that must be computed."""
        return [child for child in self.children.values() if child.needs_row]

    def needed(self) -> Iterator[Node]:
        """Yield the nodes below this one that must be computed."""
        below = self.inner
        while below:
            node = below.pop()
            yield node
            below += node.inner

    @property
    def n_branches(self) -> int:
        return max(1, sum(not node.inner for node in self.needed()))

    @property
    def n_tokens(self) -> int:
        return sum(1 for _ in self.needed())


def make_tree(candidates: Sequence[Sequence[int]], *, end: bool) -> Node:
    """Return the root of the tree of all candidates, each of shape (n_tokens,)."""
    root = Node(-1)
    for tokens in candidates:
        node = root
        for token in tokens:
            node = node.children.setdefault(token, Node(token))
        node.ends = node.ends or end
    return root


class ScoringJob:
    """A `Job` that computes the probabilities of its candidates.

    Raises:
        LlmtoolError: the prompt does not fit, or a candidate is empty.
    """

    n_outputs = 64
    n_choices = 1
    can_share_prefix = True
    keep = is_waiting = can_use_own_stream = False

    def __init__(self, model: LoadedModel, request: ScoreRequest) -> None:
        self.id, self.request, self._model = request.id, request, model
        self.cancellation = request.cancellation
        prompt = model.tokenizer.tokenize(request.prompt)
        self.ids, self.n_fixed = prompt.token_ids, prompt.n_fixed
        self._candidates = [model.tokenizer.continuation(text) for text in request.candidates]
        if not all(self._candidates):
            raise UsageError("a candidate is empty")
        self.adapters = model.select_adapters(request.prompt)
        self.key: Hashable = self.adapters.key
        self._groups = self._make_groups()
        self._roots = [make_tree(group, end=request.end) for group in self._groups]
        self.n_cells = max(root.n_tokens for root in self._roots)
        model.check_length(len(self.ids), max(map(len, self._candidates)))
        n_branches = max(root.n_branches for root in self._roots)
        self.n_seq = n_branches + (len(self._roots) > 1)
        self.runs: list[TokenRun] = []
        self._logprobs: dict[tuple[int, ...], tuple[float, ...]] = {}
        self._chains: dict[TokenRun, list[Node]] = {}
        self._spare: list[int] = []
        self._parked: list[int] = []

    def _make_groups(self) -> list[list[tuple[int, ...]]]:
        # Sorted, so that candidates with a common prefix are in one group.
        ordered = sorted(set(self._candidates))
        tree = make_tree(ordered, end=self.request.end)
        if tree.n_branches <= MAX_BRANCHES:
            return [ordered]
        return [ordered[i : i + MAX_BRANCHES] for i in range(0, len(ordered), MAX_BRANCHES)]

    @property
    def reply_lengths(self) -> Iterator[tuple[int, int]]:
        return iter(())

    def reuse_cached_tokens(self, histories: Sequence[Sequence[int]]) -> None:
        """Do nothing, as scoring jobs never have `keep`."""

    def start(self, sequences: Sequences, match: PrefixMatch) -> None:
        n_cells = len(self.ids) + self.n_cells  # of all sequences together
        seq, shared = sequences.begin(match.source, match.n_tokens, n_cells=n_cells)
        self.sequences, self._cached = sequences, min(shared, match.n_cached)
        self._prefill_started_at = self._prefilled_at = match.started_at
        self._spare = [sequences.acquire() for _ in range(self.n_seq - 1)]
        self.runs = [TokenRun(self.ids[shared:], seq=seq, pos=shared)]

    def resume(self) -> Iterator[Scores]:
        return iter(())

    def receive(self, run: TokenRun, rows: range) -> Iterator[Scores]:
        self._process_rows(run, rows)
        while not self.runs and self._roots:
            self._collect(self._roots.pop(0), self._groups.pop(0))
            if self._roots:
                self._branch(self._roots[0], self._prompt_seq, len(self.ids), keep=True)
        if not self.runs:
            self.stop()
            yield self._scores()

    def draft(self, run: TokenRun, *, n_running: int) -> None:
        """Return None, as the tokens of scoring jobs are known."""

    def stop(self) -> None:
        for seq in [*self._spare, *(run.seq for run in self.runs), *self._parked]:
            self.sequences.free(seq)
        self.runs, self._chains, self._spare, self._parked = [], {}, [], []

    def _process_rows(self, run: TokenRun, rows: range) -> None:
        chain = self._chains.pop(run, None)
        if chain is None:
            self._prefilled_at = time.perf_counter()
            self.runs.remove(run)
            self._read(self._roots, rows[0])
            keep = len(self._roots) > 1
            if keep:
                self._prompt_seq = run.seq
                self._parked = [run.seq]
            self._branch(self._roots[0], run.seq, len(self.ids), keep=keep)
            return
        for node, row in zip(chain[run.at - len(rows) : run.at], rows, strict=True):
            self._read([node], row)
        if run.at < len(run.tokens):
            self._chains[run] = chain
            return
        self.runs.remove(run)
        self._branch(chain[-1], run.seq, run.pos + len(chain))

    def _branch(self, node: Node, seq: int, pos: int, *, keep: bool = False) -> None:
        """Start a run for each child that must be computed, the first in the node's sequence."""
        sequences = [] if keep else [seq]
        for child in node.inner:
            if not sequences:
                sequences.append(self._spare.pop())
                self.sequences.context.copy(seq, sequences[0])
            chain = [child]
            while len(chain[-1].inner) == 1:
                chain += chain[-1].inner
            tokens = tuple(each.token for each in chain)
            run = TokenRun(tokens, seq=sequences.pop(), pos=pos, every=True)
            self.runs.append(run)
            self._chains[run] = chain
        for idle in sequences:
            self.sequences.context.drop(idle)
            self._spare.append(idle)

    def _read(self, nodes: Sequence[Node], row: int) -> None:
        """Read the probabilities of the children of nodes from their common row."""
        softmax = self._model.softmax
        softmax.read(self.sequences.context, row)
        turn_end = self._model.find_turn_end(self.request.prompt)
        ends = {*self._model.weights.end_tokens, *([] if turn_end is None else [turn_end])}
        for node in nodes:
            children = list(node.children.values())
            for child, logprob in zip(children, softmax.of(node.children), strict=True):
                child.logprob = logprob
            if node.ends:
                total = math.fsum(map(math.exp, softmax.of(ends)))
                node.logprob_of_end = math.log(total) if total else -math.inf

    def _collect(self, root: Node, group: list[tuple[int, ...]]) -> None:
        for tokens in group:
            node, path = root, []
            for token in tokens:
                node = node.children[token]
                path.append(node.logprob)
            self._logprobs[tokens] = (*path, node.logprob_of_end) if node.ends else tuple(path)

    def _scores(self) -> Scores:
        computed = sum(len(each) for each in self._candidates)
        return Scores(
            id=self.id,
            logprobs=tuple(self._logprobs[each] for each in self._candidates),
            usage=Usage(
                prompt_tokens=len(self.ids),
                cached_tokens=self._cached,
                completion_tokens=computed,
            ),
            timings=Timings(
                prefill_seconds=self._prefilled_at - self._prefill_started_at,
                decode_seconds=time.perf_counter() - self._prefilled_at,
                first_token_at=self._prefilled_at,
            ),
        )
