"""The short way to a classifier's nearest border: exact where it is affine, DeepFool's steps elsewhere."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from worked.robustness.ball import check_norm, check_pixels
from worked.robustness.left_as_found import left_as_found


@torch.enable_grad()
def scores_and_slopes(
    model: nn.Module, x: Float[Tensor, "b c h w"]
) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k c h w"]]:
    """The scores of every picture and their derivatives with respect to it, from a copy of it for each class.

    The rows of a batch must not depend on one another, so batch norm has to be in eval mode.
    Known value: for scores W x + b the slopes are the rows of W, whatever x is.
    """
    with torch.no_grad():
        k = model(x[:1]).shape[1]
    copies = x.detach().repeat_interleave(k, 0).requires_grad_()  # (b k, c, h, w): one backward pass for all
    f = model(copies).unflatten(0, (-1, k))  # (b, k, k)
    own = f.diagonal(dim1=1, dim2=2)  # (b, k): copy j gives score j
    (slopes,) = torch.autograd.grad(own.sum(), copies)
    return own.detach(), slopes.unflatten(0, (-1, k))


def step_to_border(
    f: Float[Tensor, "b k"],
    slopes: Float[Tensor, "b k c h w"],
    label: Int[Tensor, " b"],
    norm: str = "l2",
) -> Float[Tensor, "b c h w"]:
    r"""The shortest step, for scores that are affine, to the border between `label` and another class.

    With w_k the slope of f_k - f_label, and q = 2 for the L2 norm, q = 1 for the max norm,

    .. math:: \hat k = \arg\min_{k \ne y} \frac{|f_k - f_y|}{\|w_k\|_q}, \qquad
              r = \frac{|f_{\hat k} - f_y|}{\|w_{\hat k}\|_2^2}\, w_{\hat k}
              \quad\text{or}\quad \frac{|f_{\hat k} - f_y|}{\|w_{\hat k}\|_1}\, \mathrm{sign}(w_{\hat k}).

    Known value: scores (5, 0) with w_1 = (3, 4) give r = (0.6, 0.8), of length 5 / 5. A class whose score has
    label's very slope is out of reach; where all have it, r = 0.
    Raises ValueError on another norm, fewer than two classes, or shapes that do not fit.
    Source: Moosavi-Dezfooli, Fawzi & Frossard 2016, arXiv:1511.04599, the multiclass algorithm; proof:
    thm-uap-border.
    """
    check_norm(norm)
    if f.shape[1] < 2 or slopes.shape[:2] != f.shape or label.shape != f.shape[:1]:
        raise ValueError(
            f"want scores (b, k) with k >= 2, slopes (b, k, c, h, w) and labels (b,); got {tuple(f.shape)}, "
            f"{tuple(slopes.shape)}, {tuple(label.shape)}"
        )
    row = torch.arange(len(f), device=f.device)
    w = (slopes - slopes[row, label][:, None]).flatten(2)  # (b, k, d)
    length = w.norm(dim=2) if norm == "l2" else w.abs().sum(2)  # (b, k)
    gap = (f - f[row, label][:, None]).abs()
    distance = torch.where(length > 0, gap / length, torch.inf)
    distance[row, label] = torch.inf
    nearest = distance.argmin(1)
    gap, w, length = gap[row, nearest][:, None], w[row, nearest], length[row, nearest][:, None]
    way = w / length if norm == "l2" else w.sign()  # (b, d), of size 1 in the norm
    r = torch.where(length > 0, gap / length * way, 0)
    return r.reshape(slopes[:, 0].shape)


def deepfool(
    model: nn.Module,
    x: Float[Tensor, "b c h w"],
    label: Int[Tensor, " b"],
    *,
    norm: str = "l2",
    steps: int = 50,
    overshoot: float = 0.02,
    clip: bool = True,
) -> Float[Tensor, "b c h w"]:
    r"""Pictures that the model no longer calls `label`, reached by steps to the linearised scores' border.

    .. math:: x \leftarrow \mathrm{clip}\big(x + (1 + \text{overshoot})\, r(x)\big)

    for every picture that still is called `label`, at most `steps` times; clip=False does not clip.
    The model is in eval mode meanwhile, and left as it was found.

    Known value: a picture that has another label already comes back as it is; if the scores are affine, and
    nothing is clipped, one step with overshoot > 0 is enough.
    Raises ValueError unless steps >= 1 and overshoot >= 0, or if clip and pixels lie outside [0, 1].
    Source: as step_to_border; the step with its overshoot is taken at once, as torchattacks does, and not
    summed up and enlarged at the end, as in the paper.
    """
    if steps < 1 or overshoot < 0:
        raise ValueError(f"need steps >= 1 and overshoot >= 0, got {steps}, {overshoot}")
    if clip:
        check_pixels(x)
    found = x.detach().clone()
    left = torch.arange(len(x), device=x.device)  # pictures that are still called their label
    with left_as_found(model):
        for _ in range(steps):
            with torch.no_grad():
                left = left[model(found[left]).argmax(1) == label[left]]
            if len(left) == 0:
                break
            r = step_to_border(*scores_and_slopes(model, found[left]), label[left], norm)
            moved = found[left] + (1 + overshoot) * r
            found[left] = moved.clamp(0, 1) if clip else moved
    return found
