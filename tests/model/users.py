"""What users do with an instance, df.cancel and df.signal, and how a worker waits for signals."""

from collections.abc import Iterator

from model.explorer import Action, Kind
from model.rows import committed, locked, with_run
from model.state import FOR_EVER, INSTANCE, Change, Instance, Rules, Run, Setting, State
from model.workers import save
from model.workflows import TwoSignals, Workflow


def cancel(state: State, workflow: Workflow) -> Iterator[Action]:
    """df.cancel: the instance's row first, then every node's, deeper ones first; then COMMIT."""
    if state.user is not None:
        words = "df.cancel is rolled back: its session has ended"
        yield Action(words, Kind.FAULT, state._replace(user=None))
    if state.user is None:
        if not state.over and not locked(state, INSTANCE):
            words = "df.cancel locks the instance, and marks it cancelled"
            yield Action(words, Kind.FAULT, state._replace(user=0))
    elif state.user < len(workflow.names):
        if not locked(state, state.user):
            words = f"df.cancel stops {workflow.names[state.user]}"
            yield Action(words, Kind.STEP, state._replace(user=state.user + 1))
    else:
        nodes = tuple(node._replace(stopped=FOR_EVER) for node in state.nodes)
        after = committed(state._replace(user=None), nodes, Instance("cancelled", None, None))
        after = after._replace(signals=frozenset())
        yield Action("COMMIT of df.cancel", Kind.STEP, after)


def wait(
    state: State, index: int, run: Run, workflow: Workflow, setting: Setting, rules: Rules
) -> Iterator[Action]:
    """A worker's way with waits: look for signals, register, park; record what came of them."""
    waits = [leaf for leaf in workflow.leaves(run.nodes) if leaf[0] not in workflow.steps]
    under_way = any(lane.client == index for lane in state.lanes)
    if not waits or run.letting_go or under_way:
        return
    who, leaf = f"worker {index + 1}", waits[0]
    title, plan = workflow.title(leaf), workflow.settle(run.nodes, leaf, True).plan
    if not isinstance(workflow, TwoSignals):
        yield from save(state, index, plan, None, f"{who} records {title}: df._save", rules)
        return
    if run.used is not None:
        after = state._replace(signals=state.signals - {run.used})
        after = with_run(after, index, run._replace(used=None))
        yield Action(f"{who} deletes signal {run.used}", Kind.STEP, after)
        return
    if run.signal is not None:
        taken = (plan[0]._replace(signal=run.signal), *plan[1:])
        words = f"{who} records that {title} has received signal {run.signal}: df._save"
        yield from save(state, index, taken, None, words, rules)
        return
    for signal in sorted(state.signals)[:1]:
        words = f"{who} finds signal {signal} for {title}: df._pending_signals"
        yield Action(words, Kind.STEP, with_run(state, index, run._replace(signal=signal)))
    if run.nodes[leaf[0]].status == "pending":
        if not state.signals:
            begin = (Change(leaf[0], "running"),)
            words = f"{who} registers {title}: df._begin_waits"
            yield from save(state, index, begin, None, words, rules)
        return
    yield from save(state, index, (), "park", f"{who} parks the instance: df._save", rules)
    if setting.timeouts and leaf[0] == 0:
        words = f"{who} records that the time of {title} is over: df._save"
        yield from save(state, index, plan, None, words, rules)


def send_signals(state: State, rules: Rules) -> Iterator[Action]:
    """df.signal, each in a transaction of its own: KEY SHARE and the row; wake; COMMIT."""
    for number, phase in enumerate(state.senders):
        who = f"df.signal {number}"
        if phase in ("sent", "told", "woken"):
            words = f"{who} is rolled back: its session has ended"
            yield Action(words, Kind.FAULT, _with_sender(state, number, "idle"))
        if phase == "idle":
            sent = _with_sender(state, number, "ignored" if state.over else "sent")
            words = f"{who}: locks the instance's row FOR KEY SHARE, inserts the signal"
            yield Action(words, Kind.STEP, sent)
        elif phase == "sent":
            waiting = any(node.status == "running" for node in state.nodes)
            wakes = state.instance.due == "parked" and waiting
            if not wakes:
                words = f"{who}: nothing is parked and waits for it, so it notifies"
                yield Action(words, Kind.STEP, _with_sender(state, number, "told"))
            elif not locked(state, INSTANCE):
                words = f"{who}: makes the parked instance due"
                yield Action(words, Kind.STEP, _with_sender(state, number, "woken"))
        elif phase in ("told", "woken"):
            after = _with_sender(state, number, "committed")
            after = after._replace(signals=state.signals | {number})
            if phase == "woken":
                after = committed(after, state.nodes, state.instance._replace(due="now"))
            yield Action(f"COMMIT of {who}", Kind.STEP, after)


def _with_sender(state: State, number: int, phase: str) -> State:
    senders = list(state.senders)
    senders[number] = phase
    return state._replace(senders=tuple(senders))
