"""torture: try to break the promise, and see that it holds."""

from typing import Annotated

import typer

from pg_durable.cli.options import AsJson

_MINUTES = 1.0


def torture(
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="Run the plan of this seed. [default: random seeds]"),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="So many rounds; with --seed, of it and those after it."
            " [default: 1 with --seed, else as many as --minutes allows]",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(metavar="M", min=0, help="Begin no round after so many minutes. [default: 1]"),
    ] = None,
    faults: Annotated[
        str | None,
        typer.Option(
            metavar="KIND,KIND", help="Inject these faults only; none with ''. [default: all]"
        ),
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=1, max=20, help="Worker processes.")] = 3,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Keep the directory of a round with violations, to look into."),
    ] = False,
    list_faults: Annotated[
        bool, typer.Option("--list-faults", help="Print the kinds of faults, and exit.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run workflows while workers, server, network and disk fail; check that each step took effect
    exactly once.

    It needs no set-up: it runs a server of its own in a temporary directory. In each round several
    clients start workflows of many kinds on several workers, and faults are injected at random
    instants. Then the database must show that every accepted start has ended as it must, that every
    step took effect once, and that nothing is stuck or left behind.

    Everything random comes from the seed of the round, so --seed runs the same plan again. What the
    processes make of it is up to their timing: a plan that failed once need not fail again.

    Exit code 1: something was violated.

      pg-durable torture --minutes 10

      pg-durable torture --seed 42 --faults worker-killed,black-hole --keep
    """
    from pg_durable.cli.output import console, print_json
    from pg_durable.torture.faults import FAULTS

    if list_faults:
        for kind, fault in FAULTS.items():
            print(f"{kind:24}{_first_sentence(fault)}")
        return
    chosen = None if faults is None else [kind for kind in faults.split(",") if kind]
    if unknown := set(chosen or ()) - set(FAULTS):
        raise typer.BadParameter(
            f"There is no fault {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}."
        )

    from pg_durable.torture.report import as_json as report_json
    from pg_durable.torture.report import print_tables, tell_round
    from pg_durable.torture.rounds import Outcome, torture_rounds

    outcomes: list[Outcome] = []
    out = console()

    def tell(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if not as_json:
            tell_round(out, outcome)

    if rounds is None and seed is not None and minutes is None:
        rounds = 1
    if minutes is None and rounds is None:
        minutes = _MINUTES
    torture_rounds(
        tell,
        seed=seed,
        rounds=rounds,
        minutes=minutes,
        workers=workers,
        faults=chosen,
        keep=keep,
    )
    if as_json:
        print_json(report_json(outcomes))
    else:
        print_tables(out, outcomes)
    if any(outcome.violations for outcome in outcomes):
        raise typer.Exit(1)


def _first_sentence(of: object) -> str:
    """What the docstring of its class says first."""
    return " ".join((type(of).__doc__ or "").split()).partition(". ")[0].rstrip(".") + "."
