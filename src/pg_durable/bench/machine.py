"""What it was measured on, since figures without that say nothing."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import psycopg

from pg_durable import __version__

_SETTINGS = (
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "max_wal_size",
    "data_checksums",
    "max_connections",
)
_LIBRARIES = ("psycopg", "orjson", "uvloop")


def describe(session: psycopg.Connection) -> dict[str, str]:
    """The machine, the server, its settings and all versions, as pairs to print."""
    settings: dict[str, str] = dict(
        session.execute(
            "select name, current_setting(name) from pg_settings where name = any(%s)",
            [list(_SETTINGS)],
        ).fetchall()
    )
    row = session.execute("show server_version").fetchone()
    assert row is not None
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "pg_durable": __version__ + (f", commit {commit}" if (commit := _commit()) else ""),
        "PostgreSQL": row[0],
        "settings": ", ".join(f"{name}={settings[name]}" for name in _SETTINGS if name in settings),
        "CPU": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "libraries": ", ".join(versions(_LIBRARIES)),
        "load before": f"{os.getloadavg()[0]:.1f} processes ready to run",
    }


def versions(packages: tuple[str, ...]) -> list[str]:
    """Name and version of those that are installed."""
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    """The commit of the source this runs from; empty if it is no checkout."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError:
        return ""
    return done.stdout.strip()
