"""An attack that never asks for a gradient: random squares of extreme values, kept when the loss rises."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from worked.robustness.attack import Loss, margin_loss
from worked.robustness.ball import check_epsilon, check_pixels, per_example, project
from worked.robustness.left_as_found import left_as_found


@torch.no_grad()
def square_search(
    model: nn.Module,
    x: Float[Tensor, "n c h w"],
    y: Int[Tensor, " n"],
    *,
    epsilon: float,
    queries: int,
    rng: torch.Generator,
    loss: Loss = margin_loss,
) -> Float[Tensor, "n c h w"]:
    """Random search in the max-norm ball: a proposal sets one square of pixels to x + epsilon or x - epsilon.

    The first proposal is stripes, one sign a column; then each proposal draws a place and a sign a channel
    for every example and is kept where the loss rises. The side of the squares falls from half the picture's
    to one pixel. What a network does to its gradients is nothing to this attack.

    Known value: queries = 0 gives x; the loss is never below that of x.
    Raises ValueError if queries < 0, for a bad epsilon or pixels outside [0, 1].
    Source: a simple form of Andriushchenko et al. 2020, arXiv:1912.00049.
    """
    check_epsilon(epsilon)
    check_pixels(x)
    if queries < 0:
        raise ValueError(f"want queries >= 0, got {queries}")
    n, c, h, w = x.shape

    def signs(*shape: int) -> Tensor:
        return 2 * torch.randint(2, shape, generator=rng).to(x) - 1

    rows, columns = (torch.arange(side, device=x.device) for side in (h, w))
    with left_as_found(model):
        best, highest = x, loss(model(x), y)
        for query in range(queries):
            if query == 0:
                z = x + epsilon * signs(n, c, 1, w)
            else:
                side = max(1, round(min(h, w) / 2 * (1 - query / queries) ** 2))
                top = torch.randint(h - side + 1, (n, 1), generator=rng).to(x.device)
                left = torch.randint(w - side + 1, (n, 1), generator=rng).to(x.device)
                inside = ((rows >= top) & (rows < top + side))[:, None, :, None]
                inside = inside & ((columns >= left) & (columns < left + side))[:, None, None, :]
                z = torch.where(inside, x + epsilon * signs(n, c, 1, 1), best)
            z = project(z, x, epsilon, "linf")
            values = loss(model(z), y)
            higher = values > highest
            best, highest = torch.where(per_example(higher, z), z, best), torch.where(higher, values, highest)
    return best
