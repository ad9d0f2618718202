import pytest
import torch
from worked import profile


def test_small_is_the_default(monkeypatch):
    for unset in (None, ""):
        monkeypatch.delenv("WORKED_PROFILE", raising=False) if unset is None else monkeypatch.setenv(
            "WORKED_PROFILE", unset
        )
        assert profile.name() == "small"
        assert profile.pick(small=1, full=2) == 1
        assert profile.device() == torch.device("cpu")


def test_full_is_read_at_each_call(monkeypatch):
    monkeypatch.setenv("WORKED_PROFILE", "full")
    assert profile.pick(small=1, full=2) == 2
    monkeypatch.setenv("WORKED_PROFILE", "small")
    assert profile.pick(small=1, full=2) == 1


def test_an_unknown_profile_names_the_choices(monkeypatch):
    monkeypatch.setenv("WORKED_PROFILE", "huge")
    for ask in (profile.name, profile.device, lambda: profile.pick(small=1, full=2)):
        with pytest.raises(ValueError, match=r"'huge' is no profile; choose one of: small, full"):
            ask()


def test_full_uses_the_gpu_and_says_when_there_is_none(monkeypatch):
    monkeypatch.setenv("WORKED_PROFILE", "full")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert profile.device() == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.warns(UserWarning, match="there is no GPU"):
        assert profile.device() == torch.device("cpu")


def test_both_values_are_asked_for():
    with pytest.raises(TypeError):
        profile.pick(small=1)
