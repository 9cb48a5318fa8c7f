"""The results of a run of the suite: as a file, and the folder of those that are kept."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from pg_durable.bench.figures import Figure
from pg_durable.errors import NotFound

_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What was measured, on what, how, and what could not be measured.

    Attributes:
        about: machine, server, settings, versions; see `machine.describe`.
        peers: how each other system was set up.
    """

    about: dict[str, str]
    runs: int
    scale: float
    full: bool
    figures: dict[str, Figure]
    failures: list[str] = field(default_factory=list)
    peers: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """One JSON document."""
        return {
            "format": _FORMAT,
            "about": self.about,
            "runs": self.runs,
            "scale": self.scale,
            "full": self.full,
            "peers": self.peers,
            "failures": self.failures,
            "figures": {name: figure.to_json() for name, figure in self.figures.items()},
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Results":
        """What `to_json` has written."""
        return cls(
            about=document["about"],
            runs=document["runs"],
            scale=document["scale"],
            full=document["full"],
            peers=document["peers"],
            failures=document["failures"],
            figures={
                name: Figure.from_json(name, figure) for name, figure in document["figures"].items()
            },
        )


def read_results(file: Path) -> Results:
    """Read a file of results.

    Raises:
        NotFound: there is none, or it is something else.
    """
    try:
        return Results.from_json(json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NotFound(f"{file} is no file of results of pg-durable bench.") from None


def write_results(results: Results, file: Path) -> None:
    """Write a file of results."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results.to_json(), indent=1, ensure_ascii=False)
    # A list of numbers is read as one thing.
    text = re.sub(r"\[[^\[\]{}\"]*\]", lambda found: " ".join(found[0].split()), text)
    file.write_text(text + "\n", encoding="utf-8")


def keep(results: Results, folder: Path) -> Path:
    """Add to the folder of results, under date and commit; returns the file."""
    commit = re.search(r"commit (\S+)", results.about["pg_durable"])
    stem = results.about["when"].replace(":", "-")
    file = folder / f"{stem}{f'-{commit[1]}' if commit else ''}.json"
    write_results(results, file)
    return file


def last_of(folder: Path) -> Path:
    """The newest file in the folder of results: their names begin with the date.

    Raises:
        NotFound: there is none.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise NotFound(f"There are no results in {folder} to compare with.")
    return files[-1]


def default_folder() -> Path:
    """Where results are kept: in the checkout this runs from, else among the user's data."""
    checkout = Path(__file__).parents[3] / "bench" / "results"
    return checkout if checkout.is_dir() else user_data_path("pg_durable") / "bench"
