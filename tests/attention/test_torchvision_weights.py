import warnings

import pytest
import torch
from worked.attention.torchvision_weights import from_torchvision
from worked.attention.vit import ViT


@pytest.fixture(scope="module")
def library():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchvision.models import vit_b_16
    with torch.device("meta"):  # shapes without numbers: 87 million would take a second and 350 MB
        return vit_b_16()


def test_every_tensor_of_vit_b_16_finds_its_place(library):
    with torch.device("meta"):
        ours = ViT(size=224, patch=16, width=768, depth=12, heads=12)
    state = from_torchvision(library.state_dict())
    assert {name: t.shape for name, t in state.items()} == {n: t.shape for n, t in ours.state_dict().items()}
    assert len(library.state_dict()) == 152
    assert len(state) == 150
    assert sum(p.numel() for p in ours.parameters()) == 85_798_656


def test_older_names_of_the_mlp_mean_the_same():
    name = "encoder.layers.encoder_layer_11.mlp.linear_2.bias"  # as the files on the hub call it
    assert list(from_torchvision({name: torch.zeros(1)})) == ["blocks.11.mlp.2.bias"]


def test_rejection():
    with pytest.raises(ValueError, match="is no weight"):
        from_torchvision({"fc.weight": torch.zeros(1)})
