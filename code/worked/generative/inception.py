"""The 2,048 features of torchvision's Inception v3. They are not those of the original FID.

These are torchvision's weights Inception_V3_Weights.IMAGENET1K_V1, other numbers than those that the original
FID is computed with. A distance in these features compares with its like only.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

WEIGHTS = "IMAGENET1K_V1"
SIDE = 299  # pixels, which the network was trained on


def load(weights: str | None = WEIGHTS) -> nn.Module:
    """The network up to its last layer, in eval mode; torchvision fetches the weights (104 MB) once.

    With weights=None it is untrained: for tests.
    """
    from torchvision.models import inception_v3  # seconds to import, and only needed here

    network = inception_v3(weights=weights, transform_input=False, init_weights=False)
    network.fc = nn.Identity()
    return network.eval().requires_grad_(False)


@torch.no_grad()
def inception_features(
    network: nn.Module, images: Float[Tensor, "n 3 h w"], batch: int = 100
) -> Float[Tensor, "n 2048"]:
    """Features of n pictures in [0, 1], brought to 299 by 299 (bilinear, antialiased) and to [-1, 1].

    They come back on the device of the images; the network says where they are computed.
    Raises ValueError if a value lies outside [0, 1].
    """
    if len(images) and (images.min() < 0 or images.max() > 1):
        raise ValueError(f"want pictures in [0, 1], got [{images.min():.3g}, {images.max():.3g}]")
    device = next(network.parameters()).device
    found = []
    for part in images.split(batch):
        x = part.to(device)
        x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
        found.append(network(2 * x - 1).to(images.device))
    return torch.cat(found)
