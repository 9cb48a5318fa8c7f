"""doctor: is all well with a database's workflows and workers?"""

from typing import TYPE_CHECKING, Annotated

import typer

from pg_durable.cli.options import AsJson, Dsn, DsnArgument, Identity, one_dsn, settings_of
from pg_durable.cli.output import console, one_line, print_json
from pg_durable.cli.target import resolve_dsn

if TYPE_CHECKING:
    from pg_durable.cli.diagnosis import Check
    from pg_durable.client import Health

PROBLEM = 5  # exit code
_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "problem": ("✗", "bold red")}


def doctor(
    dsn: DsnArgument = None,
    dsn_option: Dsn = None,
    identity: Identity = None,
    as_worker: Annotated[
        str | None,
        typer.Option(metavar="ROLE", help="The workers' role. [default: that of the DSN]"),
    ] = None,
    logins: Annotated[
        bool, typer.Option("--logins/--no-logins", help="Whether to try the logins of the roles.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Check that nothing is stuck, and say what to do.

    It looks at the server, the df schema, the workers, and what unfinished instances wait for,
    and logs in as each role that may have workflows, as a worker would from here. Run it where
    the workers run, as their user of the operating system. Each check is ✓ well, ! worth a look,
    or ✗ a problem. Nothing is written. A role sees its own instances; the owner of df or a
    superuser sees all.

    Exits with 0 if there is no problem, 5 if there is one.
    """
    import asyncio

    from pg_durable.cli.diagnosis import diagnose
    from pg_durable.cli.logins import check_logins
    from pg_durable.client import examine, try_logins
    from pg_durable.errors import PgDurableError

    settings = settings_of(dsn=resolve_dsn(one_dsn(dsn, dsn_option)), identity=identity)
    health = asyncio.run(examine(settings.dsn))
    checks = diagnose(health)
    if logins and not isinstance(health.engine, PgDurableError):
        tried = asyncio.run(try_logins(settings.dsn, settings.identity, as_worker))
        if tried is not None:
            checks.append(check_logins(tried))
    if as_json:
        print_json(_as_document(checks))
    else:
        for check in checks:
            _print_check(check)
        print()
        print(_verdict(health, checks))
    if _number(checks, "problem"):
        raise typer.Exit(PROBLEM)


def _print_check(check: "Check") -> None:
    from rich.text import Text

    mark, style = _MARKS[check.state]
    ends = check.said.endswith((".", ";"))
    said = check.said if check.advice is None or ends else f"{check.said}."
    text = one_line(f"{said} {check.advice or ''}")
    line = Text.assemble((mark, style), f" {check.name:<10}  ", text)
    console().print(line, soft_wrap=True)
    for added in check.lines:
        console().print(Text(f"      {one_line(added)}"), soft_wrap=True)


def _verdict(health: "Health", checks: "list[Check]") -> str:
    from pg_durable.client import Engine

    problems, warnings = _number(checks, "problem"), _number(checks, "warning")
    said = [
        f"{number} {what}{'' if number == 1 else 's'}"
        for number, what in ((problems, "problem"), (warnings, "warning"))
        if number
    ]
    words = ", ".join(said)
    verdict = words if problems else f"No problem, {words}" if words else "All is well"
    if health.engine is None:
        return f"{verdict}, as far as a worker's role can see."
    if not isinstance(health.engine, Engine):
        return f"{verdict}; nothing more can be checked."
    if not health.engine.sees_all:
        return f"{verdict}, as far as role {one_line(health.server.role)} can see."
    return f"{verdict}."


def _as_document(checks: "list[Check]") -> dict[str, object]:
    return {
        "healthy": not _number(checks, "problem"),
        "problems": _number(checks, "problem"),
        "warnings": _number(checks, "warning"),
        "checks": [
            {
                "name": check.name,
                "state": check.state,
                "said": check.said,
                "advice": check.advice,
                "facts": check.facts,
                "lines": list(check.lines),
            }
            for check in checks
        ],
    }


def _number(checks: "list[Check]", state: str) -> int:
    return sum(check.state == state for check in checks)
