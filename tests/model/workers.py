"""What workers do: claim, run steps, save, let go, take over.

A worker that is frozen, or slow, is one that does not act: so leases that expire while it lives
need nothing but the fault `its lease expires`.
"""

from collections.abc import Iterator

from model.explorer import Action, Kind
from model.rows import (
    accepts,
    apply,
    committed,
    detached,
    locked,
    restarted,
    with_lane,
    with_run,
    written,
)
from model.state import INSTANCE, Change, Instance, Lane, Node, Rules, Run, Setting, State
from model.workflows import Workflow


def claim(state: State, index: int, setting: Setting) -> Iterator[Action]:
    """df._claim: what is due, FOR NO KEY UPDATE SKIP LOCKED, with its nodes."""
    worker = state.workers[index]
    if worker.run is not None or state.instance.due != "now" or state.over:
        return
    if setting.old_snapshots and worker.claiming is None:
        workers = list(state.workers)
        workers[index] = worker._replace(claiming=state.nodes)
        words = f"{_who(index)} begins df._claim: its snapshot is taken"
        yield Action(words, Kind.STEP, state._replace(workers=tuple(workers)))
    elif not locked(state, INSTANCE):
        seen = state.nodes if worker.claiming is None else worker.claiming
        after = committed(state, state.nodes, Instance(state.instance.status, worker.number, None))
        words = f"{_who(index)} claims: df._claim"
        yield Action(words, Kind.STEP, with_run(after, index, Run(seen)))


def drive(
    state: State, index: int, run: Run, workflow: Workflow, setting: Setting, rules: Rules
) -> Iterator[Action]:
    """What a worker does with an instance that it believes to hold."""
    number = state.workers[index].number
    if state.instance.worker != number:
        words = f"{_who(index)} learns that the claim is lost: df._lost"
        yield Action(words, Kind.STEP, with_run(detached(state, index), index, None))
    if run.letting_go:
        words = f"{_who(index)} lets go: df._save, release"
        yield from save(state, index, (), "release", words, rules)
        return
    mine = [lane for lane in state.lanes if lane.client == index]
    for lane in mine:
        if lane.phase == "statement":
            yield from _send(state, index, run, lane, workflow, rules)
        elif lane.phase in ("committed", "refused"):
            yield _hear(state, index, run, lane, workflow)
    leaves = workflow.leaves(run.nodes)
    under_way = {lane.leaf for lane in mine}
    for leaf in leaves:
        if leaf[0] not in workflow.steps:
            continue  # a wait
        early = rules.steps_wait and under_way & workflow.needs(leaf)
        if len(state.lanes) < setting.lanes and leaf not in under_way and not early:
            lane = Lane(number, index, leaf, old_snapshot=setting.repeatable_read)
            if setting.told_apart:
                taken = {other.session for other in state.lanes}
                lane = lane._replace(session=min({*range(setting.lanes)} - taken))
            if setting.repeatable_read:
                lane = lane._replace(saw_claim=state.instance.worker == number)
            words = f"{_who(index)} begins {workflow.title(leaf)}: BEGIN, the statement"
            yield Action(words, Kind.STEP, with_lane(state, None, lane))
    if not leaves and not mine and not run.used:
        words = f"{_who(index)} records what is left: df._save, completed"
        yield from save(state, index, workflow.rest(run.nodes), "completed", words, rules)


def _send(
    state: State, index: int, run: Run, lane: Lane, workflow: Workflow, rules: Rules
) -> Iterator[Action]:
    """The second flush, with what is settled at this moment."""
    if rules.lease_is_trusted and lane.number not in state.living:
        return
    committing = any(x.client == index and x.phase != "statement" for x in state.lanes)
    settled = workflow.settle(run.nodes, lane.leaf, not (committing and rules.joins_wait))
    sent = lane._replace(phase="sent", plan=settled.plan, finishes=settled.finishes)
    after = with_lane(state, lane, sent)
    after = detached(after, index, workflow.losers(lane.leaf[0]))
    after = with_run(after, index, run._replace(nodes=apply(run.nodes, settled.plan)))
    words = f"{_who(index)} sends df._checkpoint of {workflow.title(lane.leaf)}, and COMMIT"
    yield Action(words, Kind.STEP, after)


def _hear(state: State, index: int, run: Run, lane: Lane, workflow: Workflow) -> Action:
    """The answer to the second flush."""
    after = with_lane(state, lane, None)
    step = workflow.title(lane.leaf)
    if lane.phase == "committed":
        after = with_run(after, index, None if lane.finishes else run)
        return Action(f"{_who(index)} hears that {step} is committed", Kind.STEP, after)
    after = with_run(detached(after, index), index, run._replace(letting_go=True))
    return Action(f"{_who(index)} hears that {step} is refused: WF002", Kind.STEP, after)


def save(
    state: State,
    index: int,
    changes: tuple[Change, ...],
    then: str | None,
    words: str,
    rules: Rules,
) -> Iterator[Action]:
    """df._save, in one transaction: refused as a whole without the claim, else row by row."""
    run, number = state.workers[index].run, state.workers[index].number
    assert run is not None
    if locked(state, INSTANCE) or any(locked(state, change.node) for change in changes):
        return  # busy: tried again
    if then == "park" and rules.parking_excludes_senders and state.sending:
        return  # busy likewise: parking takes the row FOR UPDATE
    if state.instance.worker != number and rules.save_needs_claim:
        after = with_run(detached(state, index), index, None)
        yield Action(f"{words}: lost", Kind.STEP, after)
        return
    nodes, signals, received, violation = list(state.nodes), state.signals, state.received, ""
    for change in changes:
        accepted = accepts(nodes[change.node], change, rules)
        if accepted:
            nodes[change.node] = written(nodes[change.node], change)
        if change.signal is not None:
            if accepted:
                violation = "a signal was received twice" if change.signal in received else ""
                received |= {change.signal}
            if rules.signal_goes_with_row and (accepted or not rules.signal_needs_row):
                signals -= {change.signal}
            if change.signal not in signals | received:
                violation = "a signal is gone, and no wait has received it"
    instance = _let_go(state, then, tuple(nodes), signals)
    if instance is not None and state.over:
        violation = f"an instance that was {state.instance.status} has been changed"
    after = committed(state, tuple(nodes), instance)
    used = None if rules.signal_goes_with_row else run.signal
    kept = None if then else Run(apply(run.nodes, changes), used=used)
    after = with_run(detached(after, index) if then else after, index, kept)
    after = after._replace(signals=signals, received=received, violation=violation)
    yield Action(words, Kind.STEP, after)


def _let_go(
    state: State, then: str | None, nodes: tuple[Node, ...], signals: frozenset[int]
) -> Instance | None:
    if then == "park":
        waiting = any(node.status == "running" for node in nodes)
        return Instance("running", None, "parked" if waiting and not signals else "now")
    if then == "release":
        return Instance(state.instance.status, None, "now")
    if then == "completed":
        return Instance("completed", None, None)
    if state.instance.status == "pending":
        return state.instance._replace(status="running")
    return None


def leases(state: State, setting: Setting) -> Iterator[Action]:
    """df._take_over, df._heartbeat; and what may happen to workers and to the server."""
    holder = state.instance.worker
    lost = holder is not None and holder not in state.living
    due = committed(state, state.nodes, state.instance._replace(worker=None, due="now"))
    if lost and not locked(state, INSTANCE):
        yield Action("df._take_over: what a dead worker held is due", Kind.STEP, due)
    for number in sorted(set(setting.numbers)):
        name = f"worker {setting.numbers.index(number) + 1}"
        if number in state.living:
            after = state
            if (lost or holder == number) and not locked(state, INSTANCE):
                after = due
            after = after._replace(living=after.living - {number})
            yield Action(f"the lease of {name} expires: df._take_over", Kind.FAULT, after)
        else:
            words = f"df._heartbeat tells {name} that it is dead: it begins anew"
            yield Action(words, Kind.STEP, restarted(state, number))
        yield Action(f"{name} is killed, and started", Kind.FAULT, restarted(state, number))
    for lane in state.lanes:
        yield from _lose(state, lane)


def _lose(state: State, lane: Lane) -> Iterator[Action]:
    """The session of a step ends, or its answer is lost: the worker cannot tell which."""
    index = lane.client
    for dies in (True, False):
        if dies and lane.phase in ("committed", "refused"):
            continue
        after = with_lane(state, lane, None if dies else lane._replace(client=None))
        if index is not None:
            run = state.workers[index].run
            assert run is not None
            after = with_run(detached(after, index), index, run._replace(letting_go=True))
        elif not dies:
            continue
        what = "backend is terminated" if dies else "connection is lost"
        yield Action(f"a {what}: node {lane.leaf[0]} of {lane.owner}", Kind.FAULT, after)


def _who(index: int) -> str:
    return f"worker {index + 1}"
