import pytest
import torch
from robustness.models import network
from torch.testing import assert_close
from worked.robustness.adversarial_training import against_fgsm, against_pgd, grown
from worked.robustness.attack import cross_entropy, fgsm, pgd
from worked.robustness.ball import length, random_start
from worked.robustness.classifier import Classifier, pictures, train
from worked.robustness.masking import accuracy_of


def test_the_budget_grows_in_a_line_and_stays():
    assert [grown(0.2, p, 0.5) for p in (0.0, 0.25, 0.5, 0.9)] == [0, 0.1, 0.2, 0.2]
    assert grown(0.2, 0.0, 0.0) == 0.2


@pytest.mark.parametrize("seed", range(3))
def test_each_is_the_attack_that_it_names(seed):
    rng = torch.Generator().manual_seed(seed)
    model, x = network(rng, 1, 6), torch.rand(3, 1, 6, 6, generator=rng, dtype=torch.float64)
    y, fresh = torch.tensor([0, 1, 2]), lambda: torch.Generator().manual_seed(7)
    start = random_start(x, 0.1, "linf", fresh())
    common = {"epsilon": 0.1, "start": start, "keep": "last"}
    half = 0.15  # of ramp 0.3: the budget is half of 0.2
    for make, want in (
        (lambda: against_fgsm(0.2), fgsm(model, x, y, epsilon=0.1)),
        (lambda: against_pgd(0.2, 4, fresh()), pgd(model, x, y, step=0.05, steps=4, **common)),
    ):
        got = make()(model, x, y, half)
        assert_close(got, want, rtol=0, atol=1e-12)
        assert (length(got - x, "linf") <= 0.1 + 1e-12).all()
        assert (cross_entropy(model(got), y) > cross_entropy(model(x), y)).all()
        assert_close(make()(model, x, y, 0.0), x)


def test_it_makes_a_network_harder_to_fool():
    rng = torch.Generator().manual_seed(0)
    (x, y), (seen, named) = pictures(2000, rng=rng), pictures(300, rng=rng, split="test")
    left = []
    for perturb in (None, against_fgsm(0.08)):
        rng = torch.Generator().manual_seed(1)
        model = train(Classifier(12, rng=rng), x, y, rng=rng, steps=150, perturb=perturb)
        z = pgd(model, seen, named, epsilon=0.05, step=0.0125, steps=10)
        left.append(accuracy_of(model, z, named))
    assert left[1] > left[0] + 0.1


def test_rejects():
    with pytest.raises(ValueError, match="ramp from 0 to 1, got 2"):
        grown(0.1, 0.5, 2.0)
    with pytest.raises(ValueError, match="epsilon >= 0, got -1"):
        grown(-1.0, 0.5, 0.3)
