"""Cosine similarity of rows, and the way back through it: from unit rows to the embeddings they came from."""

from jaxtyping import Float
from torch import Tensor


def unit_rows(x: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n 1"]]:
    r"""Every row divided by its Euclidean norm, and the norms: u_i = x_i / |x_i|.

    Known value: the row (3, 4) gives (0.6, 0.8) and 5.
    Raises ValueError on a row of zeros: it has no direction, so no cosine. (F.normalize would answer 0.)
    """
    norm = x.norm(dim=1, keepdim=True)  # (n, 1)
    if not (norm > 0).all():
        bad = int((norm[:, 0] > 0).logical_not().nonzero()[0])
        raise ValueError(f"cosine needs rows of positive norm, got {norm[bad].item()} in row {bad}")
    return x / norm, norm


def pull_back(
    x: Float[Tensor, "n d"], norm: Float[Tensor, "n 1"], grad_unit: Float[Tensor, "n d"]
) -> Float[Tensor, "n d"]:
    r"""The gradient with respect to x when that with respect to u = x/|x| is known, row by row.

    .. math:: \nabla_x = \frac1{|x|} \Big(g - \frac{\langle g, x\rangle}{|x|^2}\, x\Big), \qquad g = \nabla_u

    The bracket is what is left of g once its part along x is taken out: lengthening x does not move u.

    Known value: x = (3, 4), norm 5 and g = (1, 0) give (0.128, -0.096), which is orthogonal to x.
    Taught in: multimodal/clip-gradient, lem-clip-cosine.
    """
    along = (grad_unit * x).sum(1, keepdim=True)  # (n, 1)
    return (grad_unit - along * x / norm**2) / norm
