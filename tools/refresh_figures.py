"""Put the newest results of bench/results, or the files given, into docs/performance.md."""

import sys
from pathlib import Path

from pg_durable.bench.report import as_markdown
from pg_durable.bench.results import last_of, read_results

_ROOT = Path(__file__).parents[1]
_PAGE = _ROOT / "docs" / "performance.md"
_HEAD = "## Figures\n"


def main() -> None:
    """Replace everything below the page's last heading."""
    files = [Path(name) for name in sys.argv[1:]] or [last_of(_ROOT / "bench" / "results")]
    tables = "\n\n".join(as_markdown(read_results(file)) for file in files)
    before, head, _ = _PAGE.read_text(encoding="utf-8").partition(_HEAD)
    _PAGE.write_text(f"{before}{head}\n{tables}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
