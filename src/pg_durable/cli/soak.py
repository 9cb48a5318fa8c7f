"""soak: load for long, and see that nothing grows."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def soak(
    minutes: Annotated[
        float, typer.Option(metavar="N", min=0.1, help="How long the load lasts.")
    ] = 30.0,
    calibrate: Annotated[
        float, typer.Option(metavar="SECONDS", min=3.0, help="How long it looks for the peak.")
    ] = 30.0,
    share: Annotated[
        float, typer.Option(metavar="N", min=0.01, max=1.0, help="Of the peak, how much to drive.")
    ] = 0.7,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.2, help="Pause between looks.")
    ] = 5.0,
    warming: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.0,
            help="How much of the load is not judged. [default: a sixth]",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, max=64, help="How many worker processes.")
    ] = 1,
    open_transaction: Annotated[
        bool,
        typer.Option(
            "--open-transaction",
            help="Hold a transaction open over the last two thirds of what is judged.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="The same starts again.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write every sample to this file, as JSON."),
    ] = None,
) -> None:
    """Load a server of its own for long, and see that nothing grows.

    It finds the peak rate of a mix of workflows, then starts them at a share of it, whether or
    not others have ended. Memory, files, sessions, sizes of tables and indexes, dead rows,
    costs and latencies are sampled; the first third of the time is compared with the last.

    The exit code is 1 when something grew, or an effect is lost or doubled.
    """
    from rich.console import Console

    from pg_durable.soak.run import Plan, run_soak

    seconds = 60 * minutes
    plan = Plan(
        seconds=seconds,
        calibrate=calibrate,
        share=share,
        every=every,
        warming=seconds / 6 if warming is None else warming,
        workers=workers,
        open_transaction=open_transaction,
        seed=seed,
    )
    # Written to a file, no figure may be cut off.
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 120)
    found = run_soak(plan, console)
    if out is not None:
        out.write_text(json.dumps(found.document(), indent=1), "utf-8")
    found.print(console)
    if found.faults():
        raise typer.Exit(1)
