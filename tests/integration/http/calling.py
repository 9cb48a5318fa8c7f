"""Running workflows that send requests."""

from typing import Any

from support.database import Database


async def call(db: Database, workflow: str) -> Any:
    """Run a workflow; the result with which it completes."""
    instance = await db.start(workflow)
    assert await db.wait(instance) == "completed", await db.output(instance)
    return await db.result(instance)


async def failure(db: Database, workflow: str) -> str:
    """Run a workflow; the text with which it fails."""
    instance = await db.start(workflow)
    assert await db.wait(instance) == "failed", await db.result(instance)
    return await db.output(instance)
