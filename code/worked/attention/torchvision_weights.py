"""Weights of torchvision's vision transformers under our names."""

import re
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from worked.attention.vit import ViT

LAYER = r"encoder\.layers\.encoder_layer_(\d+)\."
NAMES = {
    r"class_token": "class_token",
    r"conv_proj\.(.+)": r"embed.\1",
    r"encoder\.pos_embedding": "positions",
    r"encoder\.ln\.(.+)": r"norm.\1",
    LAYER + r"ln_(\d)\.(.+)": r"blocks.\1.norm\2.\3",
    LAYER + r"self_attention\.in_proj_(.+)": r"blocks.\1.attention.qkv.\2",
    LAYER + r"self_attention\.out_proj\.(.+)": r"blocks.\1.attention.project.\2",
    LAYER + r"mlp\.(?:0|linear_1)\.(.+)": r"blocks.\1.mlp.0.\2",
    LAYER + r"mlp\.(?:3|linear_2)\.(.+)": r"blocks.\1.mlp.2.\2",
}


def from_torchvision(state: Mapping[str, Float[Tensor, "..."]]) -> dict[str, Float[Tensor, "..."]]:
    """A state dict of torchvision's VisionTransformer as one of our ViT, without the classifier (heads.*).

    Tensors are shared, not copied; `load_state_dict` copies.
    Known value: vit_b_16 has 152 tensors, two of them the classifier's; 150 come back.
    Raises ValueError on a name that no vision transformer of torchvision has.
    Taught in: attention/vit, thm-vit-class.
    """
    out = {}
    for name, tensor in state.items():
        if name.startswith("heads."):
            continue
        for theirs, ours in NAMES.items():
            if re.fullmatch(theirs, name):
                out[re.sub(theirs, ours, name)] = tensor
                break
        else:
            raise ValueError(
                f"{name!r} is no weight of torchvision's VisionTransformer; want e.g. class_token"
            )
    return out


def vit_b_16(pretrained: bool = True) -> ViT:
    """Our ViT-B/16 with torchvision's ImageNet weights (330 MB, checked by their hash), or as it draws them.

    Known value: 85,798,656 parameters without classifier.
    Source: torchvision, ViT_B_16_Weights.IMAGENET1K_V1.
    """
    from torchvision.models import ViT_B_16_Weights  # seconds to import, and only needed here
    from torchvision.models import vit_b_16 as theirs

    if pretrained:
        state = ViT_B_16_Weights.IMAGENET1K_V1.get_state_dict(check_hash=True, weights_only=True)
    else:
        state = theirs(weights=None).state_dict()
    ours = ViT(size=224, patch=16, width=768, depth=12, heads=12)
    ours.load_state_dict(from_torchvision(state))
    return ours
