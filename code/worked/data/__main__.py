"""``python -m worked.data list`` and ``python -m worked.data download NAME``."""

import argparse

from worked.data import CARDS, DOWNLOADS
from worked.data.store import ChecksumError, root


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m worked.data", description="The book's data sets.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="what there is, from where, under which terms")
    commands.add_parser("download", help="fetch one, checked").add_argument("name", choices=sorted(DOWNLOADS))
    chosen = parser.parse_args()
    if chosen.command == "download":
        try:
            print(f"{chosen.name}: complete in {DOWNLOADS[chosen.name]()}")
        except (OSError, ChecksumError) as error:
            raise SystemExit(f"{chosen.name}: {error}") from error
        except KeyboardInterrupt:
            raise SystemExit("\nstopped; the same command continues") from None
        return
    print(f"data sets that are not bundled lie under {root()} (WORKED_DATA)\n")
    for card in CARDS:
        print(f"{card.name}\n  {card.what}\n  {card.source}\n  {card.licence}; {card.size}\n")


if __name__ == "__main__":
    main()
