"""Putting the extension's files on a server: control file, scripts, and the compiled launcher.

The control file and the scripts are text, so they are written as they are. The launcher is C, and
built by PostgreSQL's own PGXS, which wants make and a compiler.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pg_durable import __version__, scripts
from pg_durable.errors import ExtensionError

_CONTROL = "pg_durable.control"
_LAUNCHER = "pg_durable.c"
_OURS = "run by Python workers"  # in the control file's first line


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What was put in place, and why the launcher was not, if it was not."""

    files: list[Path]
    no_launcher: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFiles:
    """Where a server looks for extensions, and for the modules it loads."""

    pg_config: Path
    extensions: Path
    modules: Path

    @classmethod
    def of(cls, pg_config: Path | None) -> "ServerFiles":
        """Ask pg_config; by default the one on the PATH.

        Raises:
            ExtensionError: there is none, or it does not run.
        """
        program = pg_config or Path(shutil.which("pg_config") or "pg_config")
        try:
            told = subprocess.run(
                [program, "--sharedir", "--pkglibdir"], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise ExtensionError(
                f"{program} does not run: {error}.",
                hint="Name the server's own: pg-durable extension install --pg-config PATH. It "
                "comes with the server or its development package (postgresql-server-dev-NN).",
            ) from None
        share, modules = told.stdout.splitlines()
        return cls(pg_config=program, extensions=Path(share) / "extension", modules=Path(modules))


def install_files(server: ServerFiles, *, launcher: bool = True) -> Placed:
    """Put the files in place; older ones of ours are replaced.

    Args:
        server: where they go.
        launcher: whether to build and install the launcher, if that can be done here.

    Raises:
        ExtensionError: a directory cannot be written, or holds another extension of this name.
    """
    control = (_sources() / _CONTROL).read_text("utf-8")
    _refuse_others(server.extensions / _CONTROL)
    texts = {_CONTROL: control, **scripts.extension_scripts(__version__)}
    files = _write(server.extensions, texts)
    if not launcher:
        return Placed(files=files)
    missing = _missing_for_launcher()
    if missing is None:
        files.append(_build_launcher(server))
    return Placed(files=files, no_launcher=missing)


def _sources() -> Path:
    """The folder `extension`: packed into the wheel, or in the tree this package is used from."""
    package = Path(__file__).parent
    for folder in (package / "_extension", package.parents[1] / "extension"):
        if (folder / _CONTROL).is_file():
            return folder
    raise ExtensionError(
        f"The extension's files are not beside {package}.",
        hint="Install the package again: pip install --force-reinstall pg-durable",
    )


def _refuse_others(control: Path) -> None:
    if control.is_file() and _OURS not in control.read_text("utf-8", "replace"):
        raise ExtensionError(
            f"{control} belongs to another extension of the same name.",
            hint="Remove that extension from the server first.",
        )


def _write(folder: Path, texts: dict[str, str]) -> list[Path]:
    """Write each file under another name and rename it: a server never reads half of one."""
    files = [folder / name for name in texts]
    try:
        for file, text in zip(files, texts.values(), strict=True):
            new = file.with_name(f"{file.name}.new")
            new.write_text(text, encoding="utf-8")
            new.chmod(0o644)
            new.replace(file)
    except OSError as error:
        raise _not_writable(folder, error.strerror) from None
    return files


def _not_writable(folder: Path, reason: str | None) -> ExtensionError:
    return ExtensionError(
        f"The directory {folder} cannot be written: {reason}.",
        hint="Run it as a user who may, with the whole path of this program: "
        f"sudo {Path(sys.argv[0]).absolute()} extension install …",
    )


def _missing_for_launcher() -> str | None:
    if not (_sources() / _LAUNCHER).is_file():
        return "this version has none"
    if shutil.which("make") is None:
        return "there is no make"
    if not _compiler():
        return "there is no C compiler (cc, gcc, clang, or the Python package ziglang)"
    return None


def _compiler() -> list[str]:
    """What to tell make of the compiler: $CC, else the usual ones, else Zig's of pip."""
    if named := os.environ.get("CC"):
        return [f"CC={named}"]
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return [f"CC={found}"]
    if importlib.util.find_spec("ziglang"):
        return [f"CC={sys.executable} -m ziglang cc"]
    return []


def _build_launcher(server: ServerFiles) -> Path:
    """Compile the launcher in a directory of its own, and put it in place."""
    with tempfile.TemporaryDirectory(prefix="pg_durable_build_") as name:
        folder = Path(name)
        for file in (_sources() / "Makefile", _sources() / _CONTROL, *_sources().glob("*.[ch]")):
            shutil.copy(file, folder)
        options = [f"PG_CONFIG={server.pg_config}", "LAUNCHER=yes", *_compiler()]
        _make(folder, options, "all", EXTENSION="", DATA_built="")
        if not os.access(server.modules, os.W_OK):
            raise _not_writable(server.modules, "Permission denied")
        _make(folder, options, "install", EXTENSION="", DATA_built="")
    (module,) = server.modules.glob("pg_durable.[sd][oy]*")
    return module


def _make(folder: Path, options: Iterable[str], target: str, **variables: str) -> None:
    given = [f"{name}={value}" for name, value in variables.items()]
    # Not as part of a make that has called us.
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    ran = subprocess.run(
        ["make", "-C", folder, *options, *given, target],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    if ran.returncode != 0:
        raise ExtensionError(
            f"The launcher cannot be built: {_last_error(ran.stdout + ran.stderr)}",
            hint="Install the server's development files (postgresql-server-dev-NN), "
            "or do without the launcher: --no-launcher",
        )


def _last_error(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"error|not found|No such", line)]
    return (telling or lines or ["make says nothing"])[0]
