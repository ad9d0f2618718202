"""One step of SimCLR on several processes, right and with the usual slips: what `run_processes` runs."""

import copy
from collections.abc import Callable

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from worked.selfsup.batch_norm import replace_batch_norm
from worked.selfsup.contrastive import nt_xent
from worked.selfsup.distributed import SyncBatchNorm, average_gradients, gather, sync_batch_norm
from worked.selfsup.encoder import encoder, head

TAU = 0.5
Views = Tensor  # (2, n, c, h, w): two views of n images


def network() -> nn.Module:
    """A small encoder with its projector, in float64; the caller loads the parameters."""
    return nn.Sequential(encoder(width=4, features=8), head(8, 8, 6)).double()


def embed(model: nn.Module, views: Views) -> tuple[Tensor, Tensor]:
    """Both views in one pass, as SimCLR does, so that they share their batch statistics; (n, d) each."""
    z1, z2 = model(views.flatten(0, 1)).chunk(2)
    return z1, z2


def put_back(z: Tensor) -> Tensor:
    """all_gather with this process's rows put back in place: the others' are constants."""
    parts = [torch.empty_like(z) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, z.detach())
    parts[dist.get_rank()] = z
    return torch.cat(parts)


def own_anchors(z1: Tensor, z2: Tensor, everywhere: Callable[[Tensor], Tensor]) -> Tensor:
    """NT-Xent averaged over the anchors of this process alone; candidates are the rows of all of them."""
    u, v = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    both, n = torch.cat([everywhere(u), everywhere(v)]), len(z1)
    total = len(both) // 2
    here = n * dist.get_rank() + torch.arange(n)
    itself = torch.cat([here, here + total])
    s = torch.cat([u, v]) @ both.T / TAU  # (2n, 2 total)
    s = s.scatter(1, itself[:, None], -torch.inf)
    return F.cross_entropy(s, (itself + total) % (2 * total))


RIGHT, LOCAL = "gathered, whole loss on each", "gathered, own statistics"
LOSSES = {
    RIGHT: lambda z1, z2: nt_xent(gather(z1), gather(z2), TAU),
    "gathered, own anchors": lambda z1, z2: own_anchors(z1, z2, gather),
    "put back, whole loss on each": lambda z1, z2: nt_xent(put_back(z1), put_back(z2), TAU),
    "put back, own anchors": lambda z1, z2: own_anchors(z1, z2, put_back),
    "not gathered": lambda z1, z2: nt_xent(z1, z2, TAU),
}


def gradient(model: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def step(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gradients of all parameters after averaging over processes, for each loss; and the statistics.

    inputs: ``views`` (2, n, c, h, w) of this process, the state of `network`, and for the bare layer ``x``,
    ``up`` (n, c, h, w). Results: a flat gradient for each of LOSSES and for LOCAL, the loss, and "y",
    "of_x" of the layer.
    """
    plain = _loaded(inputs)
    results = {}
    for name, loss in (LOSSES | {LOCAL: LOSSES[RIGHT]}).items():
        model = copy.deepcopy(plain) if name == LOCAL else replace_batch_norm(plain, SyncBatchNorm)
        value = loss(*embed(model, inputs["views"]))
        value.backward()
        average_gradients(model)
        results[name] = gradient(model)
        if name == RIGHT:
            results["loss"] = value[None]
    x = inputs["x"].clone().requires_grad_()
    twos = torch.full((x.shape[1],), 2.0, dtype=x.dtype)
    y = sync_batch_norm(x, twos, 1.5 * twos)
    (of_x,) = torch.autograd.grad(y, x, inputs["up"])
    return results | {"y": y, "of_x": of_x}


def whole(inputs: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """What `step` should give, from one process that holds the images of all."""
    model = _loaded(inputs[0])
    loss = nt_xent(*embed(model, torch.cat([part["views"] for part in inputs], 1)), TAU)
    loss.backward()
    x = torch.cat([part["x"] for part in inputs]).requires_grad_()
    twos = torch.full((x.shape[1],), 2.0, dtype=x.dtype)
    y = F.batch_norm(x, None, None, twos, 1.5 * twos, training=True)
    (of_x,) = torch.autograd.grad(y, x, torch.cat([part["up"] for part in inputs]))
    return {"gradient": gradient(model), "loss": loss.detach()[None], "y": y.detach(), "of_x": of_x}


def _loaded(inputs: dict[str, Tensor]) -> nn.Module:
    model = network()
    model.load_state_dict({k.removeprefix("state."): x for k, x in inputs.items() if k.startswith("state.")})
    return model
