"""Who gets the next session: fairness among roles, limits, and what the server refuses."""

import asyncio

import pytest

from pg_durable.errors import LimitExceeded
from pg_durable.lanes.session import Statement
from pg_durable.lanes.slots import Slots, Waiter
from pg_durable.settings import Settings


class Queue:
    """Slots, and who got one in which order."""

    def __init__(self, **settings: float) -> None:
        self.slots = Slots(Settings.load({}, **settings))
        self.got: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def ask(self, *roles: str) -> None:
        """Ask for a slot for each of the roles, in this order."""
        for role in roles:
            self.tasks.append(asyncio.create_task(self._acquire(role)))
            await settled()

    async def release(self, *roles: str) -> None:
        """Give back a slot of each of the roles, one after another."""
        for role in roles:
            self.slots.release(role)
            await settled()

    async def _acquire(self, role: str) -> None:
        await self.slots.acquire(role)
        self.got.append(role)


async def settled() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_free_slot_goes_to_the_waiting_role_that_has_the_fewest() -> None:
    queue = Queue(max_user_connections=4)
    await queue.ask("a", "a", "a", "a", "a", "a", "b", "b")

    await queue.release("a", "a", "a")

    assert queue.got == ["a", "a", "a", "a", "b", "b", "a"]


async def test_roles_with_as_many_take_turns() -> None:
    queue = Queue(max_user_connections=1)
    await queue.ask("a", "a", "a", "b", "b", "c", "c")

    for _ in range(6):
        await queue.release(queue.got[-1])

    assert queue.got == ["a", "a", "b", "c", "a", "b", "c"]


async def test_a_role_gets_no_more_than_its_limit_while_others_go_past_it() -> None:
    queue = Queue(max_user_connections=3, max_connections_per_role=1)
    await queue.ask("a", "a", "b", "c")

    before = list(queue.got)
    await queue.release("b", "a")

    assert before == ["a", "b", "c"]
    assert queue.got == ["a", "b", "c", "a"]


async def test_waiting_for_too_long_fails_with_the_limit() -> None:
    queue = Queue(max_user_connections=1, execution_acquire_timeout=0.01)
    await queue.ask("a", "a")

    with pytest.raises(LimitExceeded) as caught:
        await queue.tasks[1]

    assert caught.value.message == (
        "pg_durable: connection limit reached (max_user_connections=1). Timed out after 0.01s"
        " waiting for an available execution slot."
    )
    await queue.release("a")
    await queue.ask("b")
    assert queue.got == ["a", "b"]


async def test_nothing_fails_while_it_is_the_server_that_has_no_session() -> None:
    queue = Queue(max_user_connections=2, execution_acquire_timeout=0.01)
    await queue.ask("a", "a")
    assert queue.slots.refused("a", of_role=False)
    await queue.ask("a")

    await asyncio.wait([queue.tasks[2]], timeout=1)

    await queue.tasks[2]
    assert queue.got == ["a", "a", "a"]
    queue.slots.close()


async def test_a_waiter_that_gives_up_leaves_its_turn_and_its_slot_to_others() -> None:
    queue = Queue(max_user_connections=1)
    await queue.ask("a", "a", "b", "b")

    queue.tasks[1].cancel()
    await settled()
    queue.slots.release("a")
    queue.tasks[2].cancel()  # it has been handed the slot, and does not know yet
    await settled()

    assert queue.got == ["a", "b"]
    assert queue.tasks[2].cancelled()
    assert not queue.tasks[3].cancelled()


async def test_a_refusal_of_the_server_lowers_the_number_tried_until_it_admits_more() -> None:
    queue = Queue(max_user_connections=3)
    await queue.ask("a", "a", "a")

    queue.slots.refused("a", of_role=False)
    await queue.ask("b")
    refused = list(queue.got)
    queue.slots.admitted("a")
    await settled()

    assert refused == ["a", "a", "a"]
    assert queue.got == ["a", "a", "a", "b"]
    queue.slots.close()


async def test_a_refusal_for_a_role_holds_up_no_other() -> None:
    queue = Queue(max_user_connections=3)
    await queue.ask("a", "a")

    queue.slots.refused("a", of_role=True)
    await queue.ask("a", "b", "b")

    assert queue.got == ["a", "a", "b", "b"]
    queue.slots.close()


async def test_one_more_is_tried_after_a_while_without_being_told() -> None:
    queue = Queue(max_user_connections=1)
    await queue.ask("a")

    queue.slots.refused("a", of_role=False)
    await queue.ask("a")
    await asyncio.wait_for(queue.tasks[1], 30)

    assert queue.got == ["a", "a"]


async def _waiting_for_a_session(queue: Queue, role: str) -> Waiter:
    waiter = Waiter(Statement("select 1", "key"))
    queue.tasks.append(asyncio.create_task(queue.slots.acquire(role, waiter)))
    await settled()
    return waiter


async def test_a_session_goes_with_its_slot_to_who_is_next_anyway() -> None:
    queue = Queue(max_user_connections=1)
    await queue.ask("a")
    first = await _waiting_for_a_session(queue, "a")
    second = await _waiting_for_a_session(queue, "a")

    assert queue.slots.successor("a", stays=False) is first
    first.turn.set_result(None)
    assert queue.slots.successor("a", stays=False) is second
    second.turn.set_result(None)

    assert queue.slots.successor("a", stays=False) is None
    await queue.ask("a")
    await queue.release("a")
    assert queue.got == ["a", "a"]


async def test_a_session_stays_behind_where_another_role_is_next() -> None:
    queue = Queue(max_user_connections=2)
    await queue.ask("a", "a")
    await _waiting_for_a_session(queue, "a")
    await queue.ask("b")

    assert queue.slots.successor("a", stays=False) is None
    await queue.release("a")
    assert queue.got == ["a", "a", "b"]


async def test_a_session_may_stay_with_its_role_though_another_one_is_next() -> None:
    queue = Queue(max_user_connections=2)
    await queue.ask("a", "a")
    second = await _waiting_for_a_session(queue, "a")
    await queue.ask("b")

    assert queue.slots.successor("a", stays=True) is second
    second.turn.set_result(None)
    assert queue.slots.successor("a", stays=True) is None  # no other waits
    await queue.release("a")
    assert queue.got == ["a", "a", "b"]


async def test_nobody_is_given_a_session_who_has_gone_or_wants_none() -> None:
    queue = Queue(max_user_connections=1)
    await queue.ask("a")
    gone = await _waiting_for_a_session(queue, "a")
    await queue.ask("a")  # wants a session in another database, say

    queue.tasks[1].cancel()
    assert queue.slots.successor("a", stays=False) is None
    await settled()
    assert queue.slots.successor("a", stays=False) is None

    await queue.release("a")
    assert gone.lane is None
    assert queue.got == ["a", "a"]
