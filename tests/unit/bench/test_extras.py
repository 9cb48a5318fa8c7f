"""What is not installed is told before anything is measured, with the extra that brings it."""

import subprocess
import sys
from dataclasses import replace
from unittest import mock

import pytest

from pg_durable.bench.peers import PEERS, require_peers
from pg_durable.bench.plots import require_plots
from pg_durable.errors import NotFound


def test_plots_without_matplotlib_name_the_extra() -> None:
    with (
        mock.patch.dict(sys.modules, {"matplotlib": None}),
        pytest.raises(NotFound, match=r"matplotlib.*pip install 'pg-durable\[bench\]'"),
    ):
        require_plots()


def test_a_peer_that_is_not_installed_names_the_extra() -> None:
    peer = replace(PEERS["absurd"], packages=("no-such-package-as-this",))

    with pytest.raises(NotFound, match=r"absurd needs no-such.*pip install 'pg-durable\[peers\]'"):
        require_peers([peer])


def test_the_suite_is_there_without_what_only_its_options_need() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['matplotlib', 'dbos', 'duroxide']))\n"
        "from pg_durable.cli import main; sys.argv = ['pg-durable', 'bench', '--list']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "one_step" in done.stdout
    assert "--peer dbos" in done.stdout
