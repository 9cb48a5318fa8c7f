"""pg-durable extension install, and make install."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.cli.running import Cli
from pg_durable import __version__, extension, scripts
from pg_durable.errors import ExtensionError
from pg_durable.extension import ServerFiles
from support.documents import ROOT
from support.extension import copied_server

SCRIPTS = {
    "pg_durable.control",
    f"pg_durable--{__version__}.sql",
    "pg_durable--unpackaged.sql",
    f"pg_durable--unpackaged--{__version__}.sql",
}
_SOURCES = ("", ".c", ".h", ".control")  # the Makefile has no suffix
cli = Cli()


@pytest.fixture(scope="module")
def server() -> Iterator[ServerFiles]:
    """A copy of the server's files, without the extension at first."""
    with tempfile.TemporaryDirectory(prefix="pg_durable_tests_") as folder:
        yield copied_server(Path(folder))


def test_the_control_file_names_the_version_of_the_package() -> None:
    control = (ROOT / "extension" / "pg_durable.control").read_text()

    assert f"default_version = '{__version__}'" in control


def test_the_wheel_has_every_file_of_the_extension() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    sources = [file for file in (ROOT / "extension").iterdir() if file.suffix in _SOURCES]

    assert included == {f"extension/{f.name}": f"pg_durable/_extension/{f.name}" for f in sources}


async def test_it_says_what_it_put_where_and_what_comes_next(server: ServerFiles) -> None:
    ran = await cli("extension", "install", "--pg-config", str(server.pg_config), "--no-launcher")

    assert ran.code == 0, ran.err
    installed = [
        Path(line.split(" ", 1)[1]) for line in ran.out.splitlines() if "Installed" in line
    ]
    assert {file.name for file in installed} == SCRIPTS
    assert {file.parent for file in installed} == {server.extensions}
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o644 for file in installed)
    assert "create extension pg_durable;" in ran.out
    assert "shared_preload_libraries" not in ran.out


async def test_repeated_it_replaces_the_files(server: ServerFiles) -> None:
    arguments = ("extension", "install", "--pg-config", str(server.pg_config), "--no-launcher")
    await cli(*arguments)
    (server.extensions / f"pg_durable--{__version__}.sql").write_text("broken")

    await cli(*arguments)

    script = (server.extensions / f"pg_durable--{__version__}.sql").read_text("utf-8")
    assert script == scripts.extension_scripts(__version__)[f"pg_durable--{__version__}.sql"]
    assert not list(server.extensions.glob("*.new"))


async def test_another_extension_of_the_same_name_is_not_overwritten(server: ServerFiles) -> None:
    control = server.extensions / "pg_durable.control"
    control.write_text("comment = 'another'\n")

    ran = await cli("extension", "install", "--pg-config", str(server.pg_config))

    assert ran.code == 1
    assert f"{control} belongs to another extension" in ran.err
    assert control.read_text() == "comment = 'another'\n"
    control.unlink()


async def test_a_directory_that_cannot_be_written_is_named_with_the_way_out(
    server: ServerFiles, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"  # also root cannot write there
    fake = tmp_path / "pg_config"
    fake.write_text(f"#!/bin/sh\necho {missing}\necho {missing}\n")
    fake.chmod(0o755)

    ran = await cli("extension", "install", "--pg-config", str(fake), "--no-launcher")

    assert ran.code == 1
    assert f"{missing / 'extension'} cannot be written" in ran.err
    assert "sudo" in ran.err


async def test_without_pg_config_it_says_where_to_find_it(tmp_path: Path) -> None:
    ran = await cli("extension", "install", PATH=str(tmp_path))

    assert ran.code == 1
    assert "pg_config does not run" in ran.err
    assert "--pg-config PATH" in ran.err


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "make").symlink_to(shutil.which("make") or "make")
    (tmp_path / "pg_durable.c").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(extension, "_sources", lambda: tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    assert "there is no C compiler" in (extension._missing_for_launcher() or "")


def test_what_the_compiler_complains_about_is_told(
    server: ServerFiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("Makefile", "pg_durable.control"):
        shutil.copy(ROOT / "extension" / name, tmp_path)
    for file in (ROOT / "extension").glob("*.[ch]"):
        shutil.copy(file, tmp_path)
    (tmp_path / "pg_durable.c").write_text("#error broken on purpose\n")
    monkeypatch.setattr(extension, "_sources", lambda: tmp_path)

    with pytest.raises(ExtensionError, match="broken on purpose"):
        extension.install_files(server)


@pytest.mark.skipif(not list((ROOT / "extension").glob("*.c")), reason="there is no launcher yet")
@pytest.mark.parametrize("compiler", ["the machine's", "zig"])
def test_the_launcher_compiles_without_a_warning(
    server: ServerFiles, tmp_path: Path, compiler: str
) -> None:
    shutil.copytree(ROOT / "extension", tmp_path / "extension")
    options = [f"PG_CONFIG={server.pg_config}", "DATA_built="]
    if compiler == "zig":
        pytest.importorskip("ziglang")
        options.append(f"CC={sys.executable} -m ziglang cc")
    elif not any(map(shutil.which, ("cc", "gcc"))):
        pytest.skip("this machine has no compiler")

    ran = subprocess.run(
        ["make", "-C", tmp_path / "extension", "clean", "all", *options],
        capture_output=True, text=True, check=False, env=_without_make(),
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    assert "warning" not in ran.stdout + ran.stderr


def test_make_install_puts_the_same_files_in_place(server: ServerFiles, tmp_path: Path) -> None:
    (tmp_path / "src").symlink_to(ROOT / "src")
    shutil.copytree(ROOT / "extension", tmp_path / "extension")

    subprocess.run(
        ["make", "-C", tmp_path / "extension", "install", "LAUNCHER=no",
         f"PYTHON3={sys.executable}", f"PG_CONFIG={server.pg_config}", f"DESTDIR={tmp_path}"],
        check=True, capture_output=True, env=_without_make(),
    )  # fmt: skip

    placed = Path(f"{tmp_path}{server.extensions}")
    assert {file.name for file in placed.iterdir()} == SCRIPTS
    for name, text in scripts.extension_scripts(__version__).items():
        assert (placed / name).read_text("utf-8") == text


def _without_make() -> dict[str, str]:
    """The environment, as if no make had called us."""
    return {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
