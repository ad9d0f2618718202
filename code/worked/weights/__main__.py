"""``python -m worked.weights``: list | card NAME | train NAME | evaluate NAME."""

import argparse
import json

from worked import weights


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m worked.weights", description="The book's trained weights."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="what there is")
    for command, what in (
        ("card", "where one comes from and how good it is"),
        ("train", "make it anew, with the recipe of its card"),
        ("evaluate", "measure it anew"),
    ):
        commands.add_parser(command, help=what).add_argument("name", choices=sorted(weights.RECIPES))
    chosen = parser.parse_args()
    try:
        if chosen.command == "list":
            print(table())
        elif chosen.command == "card":
            print(json.dumps(weights.card(chosen.name), indent=2, sort_keys=True, ensure_ascii=False))
        elif chosen.command == "train":
            weights.recipe(chosen.name).train()
        else:
            weights.recipe(chosen.name).evaluate()
    except (weights.WeightsError, FileNotFoundError) as error:
        raise SystemExit(f"{chosen.command}: {error}") from error


def table() -> str:
    """One line for each recipe: name, size, parameters, metrics, data."""
    rows = [("name", "size", "parameters", "metrics", "trained on")]
    for name in sorted({*weights.RECIPES, *weights.names()}):
        if name not in weights.names():
            rows.append((name, "not trained yet", "", "", ""))
            continue
        card = weights.card(name)
        metrics = ", ".join(f"{key} {_short(value)}" for key, value in card["metrics"].items())
        size = f"{card['bytes'] / 1e6:.1f} MB"
        rows.append((name, size, f"{card['parameters']:,}", metrics, str(card["data"])))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"[{len(value)} values]" if isinstance(value, list | dict) else str(value)


if __name__ == "__main__":
    main()
