import pytest
from torch import nn
from worked.robustness.left_as_found import left_as_found


def test_each_module_has_its_own_mode_again():
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(), nn.ReLU())
    net.eval()
    net[0].train()
    with left_as_found(net):
        assert not any(part.training for part in net.modules())
    assert [part.training for part in net.modules()] == [False, True, False, False]


def test_after_an_exception_too():
    net = nn.Dropout()
    with pytest.raises(RuntimeError, match="inside"), left_as_found(net):
        raise RuntimeError("inside")
    assert net.training
