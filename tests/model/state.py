"""The rows, transactions and workers of the model, and the conditions that SQL puts on rows."""

from typing import NamedTuple

FOR_EVER = 99  # what df.cancel writes into stopped_through
GONE = -1  # the number of a worker that is registered no more, and never will be again
NOBODY = None


class Rules(NamedTuple):
    """What the protocol insists on. Each is true in the code; a mutation takes one of them out."""

    row_decides: bool = True  # df._record: the node must not be terminal in the generation
    stopped_counts: bool = True  # df._record: nor stopped in it
    claim_counts: bool = True  # df._checkpoint: the instance must be claimed by this worker
    save_needs_claim: bool = True  # df._save: likewise
    rows_are_locked: bool = True  # what was looked at is looked at again when its lock is had
    steps_wait: bool = True  # Chain: a step begins when the commit before it has landed
    joins_wait: bool = True  # Ledger: no JOIN is recorded while a branch's commit may fail
    loops_only_go_on: bool = True  # df._iterate: an iteration's number is never used again
    signal_goes_with_row: bool = True  # df._record: the signal vanishes in the wait's commit,
    signal_needs_row: bool = True  # and only if the wait's row was written
    parking_excludes_senders: bool = True  # df._save: FOR UPDATE waits for KEY SHARE
    lease_is_trusted: bool = False  # a worker whose lease holds needs no other condition


class Setting(NamedTuple):
    """How large the world is, and what may happen in it."""

    numbers: tuple[int, ...] = (0, 1)  # of each worker; the same twice: two runs of one worker
    lanes: int = 2  # transactions of steps at a time
    told_apart: bool = False  # these have numbers: which one it is makes a difference
    repeatable_read: bool = False  # the submitting role's default isolation
    old_snapshots: bool = False  # a claim may read nodes as they were when it began
    cancels: bool = False  # the user may cancel
    senders: int = 0  # signals that are sent, each in a transaction of its own
    timeouts: bool = False  # waits for signals may end by themselves


class Instance(NamedTuple):
    """The row in df.instances."""

    status: str = "pending"
    worker: int | None = NOBODY
    due: str | None = "now"  # 'parked': not before a signal comes


class Node(NamedTuple):
    """A row in df.nodes."""

    status: str = "pending"
    generation: int = 1
    stopped: int = 0  # stopped_through
    iteration: int = 0  # of a LOOP

    def open_in(self, generation: int, rules: Rules) -> bool:
        """The condition of df._record: may a row of this generation be written?"""
        stopped = rules.stopped_counts and self.stopped >= generation
        terminal = self.generation > generation or (
            self.generation == generation and self.status not in ("pending", "running")
        )
        return not stopped and not (rules.row_decides and terminal)


Leaf = tuple[int, int]  # node, generation


class Change(NamedTuple):
    """One of the rows that a commit writes."""

    node: int
    status: str  # completed, stopped, iterated
    generation: int = 1
    iteration: int = 0
    signal: int | None = None


class Lane(NamedTuple):
    """The transaction of a step, as the server sees it: once sent, it needs no worker."""

    number: int  # the worker that the checkpoint names
    client: int | None  # whose answer it is; None: nobody's, the connection is lost
    leaf: Leaf
    phase: str = "statement"  # then sent, recording, recorded, committed or refused
    plan: tuple[Change, ...] = ()
    finishes: bool = False
    done: int = 0  # rows of the plan that are written, and locked
    session: int = 0
    old_snapshot: bool = False  # REPEATABLE READ: one for the whole transaction,
    saw_claim: bool = True  # what it says of the claim,
    old: frozenset[int] = frozenset()  # and which rows have changed since

    @property
    def owner(self) -> str:
        """In words."""
        return "a dead worker" if self.number == GONE else f"number {self.number + 1}"


class Run(NamedTuple):
    """What a worker believes of the instance while it drives it."""

    nodes: tuple[Node, ...]
    letting_go: bool = False
    signal: int | None = None  # taken for the wait under way, not recorded yet
    used: int | None = None  # recorded, and still to be deleted: only where a rule is taken out


class Worker(NamedTuple):
    """A worker, or one of its runs. What is frozen just does not act for a while."""

    number: int
    run: Run | None = None
    claiming: tuple[Node, ...] | None = None  # a claim has begun: what it has seen of the nodes


class State(NamedTuple):
    """All of it. Rows are as committed; `lanes`, `user` and `senders` are open transactions."""

    instance: Instance
    nodes: tuple[Node, ...]
    workers: tuple[Worker, ...]
    living: frozenset[int]  # workers in df._worker_epoch
    lanes: tuple[Lane, ...] = ()
    effects: frozenset[Leaf] = frozenset()  # steps whose statements have committed
    user: int | None = None  # rows that df.cancel has locked; None: it was not called
    senders: tuple[str, ...] = ()  # idle, sent, told or woken, committed or ignored
    signals: frozenset[int] = frozenset()  # committed rows of df._signals
    received: frozenset[int] = frozenset()  # signals that a wait has recorded
    violation: str = ""

    @property
    def ended(self) -> bool:
        """Whether the instance has ended, with no transaction open."""
        return self.over and not self.lanes and self.user is None

    @property
    def summary(self) -> str:
        """What is committed, in short."""
        rows = ", ".join(f"{node.status} ({node.generation})" for node in self.nodes)
        return f"the instance is {self.instance.status}, its nodes are {rows}"

    @property
    def sending(self) -> bool:
        """Whether a sender holds the instance's row FOR KEY SHARE."""
        return any(phase in ("sent", "told", "woken") for phase in self.senders)

    @property
    def over(self) -> bool:
        """Whether the instance's row says so."""
        return self.instance.status not in ("pending", "running")


INSTANCE = -1  # the instance's row, among the numbers of nodes
