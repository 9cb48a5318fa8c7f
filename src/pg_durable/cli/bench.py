"""bench."""

import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

_LAST = "last"


def bench(
    measures: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MEASURE", show_default=False, help="What to measure; all of --list if none."
        ),
    ] = None,
    dsn: Annotated[
        str | None,
        typer.Option(
            "--dsn",
            metavar="DSN",
            show_default=False,
            help="Measure on this server, in databases made for it and dropped afterwards. Needs a"
            " superuser. [default: an embedded server, in a temporary directory]",
        ),
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Medians of so many runs. What takes long is done in the first only, unless named."
            " [default: 3, with --full 5]",
        ),
    ] = None,
    scale: Annotated[
        float, typer.Option(metavar="X", min=0.001, help="0.1 does a tenth of the work.")
    ] = 1.0,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Really a million sleepers and ended instances, and minutes under load."
        ),
    ] = False,
    peers: Annotated[
        bool, typer.Option("--peers", help="The same work by dbos, absurd and others, too.")
    ] = False,
    peer: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", show_default=False, help="Only this peer; or several times."),
    ] = None,
    json_file: Annotated[
        str | None,
        typer.Option(
            "--json", metavar="FILE", show_default=False, help="Write the results; - prints them."
        ),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table as documentation has it.")
    ] = False,
    plots: Annotated[
        Path | None,
        typer.Option(metavar="DIR", show_default=False, help="Draw plots into this directory."),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Compare with these results; last: those kept last.",
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            show_default=False,
            help="Where results are kept, under date and commit. [default: bench/results of the"
            " checkout, or a directory of yours]",
        ),
    ] = None,
    show: Annotated[
        Path | None,
        typer.Option(
            "--show",
            metavar="FILE",
            show_default=False,
            help="Measure nothing: show these results.",
        ),
    ] = None,
    minutes: Annotated[
        float, typer.Option(metavar="N", help="Begin nothing more after so many minutes.")
    ] = 90.0,
    list_them: Annotated[
        bool, typer.Option("--list", help="Tell what can be measured, and measure nothing.")
    ] = False,
) -> None:
    """Measure how fast pg_durable is here, beside what PostgreSQL can do at all.

    Each run measures the limit, which is pgbench doing the same SQL, before and after everything
    else: what counts is the ratio to it. The results are printed, and kept to compare with:

      pg-durable bench --compare last

    It says what it does on the standard error. Ctrl-C ends it, with what has been measured until
    then. Exit code 1: something could not be measured.
    """
    from pg_durable.bench import plots as plotting
    from pg_durable.bench import report
    from pg_durable.bench import results as files
    from pg_durable.bench.measures import MEASURES
    from pg_durable.bench.peers import PEERS, require_peers
    from pg_durable.bench.suite import Plan, run_suite

    if list_them:
        for name, measure in MEASURES.items():
            print(f"{name:18}{measure.means}")
        for name, known in PEERS.items():
            print(f"{'--peer ' + name:18}{known.how}")
        return
    chosen = [*dict.fromkeys(measures or MEASURES)]
    others = [*dict.fromkeys(peer or (PEERS if peers else ()))]
    _check("measure", chosen, list(MEASURES))
    _check("peer", others, list(PEERS))
    folder = results or files.default_folder()
    # What is missing is missed before minutes have been spent.
    require_peers(PEERS[name] for name in others)
    if plots is not None:
        plotting.require_plots()
    before = None
    if compare is not None:
        before = files.read_results(files.last_of(folder) if compare == _LAST else Path(compare))
    if show is not None:
        measured = files.read_results(show)
    else:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        measured = run_suite(
            Plan(
                measures=chosen,
                peers=others,
                runs=runs or (5 if full else 3),
                scale=scale,
                full=full,
                dsn=dsn,
                minutes=minutes,
                tell=_tell,
                repeat_long=bool(measures),
            )
        )
        if measured.figures:
            _tell(f"kept in {files.keep(measured, folder)}")

    if json_file == "-":
        print(json.dumps(measured.to_json(), indent=1))
    else:
        if json_file is not None:
            files.write_results(measured, Path(json_file))
        print(report.as_markdown(measured) if markdown else report.as_text(measured))
        if before is not None:
            print(f"\n{report.compare(before, measured)}")
    if plots is not None:
        for file in plotting.draw_plots(measured, plots):
            _tell(f"drawn: {file}")
    if measured.failures:
        raise typer.Exit(1)


def _check(kind: str, given: list[str], known: list[str]) -> None:
    for name in given:
        if name not in known:
            raise typer.BadParameter(f"There is no {kind} {name}; there are {', '.join(known)}.")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
