"""Sessions that meet: each specs/<topic>.spec must print expected/<topic>.out, to the letter."""

import difflib
from pathlib import Path

import pytest

from isolation.spec import Spec
from support.database import Database
from support.mutations import let_rows_not_decide
from support.sessions import BY_HAND

HERE = Path(__file__).parent
TOPICS = sorted(path.stem for path in (HERE / "specs").glob("*.spec"))


@pytest.fixture(autouse=True)
async def by_hand(db: Database) -> None:
    """Workflows with ids that are known beforehand."""
    await db.rows(BY_HAND.read_text("utf-8"))


def _spec(topic: str) -> Spec:
    return Spec.parse((HERE / "specs" / f"{topic}.spec").read_text("utf-8"))


@pytest.mark.parametrize("topic", TOPICS)
async def test_sessions_that_meet_wait_win_or_lose_as_expected(
    topic: str, database: str, tmp_path: Path
) -> None:
    expected, got = HERE / "expected" / f"{topic}.out", tmp_path / f"{topic}.out"

    got.write_text(await _spec(topic).run(database), "utf-8")

    difference = "\n".join(
        difflib.unified_diff(
            expected.read_text("utf-8").splitlines() if expected.exists() else [],
            got.read_text("utf-8").splitlines(),
            *(str(expected), str(got)),
            lineterm="",
        )
    )
    assert not difference, f"\n{difference}\nIf this is right: cp {got} {expected}"


async def test_a_step_runs_twice_where_rows_do_not_decide(db: Database, database: str) -> None:
    expected = (HERE / "expected" / "checkpoint_checkpoint.out").read_text("utf-8")
    await let_rows_not_decide(db)

    got = await _spec("checkpoint_checkpoint").run(database)

    assert "|A, A" in got
    assert "|A, A" not in expected
