"""Whether the schema is still the one that a session began with."""

from collections.abc import Callable

from pg_durable.errors import SchemaMismatch, SchemaNotReady
from pg_durable.lanes.session import Rejected
from pg_durable.schema import check_version
from pg_durable.store import MISFITS, StoreError
from pg_durable.wire import ConnectionLost, Wire


class SchemaWatch:
    """Looks at the schema: with each heartbeat, and when a call of ours does not fit it.

    A schema may be dropped, replaced or upgraded under a running worker. The session ends
    then: its worker number, claims and prepared statements mean nothing to the new one.
    """

    def __init__(self, wire: Wire, schema: tuple[int, int], on_misfit: Callable[[], None]) -> None:
        self.misfit: Exception | None = None  # why the session is to end
        self._wire = wire
        self._schema = schema
        self._on_misfit = on_misfit

    async def check(self) -> None:
        """See that it is there, fits, and is the same.

        Raises:
            SchemaMismatch: it is not.
            ConnectionLost: there is no telling.
        """
        if await check_version(self._wire) != self._schema:
            raise SchemaNotReady("The df schema was dropped and created anew.")

    async def fits(self) -> bool:
        """The same as a question; where it does not fit, the session ends."""
        try:
            await self.check()
        except (SchemaMismatch, ConnectionLost) as error:
            self.misfit = error
            self._on_misfit()
            return False
        return True


def is_misfit(error: BaseException | None) -> bool:
    """Whether the server did not know what we have called, or something below came of that."""
    # A lost session fails many with one exception, whose causes may lead back to it.
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        match error:
            case StoreError():
                return error.code in MISFITS
            case Rejected():
                return error.sqlstate in MISFITS and not error.of_the_user
        error = error.__cause__
    return False
