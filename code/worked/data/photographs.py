"""Photographs that come inside the scikit-image wheel: nothing to download."""

from importlib.resources import files

import torch
from jaxtyping import Float32
from torch import Tensor

from worked.data.store import Card, MissingData

# name -> file. scikit-image knows more pictures, which it would download; these it carries.
PHOTOGRAPHS = {
    "astronaut": "astronaut.png",
    "brick": "brick.png",
    "camera": "camera.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "hubble": "hubble_deep_field.jpg",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
}

CARD = Card(
    name="photographs",
    what=f"{len(PHOTOGRAPHS)} photographs: {', '.join(PHOTOGRAPHS)}",
    source="scikit-image, which names each picture's photographer",
    licence="public domain or CC0",
    bundled=True,
    size="in scikit-image",
)


def photograph(name: str) -> Float32[Tensor, "3 h w"]:
    """One photograph, values in [0, 1]; a grey one (brick, camera, grass, gravel) on three equal channels.

    Known value: the astronaut is 512 x 512. Raises ValueError on an unknown name, and MissingData if the
    installed scikit-image does not carry the file; it is never downloaded.
    """
    if name not in PHOTOGRAPHS:
        raise ValueError(f"no photograph {name!r}; choose one of: {', '.join(PHOTOGRAPHS)}")
    from skimage.io import imread  # a second to import, and only needed here

    path = files("skimage") / "data" / PHOTOGRAPHS[name]
    if not path.is_file():
        raise MissingData(f"this scikit-image does not carry {path.name}; upgrade to scikit-image >= 0.24")
    pixels = torch.from_numpy(imread(str(path)).copy()).float() / 255  # (h, w, 3), or (h, w) if grey
    return pixels.expand(3, *pixels.shape).clone() if pixels.ndim == 2 else pixels.movedim(-1, 0).contiguous()
