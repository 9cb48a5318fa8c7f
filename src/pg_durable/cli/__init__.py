"""The command `pg-durable`.

| module    | what it holds                                                       |
|-----------|---------------------------------------------------------------------|
| app       | the commands by name, and the page `pg-durable --help`              |
| serve     | up, worker                                                          |
| database  | install, psql, demo, version                                        |
| control   | start, wait, signal, cancel                                         |
| extension | extension install                                                   |
| instances | list, explain                                                       |
| show      | show                                                                |
| statement | a statement with the place of its error marked                      |
| doctor    | doctor                                                              |
| bench     | bench                                                               |
| soak      | soak                                                                |
| torture   | torture                                                             |
| diagnosis | what doctor makes of what it sees                                   |
| options   | options and arguments that several commands take                    |
| target    | which database is meant                                             |
| output    | tables, times and JSON on the standard output                       |
| logs      | what a worker says on the standard error                            |
| lifeline  | a worker that ends with its parent                                  |
| launched  | the worker that a server runs                                       |

Whatever only some commands need is imported by them, so that `--help` is quick.
"""

import os
import sys
from io import TextIOWrapper
from pathlib import Path

from pg_durable.errors import PgDurableError


def main() -> None:
    """Run one command, and exit with its code; see `pg-durable --help` for what they mean."""
    from pg_durable.cli.app import app
    from pg_durable.cli.output import note, one_line

    if sys.stdout is None:  # closed by whoever called us
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 -- to the end of the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a character it does not have is no error
            stream.reconfigure(errors="replace")
    try:
        app(prog_name="pg-durable")
    except PgDurableError as error:
        note(one_line(str(error)))
        sys.exit(1)
    except UnicodeEncodeError as error:  # Python keeps bytes of the command line that are no text
        note(f"{error.object[:60]!r} is not UTF-8 text, and cannot be sent to PostgreSQL.")
        sys.exit(1)
    finally:
        _flush()


def _flush() -> None:
    """Print what is left. That nobody reads any more (`… | head`) is no error."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
