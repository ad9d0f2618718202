"""The errors that the book is there to catch, planted in copies: the build names chapter and claim."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Planted:
    """An error in a file of the package, and the chapter, claim and unit tests that must fail for it."""

    name: str
    file: str
    right: str
    wrong: str
    chapter: str
    claim: str
    tests: str


PLANTED = [
    Planted(
        name="noise scaled by 1 - sqrt(alpha_bar)",
        file="code/worked/generative/schedule.py",
        right="fit_to((1 - a).sqrt(), x0) * eps",
        wrong="fit_to(1 - a.sqrt(), x0) * eps",
        chapter="generative/closed-form",
        claim="thm-closed-form",
        tests="tests/generative/test_schedule.py",
    ),
    Planted(
        name="posterior variance off by one step",
        file="code/worked/generative/posterior.py",
        right="variance = (1 - before) / (1 - alpha_bar) * beta",
        wrong="variance = (1 - before) / (1 - alpha_bar) * schedule.beta[t - 2]",
        chapter="generative/closed-form",
        claim="thm-posterior",
        tests="tests/generative/test_posterior.py",
    ),
    Planted(
        name="W and W' swapped",
        file="code/worked/graphs/layer.py",
        right="_MessagePassing.apply(h, adjacency, W, W_prime)",
        wrong="_MessagePassing.apply(h, adjacency, W_prime, W)",
        chapter="graphs/equivariance",
        claim="lem-matrix-form",
        tests="tests/graphs/test_layer.py",
    ),
    Planted(
        name="missing stop-gradient",
        file="code/worked/selfsup/byol.py",
        right="z = z.detach()",
        wrong="z = z",
        chapter="selfsup/byol",
        claim="thm-byol-loss",
        tests="tests/selfsup/test_byol.py",
    ),
    Planted(
        name="receptive field without the jump",
        file="code/worked/convolution/fields.py",
        right="size += (window.extent - 1) * jump",
        wrong="size += window.extent - 1",
        chapter="convolution/shapes-and-fields",
        claim="thm-fields-recursion",
        tests="tests/convolution/test_fields.py",
    ),
    Planted(
        name="anchor and negative swapped",
        file="code/worked/convolution/triplet.py",
        right="near = (anchor - positive).square().sum(1)",
        wrong="near = (negative - positive).square().sum(1)",
        chapter="convolution/metric-learning",
        claim="thm-metric-gradient",
        tests="tests/convolution/test_triplet.py",
    ),
    Planted(
        name="offsets with x and y swapped",
        file="code/worked/convolution/deformable.py",
        right="dy, dx = offsets",
        wrong="dx, dy = offsets",
        chapter="convolution/deformable",
        claim="prop-deform-shift",
        tests="tests/convolution/test_deformable.py",
    ),
    Planted(
        name="rotation about the corner instead of the centre",
        file="code/worked/convolution/moved.py",
        right="torch.tensor([(w - 1) / 2, (h - 1) / 2], dtype=torch.float64)",
        wrong="torch.zeros(2, dtype=torch.float64)",
        chapter="convolution/what-moved",
        claim="prop-moved-centre",
        tests="tests/convolution/test_moved.py",
    ),
    Planted(
        name="shift without mask",
        file="code/worked/attention/swin.py",
        right="bias = torch.where(at.allowed[:, None], bias, -torch.inf)",
        wrong="bias = bias.expand(at.windows, -1, -1, -1)",
        chapter="attention/swin",
        claim="thm-swin-equal",
        tests="tests/attention/test_swin.py",
    ),
    Planted(
        name="self-similarity not masked",
        file="code/worked/selfsup/contrastive.py",
        right="s.fill_diagonal_(-torch.inf)",
        wrong="s.fill_diagonal_(1.0)",
        chapter="selfsup/contrastive",
        claim="thm-ntxent-minimum",
        tests="tests/selfsup/test_contrastive.py",
    ),
    Planted(
        name="centre with the wrong sign",
        file="code/worked/selfsup/dino.py",
        right="((logits - center) / tau)",
        wrong="((logits + center) / tau)",
        chapter="selfsup/dino",
        claim="thm-dino-rates",
        tests="tests/selfsup/test_dino.py",
    ),
    Planted(
        name="missing square in CLIP's gradient",
        file="code/worked/multimodal/cosine.py",
        right="along * x / norm**2",
        wrong="along * x / norm",
        chapter="multimodal/clip-gradient",
        claim="lem-clip-cosine",
        tests="tests/multimodal/test_cosine.py",
    ),
    Planted(
        name="covariance divided by n twice",
        file="code/worked/generative/frechet.py",
        right="return mean, (x - mean) / math.sqrt(n - 1)",
        wrong="return mean, (x - mean) / (n - 1)",
        chapter="generative/fid",
        claim="thm-fid-distance",
        tests="tests/generative/test_frechet.py",
    ),
    Planted(
        name="softmax over the wrong axis",
        file="code/worked/attention/attend.py",
        right="P = scores.softmax(-1)",
        wrong="P = scores.softmax(-2)",
        chapter="attention/multi-head",
        claim="prop-multi-mixture",
        tests="tests/attention/test_attend.py",
    ),
    Planted(
        name="class token after the position embedding",
        file="code/worked/attention/vit.py",
        right="return tokens + positions",
        wrong="return torch.cat([tokens[:, :1], tokens[:, 1:] + positions[:, 1:]], dim=1)",
        chapter="attention/vit",
        claim="thm-vit-class",
        tests="tests/attention/test_vit.py",
    ),
    Planted(
        name="degree normalisation left out",
        file="code/worked/graphs/gcn.py",
        right="return degree.rsqrt()[:, None]",
        wrong="return torch.ones_like(degree)[:, None]",
        chapter="graphs/message-functions",
        claim="prop-mf-layers",
        tests="tests/graphs/test_gcn.py",
    ),
    Planted(
        name="projection onto the wrong ball",
        file="code/worked/robustness/ball.py",
        right='(epsilon / length(delta, "l2"))',
        wrong='(epsilon / length(delta, "linf"))',
        chapter="robustness/attacks",
        claim="prop-attack-projection",
        tests="tests/robustness/test_ball.py",
    ),
    Planted(
        name="an attack that does nothing",
        file="code/worked/robustness/attack.py",
        right="z = project(z + step * steepest(gradient, norm), x, epsilon, norm)",
        wrong="z = project(z, x, epsilon, norm)",
        chapter="robustness/attacks",
        claim="thm-attack-dual",
        tests="tests/robustness/test_attack.py",
    ),
]


def plant(error: Planted, root: Path) -> None:
    """A copy of the book that has the error; pages that do not depend on it stay executed."""
    left_out = shutil.ignore_patterns(
        ".git", ".venv", "html", "doctrees", "__pycache__", ".*_cache", ".hypothesis"
    )
    shutil.copytree(ROOT, root, ignore=left_out)
    file = root / error.file
    text = file.read_text()
    assert text.count(error.right) == 1, f"{error.file} no longer has {error.right!r} once: mend this test"
    file.write_text(text.replace(error.right, error.wrong))


@pytest.fixture(params=PLANTED, ids=lambda p: p.name)
def planted(request, tmp_path) -> tuple[Planted, Path]:
    plant(request.param, tmp_path / "book")
    return request.param, tmp_path / "book"


def run(root: Path, *command: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *command],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root / "code")},
        capture_output=True,
        text=True,
    )


def test_the_chapter_fails_and_is_named_with_its_claim(planted):
    """As in `make book`, which executes the chapters with the same code before it builds the pages."""
    error, root = planted
    result = run(root, "-m", "press", "execute", error.chapter)
    assert result.returncode == 1
    assert f"{error.chapter}, cell" in result.stderr
    assert f"claim {error.claim}" in result.stderr


def test_the_book_is_not_built(tmp_path):
    error, root = PLANTED[0], tmp_path / "book"
    plant(error, root)
    result = run(root, "-m", "press", "build")
    assert result.returncode == 1
    assert f"claim {error.claim}" in result.stderr


def test_the_unit_tests_fail(planted):
    error, root = planted
    result = run(root, "-m", "pytest", "-q", "-x", error.tests)
    assert result.returncode == 1, result.stdout
    assert "1 failed" in result.stdout
