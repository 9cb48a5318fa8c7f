"""The SQL that makes the `df` schema: what there is, in which order, and as an extension's scripts.

Stateful DDL lives in numbered migrations, applied once each; functions are stateless and
reapplied whole at every upgrade, so each has one home. `pg-durable install` runs the same parts
as `create extension` and `alter extension … update`.

Nothing but the standard library, and nothing of this package, is imported, for PGXS runs it:

    python3 -I src/pg_durable/scripts.py VERSION [FOLDER]   # names the scripts; writes them
"""

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

# Versions that were released as an extension: `alter extension pg_durable update` starts there.
RELEASED: tuple[str, ...] = ()
# The version of an extension that has adopted what `pg-durable install` made.
UNPACKAGED = "unpackaged"

# The order matters where a function's text names another that must exist already.
FUNCTION_FILES = (
    "settings.sql",
    "envelope.sql",
    "cron.sql",
    "dsl.sql",
    "operators.sql",
    "leases.sql",
    "claim.sql",
    "record.sql",
    "checkpoint.sql",
    "save.sql",
    "waits.sql",
    "step.sql",
    "http_checks.sql",
    "http.sql",
    "graph.sql",
    "start.sql",
    "start_new.sql",
    "vars.sql",
    "control.sql",
    "signals.sql",
    "secrets.sql",
    "retention.sql",
    "nodes.sql",
    "monitoring.sql",
    "progress.sql",
    "explain.sql",
    "grants.sql",
    "workers.sql",
    "search_path.sql",
)

_SQL = Path(__file__).parent / "sql"
_BODY = "$pg_durable_migration$"
_REVOKE = re.compile(r"^revoke (?:all|execute) on function\s([^;]*?)\sfrom public;$", re.MULTILINE)
_SIGNATURE = re.compile(r"df\.\w+\([^)]*\)")
_LOAD = '\\echo Use "create extension pg_durable" to load this file. \\quit\n'

Migration = tuple[int, str]


def migrations() -> list[Migration]:
    """The numbered migrations and their text, in order."""
    files = sorted((_SQL / "migrations").glob("[0-9]*.sql"))
    return [(int(file.name.split("_")[0]), file.read_text("utf-8")) for file in files]


def functions() -> list[str]:
    """The text of the stateless part, in the order in which it is applied."""
    return [(_SQL / "functions" / name).read_text("utf-8") for name in FUNCTION_FILES]


def checks() -> str:
    """What must be so before anything is written: raises WF004 and WF006."""
    return (_SQL / "checks.sql").read_text("utf-8")


def record(version: str, migration: int) -> str:
    """Note what is installed now."""
    return (
        "insert into df._schema (migration, version)\n"
        f"values ({migration}, '{version}')\n"
        "on conflict (sentinel) do update\n"
        "set migration = excluded.migration, version = excluded.version, updated_at = now();\n"
    )


def extension_scripts(
    version: str,
    older: Iterable[str] = RELEASED,
    stateful: Sequence[Migration] | None = None,
    stateless: Sequence[str] | None = None,
) -> dict[str, str]:
    """The scripts of the extension by file name.

    Args:
        version: the version they install, and upgrade to.
        older: the versions from which they upgrade, besides `unpackaged`.
        stateful: the migrations; all of them by default.
        stateless: the functions; all of them by default.
    """
    stateful = migrations() if stateful is None else stateful
    stateless = functions() if stateless is None else stateless
    ending = [
        _extension_part("dumped.sql"),
        record(version, stateful[-1][0]),
        _extension_part("preloaded.sql"),
    ]
    upgrade = [
        *(_unless_done(*migration) for migration in stateful),
        *(_REVOKE.sub(_unless_revoked, text) for text in stateless),
        *ending,
    ]
    scripts = {
        f"pg_durable--{version}.sql": [
            checks(),
            _extension_part("absent.sql"),
            *(text for _, text in stateful),
            *stateless,
            *ending,
        ],
        f"pg_durable--{UNPACKAGED}.sql": [
            checks(),
            _extension_part("adopt.sql").replace(":newest", str(stateful[-1][0])),
        ],
        f"pg_durable--{UNPACKAGED}--{version}.sql": [
            checks(),
            _extension_part("adopted.sql"),
            *upgrade,
        ],
    }
    for old in older:
        scripts[f"pg_durable--{old}--{version}.sql"] = [checks(), *upgrade]
    return {name: "\n".join([_LOAD, *parts]) for name, parts in scripts.items()}


def _extension_part(name: str) -> str:
    return (_SQL / "extension" / name).read_text("utf-8")


def _unless_done(number: int, text: str) -> str:
    """A migration as part of an upgrade from any version."""
    assert _BODY not in text
    return (
        "do $do$\nbegin\n"  # noqa: S608
        f"  if (select migration from df._schema) < {number} then\n"
        f"    execute {_BODY}\n{text}{_BODY};\n"
        "  end if;\nend\n$do$;\n"
    )


def _unless_revoked(revoke: re.Match[str]) -> str:
    """A REVOKE for an upgrade: PostgreSQL takes all rights on what an extension's script revokes
    from for the extension's own, also those a role was granted since, and pg_dump leaves them out.
    """
    names = ", ".join(f"'{name}'" for name in _SIGNATURE.findall(revoke[1]))
    return (
        "do $do$\ndeclare\n  v_function regprocedure;\nbegin\n"
        f"  foreach v_function in array array[{names}]::regprocedure[] loop\n"
        "    if has_function_privilege('public', v_function, 'execute') then\n"
        "      execute format('revoke execute on function %s from public', v_function);\n"
        "    end if;\n  end loop;\nend\n$do$;"
    )


if __name__ == "__main__":
    for _name, _text in extension_scripts(sys.argv[1]).items():
        print(_name)
        if len(sys.argv) > 2:
            (Path(sys.argv[2]) / _name).write_text(_text, encoding="utf-8")
