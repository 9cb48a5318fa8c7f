"""What PostgreSQL does with rows, as pure functions of a state: locks, commits, snapshots."""

from collections.abc import Collection, Sequence

from model.state import GONE, INSTANCE, Change, Instance, Lane, Node, Rules, Run, State


def locked(state: State, row: int) -> bool:
    """Whether an open transaction has written a row: other writers wait for it, or skip it."""
    if state.user is not None and row < state.user:
        return True
    if row == INSTANCE and "woken" in state.senders:
        return True
    return any(
        row in [change.node for change in lane.plan[: lane.done]]
        or (row == INSTANCE and lane.finishes and lane.phase in ("recording", "recorded"))
        for lane in state.lanes
    )


def accepts(node: Node, change: Change, rules: Rules) -> bool:
    """The conditions of df._record and df._iterate on a row as it is now."""
    if not node.open_in(change.generation, rules):
        return False
    begun = change.status == "iterated" and node.iteration >= change.iteration
    return not (begun and rules.loops_only_go_on)


def written(node: Node, change: Change) -> Node:
    """The row after the update."""
    if change.status == "stopped":
        return node._replace(stopped=change.generation)
    status = "running" if change.status == "iterated" else change.status
    iteration = change.iteration or node.iteration
    return node._replace(status=status, generation=change.generation, iteration=iteration)


def apply(nodes: tuple[Node, ...], plan: Sequence[Change]) -> tuple[Node, ...]:
    """The rows after all of a plan."""
    rows = list(nodes)
    for change in plan:
        rows[change.node] = written(rows[change.node], change)
    return tuple(rows)


def committed(state: State, nodes: tuple[Node, ...], instance: Instance | None = None) -> State:
    """The state with these rows committed. Whoever has an older snapshot keeps that in mind."""
    rows = {n for n, row in enumerate(nodes) if row != state.nodes[n]}
    workers = state.workers
    if instance is not None:
        rows.add(INSTANCE)
        # What is due anew is due later than the statement of a claim under way began.
        workers = tuple(worker._replace(claiming=None) for worker in workers)
        state = state._replace(instance=instance)
    lanes = tuple(
        lane._replace(old=lane.old | rows) if lane.old_snapshot else lane for lane in state.lanes
    )
    return state._replace(nodes=nodes, workers=workers, lanes=lanes)


def with_lane(state: State, lane: Lane | None, after: Lane | None) -> State:
    """The state with a transaction gone further; from None: it begins; to None: it is over."""
    lanes = [other for other in state.lanes if other is not lane]
    if after is not None and not (after.client is None and after.phase in ("committed", "refused")):
        lanes.append(after)
    return state._replace(lanes=_sorted(lanes))


def with_run(state: State, index: int, run: Run | None) -> State:
    """The state with a worker driving this run."""
    workers = list(state.workers)
    workers[index] = workers[index]._replace(run=run, claiming=None)
    return state._replace(workers=tuple(workers))


def detached(state: State, index: int, nodes: Collection[int] | None = None) -> State:
    """A worker closes its sessions, of these nodes or all: what it has sent may still commit."""
    lanes = [
        lane._replace(client=None)
        if lane.client == index and (nodes is None or lane.leaf[0] in nodes)
        else lane
        for lane in state.lanes
    ]
    kept = [x for x in lanes if x.client is not None or x.phase not in ("committed", "refused")]
    return state._replace(lanes=_sorted(kept))


def restarted(state: State, number: int) -> State:
    """A worker is gone with all that it knew, and another has come, with a number of its own."""
    for index, worker in enumerate(state.workers):
        if worker.number == number:
            state = with_run(detached(state, index), index, None)
    lanes = [x._replace(number=GONE) if x.number == number else x for x in state.lanes]
    instance = state.instance
    if instance.worker == number:
        instance = instance._replace(worker=GONE)
    return state._replace(lanes=_sorted(lanes), instance=instance, living=state.living | {number})


def _sorted(lanes: Collection[Lane]) -> tuple[Lane, ...]:
    """Which session a transaction has makes no difference, so there are fewer states."""
    return tuple(sorted(lanes, key=_order)) if len(lanes) > 1 else tuple(lanes)


def _order(lane: Lane) -> tuple[object, ...]:
    client = GONE if lane.client is None else lane.client
    return lane.leaf, lane.number, client, lane.phase, lane.done, lane.saw_claim, sorted(lane.old)
