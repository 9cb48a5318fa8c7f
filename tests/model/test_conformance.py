"""The model and the server agree: ways through the model, taken with real sessions."""

from collections import Counter

import pytest

from model.explorer import ModelFault
from model.protocol import Protocol
from model.replay import Deviation, Replay
from model.state import Rules, Setting
from model.walks import Move, follow, walk
from model.workflows import Chain, Join, Loop, Race, Step, Workflow
from support.database import Database
from support.mutations import let_rows_not_decide
from support.sessions import BY_HAND

_WALKS = 12


def _walks(protocol: Protocol) -> list[list[Move]]:
    """Ways to the end that take turns in what they do."""
    seen: Counter[tuple[object, ...]] = Counter()
    return [walk(protocol, seen, seed) for seed in range(_WALKS)]


@pytest.fixture(autouse=True)
async def by_hand(db: Database) -> None:
    """Workflows with ids that are known beforehand."""
    await db.rows(BY_HAND.read_text("utf-8"))


async def _replay(db: Database, protocol: Protocol, ways: list[list[Move]]) -> None:
    for number, way in enumerate(ways):
        replay = Replay(protocol, db, f"{number:08x}")
        await replay.open()
        try:
            await replay.follow(way)
        finally:
            await replay.close()
        await db.rows("delete from df.instances")
        await db.rows("delete from df.nodes")
        await db.rows("delete from by_hand.effects")


def _name(workflow: Workflow) -> str:
    return type(workflow).__name__


@pytest.mark.parametrize("workflow", [Chain(), Step(), Loop(), Race(), Join()], ids=_name)
async def test_the_server_does_what_the_model_says(db: Database, workflow: Workflow) -> None:
    protocol = Protocol(workflow, Setting(told_apart=True, cancels=True))

    await _replay(db, protocol, _walks(protocol))


async def test_a_server_whose_rows_do_not_decide_is_found_out(db: Database) -> None:
    """The way to the doubled step that the model finds, on a server with the same fault."""
    setting = Setting(told_apart=True)
    sound = Protocol(Chain(), setting)
    with pytest.raises(ModelFault) as found:
        Protocol(Chain(), setting, Rules(row_decides=False)).explore()
    way = follow(sound, found.value.trace)
    await _replay(db, sound, [way])
    await let_rows_not_decide(db)

    with pytest.raises(Deviation, match="but it ended with"):
        await _replay(db, sound, [way])
