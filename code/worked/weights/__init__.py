"""Small trained weights: NAME.safetensors, and NAME.json, a card that says where they come from.

``load`` gives the tensors, checked against the card. ``python -m worked.weights`` lists them, and trains or
evaluates one anew by its recipe.
"""

import hashlib
import importlib
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

from safetensors.torch import load as parse
from safetensors.torch import save as serialise
from torch import Tensor

FOLDER = Path(__file__).parent
LIMIT = 25_000_000  # bytes of all weights together, so that the package stays quick to install

# name -> the module that makes it, with train() and evaluate(). Named, not imported: this package lies below
# the parts, and a recipe must be there to be run before the first card is written.
RECIPES = {
    "mnist-ddpm": "worked.generative.mnist_ddpm",
    "mnist-classifier": "worked.generative.mnist_classifier",
    "dino-scenes": "worked.selfsup.dino_scenes",
    "digits-eight": "worked.convolution.digits_eight",
    "what-moved": "worked.convolution.what_moved",
}

CARD_KEYS = (
    "what",
    "data",
    "command",
    "seed",
    "metrics",
    "seconds",
    "hardware",
    "versions",
    "date",
    "licence",
)


class WeightsError(ValueError):
    """Weights that are not what their card says."""


def names() -> list[str]:
    """The weights that are here, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def card(name: str) -> dict[str, Any]:
    """What the weights are, which data, command and seed made them, how good they are, and their checksum."""
    path = FOLDER / f"{name}.json"
    if name not in names():
        how = f"; python -m worked.weights train {name} makes them" if name in RECIPES else ""
        raise WeightsError(f"no weights {name!r} here{how}; there are: {', '.join(names()) or 'none'}")
    return json.loads(path.read_text("utf-8"))


def load(name: str) -> dict[str, Tensor]:
    """The tensors by name, on the CPU, after the file's SHA-256 was compared with the card's.

    The format is safetensors: reading it runs no code. Raises WeightsError on an unknown name, on a missing
    file and on one that was changed.
    """
    expected = card(name)["sha256"]
    path = FOLDER / f"{name}.safetensors"
    if not path.is_file():
        raise WeightsError(f"{path} is missing although its card is here; {_mend(name)}")
    content = path.read_bytes()
    if (got := hashlib.sha256(content).hexdigest()) != expected:
        raise WeightsError(f"{path} is not what its card says: sha256 {got}, want {expected}; {_mend(name)}")
    return parse(content)


def save(name: str, state: dict[str, Tensor], card: dict[str, Any]) -> Path:
    """Write tensors and card; the checksum and the size are filled in here.

    So is the number of parameters, unless the card gives it, because some tensors are none (statistics, say).
    The card needs the keys of CARD_KEYS. Raises ValueError if one is missing, if a tensor is not finite, or
    if all weights together would pass LIMIT.
    """
    if absent := [key for key in CARD_KEYS if key not in card]:
        raise ValueError(f"the card of {name} lacks: {', '.join(absent)}")
    if bad := [key for key, value in state.items() if not value.isfinite().all()]:
        raise ValueError(f"the weights of {name} are not finite in: {', '.join(bad)}")
    content = serialise({key: value.detach().cpu().contiguous() for key, value in state.items()})
    others = sum(p.stat().st_size for p in FOLDER.glob("*.safetensors") if p.stem != name)
    if others + len(content) > LIMIT:
        raise ValueError(f"{name} has {len(content):,} bytes, the others {others:,}; the limit is {LIMIT:,}")
    full = {
        "parameters": sum(value.numel() for value in state.values()),  # the card may know better
        **card,
        "name": name,
        "recipe": RECIPES.get(name),
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    text = json.dumps(full, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    _write(FOLDER / f"{name}.safetensors", content)
    _write(FOLDER / f"{name}.json", text.encode())
    return FOLDER / f"{name}.safetensors"


def recipe(name: str) -> ModuleType:
    """The module that trains and evaluates these weights."""
    if name not in RECIPES:
        raise WeightsError(f"no recipe for {name!r}; there are: {', '.join(RECIPES)}")
    return importlib.import_module(RECIPES[name])


def _mend(name: str) -> str:
    return f"install the package again, or train them: python -m worked.weights train {name}"


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)
