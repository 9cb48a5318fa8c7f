"""The server's side of a step: df._checkpoint and COMMIT, a row at a time."""

from collections.abc import Iterator

from model.explorer import Action, Kind
from model.rows import accepts, apply, committed, locked, with_lane
from model.state import INSTANCE, Lane, Rules, State
from model.workflows import Workflow


def serve(state: State, lane: Lane, workflow: Workflow, rules: Rules) -> Iterator[Action]:
    """What the transaction of a step does next. Once sent, it needs nobody's help."""
    step = workflow.title(lane.leaf)
    if lane.phase == "statement" and lane.client is None:
        words = f"{step} of {lane.owner} is rolled back: its session is closed"
        yield Action(words, Kind.STEP, with_lane(state, lane, None))
    elif lane.phase == "sent":
        yield from _claim_is_read(state, lane, step, workflow, rules)
    elif lane.phase == "recording":
        yield from _row_is_written(state, lane, step, workflow, rules)
    elif lane.phase == "recorded":
        after = _commit(state, lane, step, workflow)
        yield Action(f"COMMIT of {step} of {lane.owner}", Kind.STEP, after)


def _claim_is_read(
    state: State, lane: Lane, step: str, workflow: Workflow, rules: Rules
) -> Iterator[Action]:
    """df._checkpoint looks at the claim without locking it, unless it ends the instance."""
    held = state.instance.worker == lane.number
    if lane.old_snapshot:
        held = lane.saw_claim
    if lane.finishes:
        if locked(state, INSTANCE):
            return
        held = held and INSTANCE not in lane.old  # else 40001: nobody may write over a newer row
    accepted = held or not rules.claim_counts
    if not rules.rows_are_locked:  # looked at once, and never again
        accepted = accepted and all(
            accepts(state.nodes[change.node], change, rules)
            for change in lane.plan
            if change.status != "stopped"
        )
    phase = "recording" if accepted else "refused"
    words = f"df._checkpoint of {step} of {lane.owner} looks at the claim: {_verdict(accepted)}"
    yield Action(words, Kind.STEP, with_lane(state, lane, lane._replace(phase=phase)))


def _row_is_written(
    state: State, lane: Lane, step: str, workflow: Workflow, rules: Rules
) -> Iterator[Action]:
    """df._record: an UPDATE waits for whoever has the row, and looks at its conditions again."""
    change = lane.plan[lane.done]
    if locked(state, change.node):
        return
    name = workflow.names[change.node]
    accepted = accepts(state.nodes[change.node], change, rules) or not rules.rows_are_locked
    if change.node in lane.old:
        accepted = False  # 40001
        after = lane._replace(phase="refused", done=0)
    elif accepted:
        after = lane._replace(done=lane.done + 1)
    elif change.status == "stopped":  # ended already: nothing to stop
        plan = tuple(x for x in lane.plan if x is not change)
        after = lane._replace(plan=plan)
    else:
        after = lane._replace(phase="refused", done=0)
    if after.phase == "recording" and after.done == len(after.plan):
        after = after._replace(phase="recorded")
    words = f"df._record of {step} of {lane.owner}: {name} {change.status}: {_verdict(accepted)}"
    yield Action(words, Kind.STEP, with_lane(state, lane, after))


def _commit(state: State, lane: Lane, step: str, workflow: Workflow) -> State:
    """The statement's effect and the record of it, at once."""
    violation = ""
    if lane.leaf in state.effects:
        violation = f"{step} has committed twice"
    elif state.over:
        violation = f"{step} has committed when its instance was {state.instance.status}"
    elif state.nodes[lane.leaf[0]].stopped >= lane.leaf[1]:
        violation = f"{step} has committed though its branch had lost"
    elif not workflow.needs(lane.leaf) <= state.effects:
        violation = f"{step} has committed before what comes before it"
    after = with_lane(state, lane, lane._replace(phase="committed", plan=(), done=0))
    instance = state.instance._replace(status="completed", worker=None) if lane.finishes else None
    after = committed(after, apply(state.nodes, lane.plan), instance)
    after = after._replace(effects=after.effects | {lane.leaf})
    return after._replace(violation=violation or workflow.wrong(after))


def _verdict(accepted: bool) -> str:
    return "yes" if accepted else "no, so all is rolled back"
