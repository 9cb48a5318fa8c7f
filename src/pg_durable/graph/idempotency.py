"""What tells one step from all others, however often it is tried."""


def idempotency_key(instance: str, node: str, generation: int) -> str:
    """The same for each attempt at a node in the same iteration of the loop around it."""
    return f"pg_durable-{instance}-{node}-{generation}"
