import hashlib
import json
import sys
import types

import pytest
import torch
from safetensors.torch import load_file
from worked import weights
from worked.weights.__main__ import main

CARD = {
    "what": "a tiny network",
    "data": "noise",
    "command": "python -m worked.weights train tiny",
    "seed": 0,
    "metrics": {"accuracy": 0.98765, "shares": [0.5, 0.5]},
    "seconds": 1.5,
    "hardware": "a CPU",
    "versions": {"torch": "2.15.0"},
    "date": "2026-11-20",
    "licence": "MIT",
}
STATE = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.float16)}


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    monkeypatch.setattr(weights, "RECIPES", {"tiny": "tiny_recipe", "other": "other_recipe"})
    return tmp_path


def test_what_is_saved_is_loaded(folder):
    path = weights.save("tiny", STATE, CARD)
    assert path == folder / "tiny.safetensors"
    loaded = weights.load("tiny")
    assert loaded.keys() == STATE.keys()
    for name, tensor in STATE.items():
        assert torch.equal(loaded[name], tensor)
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(load_file(path)[name], tensor)
    assert sorted(p.name for p in folder.iterdir()) == ["tiny.json", "tiny.safetensors"]


def test_the_card_is_completed(folder):
    path = weights.save("tiny", STATE, CARD)
    card = weights.card("tiny")
    assert {key: card[key] for key in CARD} == CARD
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["bytes"] == path.stat().st_size
    assert card["parameters"] == 10
    assert card["recipe"] == "tiny_recipe"
    text = (folder / "tiny.json").read_text()
    weights.save("tiny", STATE, {**CARD, "parameters": 6, "sha256": "mine"})  # b is no parameter
    assert weights.card("tiny") == {**card, "parameters": 6}
    weights.save("tiny", dict(reversed(STATE.items())), dict(reversed(CARD.items())))
    assert (folder / "tiny.json").read_text() == text


def test_any_change_of_the_file_is_refused(folder):
    path = weights.save("tiny", STATE, CARD)
    for place in (0, path.stat().st_size // 2, -1):
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)
        with pytest.raises(weights.WeightsError, match=r"sha256 \w+, want \w+; .*train tiny"):
            weights.load("tiny")
        content[place] ^= 1
        path.write_bytes(content)
    weights.load("tiny")


def test_a_missing_file_and_an_unknown_name(folder):
    weights.save("tiny", STATE, CARD).unlink()
    with pytest.raises(weights.WeightsError, match="missing although its card is here"):
        weights.load("tiny")
    with pytest.raises(weights.WeightsError, match=r"no weights 'none' here; there are: tiny"):
        weights.load("none")
    with pytest.raises(weights.WeightsError, match=r"train other makes them"):
        weights.load("other")


@pytest.mark.parametrize("key", CARD)
def test_a_card_lacks_nothing(folder, key):
    with pytest.raises(ValueError, match=f"lacks: {key}"):
        weights.save("tiny", STATE, {k: v for k, v in CARD.items() if k != key})
    assert list(folder.iterdir()) == []


def test_weights_must_be_finite_and_small(folder, monkeypatch):
    with pytest.raises(ValueError, match="not finite in: b"):
        weights.save("tiny", STATE | {"b": torch.tensor([1.0, float("nan")])}, CARD)
    weights.save("tiny", STATE, CARD)
    monkeypatch.setattr(weights, "LIMIT", 2 * weights.card("tiny")["bytes"] - 1)
    weights.save("tiny", STATE, CARD)  # its former self does not count
    with pytest.raises(ValueError, match="the limit is"):
        weights.save("other", STATE, CARD)
    assert weights.names() == ["tiny"]


def test_a_view_is_saved_by_value(folder):
    weights.save("tiny", {"a": STATE["a"].T}, CARD)
    assert torch.equal(weights.load("tiny")["a"], STATE["a"].T)


def command(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["worked.weights", *words])
    main()


def test_the_list(folder, monkeypatch, capsys):
    weights.save("tiny", STATE, CARD)
    command(monkeypatch, "list")
    head, other, tiny = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "size", "parameters", "metrics", "trained", "on"]
    assert other == "other  not trained yet"
    assert tiny == "tiny   0.0 MB           10          accuracy 0.9877, shares [2 values]  noise"


def test_the_card_command(folder, monkeypatch, capsys):
    weights.save("tiny", STATE, CARD)
    command(monkeypatch, "card", "tiny")
    assert json.loads(capsys.readouterr().out) == weights.card("tiny")
    with pytest.raises(SystemExit, match="train other makes them"):
        command(monkeypatch, "card", "other")


def test_train_and_evaluate_run_the_recipe(folder, monkeypatch):
    called = []
    recipe = types.ModuleType("tiny_recipe")
    recipe.train, recipe.evaluate = lambda: called.append("train"), lambda: called.append("evaluate")
    monkeypatch.setitem(sys.modules, "tiny_recipe", recipe)
    command(monkeypatch, "train", "tiny")
    command(monkeypatch, "evaluate", "tiny")
    assert called == ["train", "evaluate"]
    with pytest.raises(SystemExit):
        command(monkeypatch, "train", "unknown")
    with pytest.raises(weights.WeightsError, match="no recipe for 'unknown'; there are: tiny, other"):
        weights.recipe("unknown")


def test_the_shipped_weights():
    """Every file has its card and its checksum, and all of them stay under the limit."""
    files = sorted(path.stem for path in weights.FOLDER.glob("*.safetensors"))
    assert files == weights.names()
    assert sum(weights.card(name)["bytes"] for name in files) <= weights.LIMIT == 25_000_000
    for name in files:
        state, card = weights.load(name), weights.card(name)
        assert not set(weights.CARD_KEYS) - card.keys()
        assert 0 < card["parameters"] <= sum(tensor.numel() for tensor in state.values())
        assert card["recipe"] == weights.RECIPES[name]


def test_every_recipe_can_be_run():
    for name in weights.RECIPES:
        recipe = weights.recipe(name)
        assert callable(recipe.train)
        assert callable(recipe.evaluate)
