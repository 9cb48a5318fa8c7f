"""`PYTHONPATH=tests python -m model.show`: what each rule keeps away, by the shortest way to it."""

from model.explorer import ModelFault
from model.scenarios import MUTATIONS


def main() -> None:
    """Explore the protocol without each of its rules."""
    for name, (world, _) in MUTATIONS.items():
        try:
            world.explore()
        except ModelFault as fault:
            print(f"If {name}:\n{fault}\n")


if __name__ == "__main__":
    main()
