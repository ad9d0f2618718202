"""A whole sampling loop: ours beside diffusers' scheduler with the same network, in turn in one run.

Run ``python tests/bench/bench_sampling.py``: one line with the medians and the median of the ratios, for
DDIM; a second line has DDPM. The network takes most of the time and is the same on both sides; what differs
is the arithmetic around it. So a small U-Net draws one 8x8 digit, the smallest loop of the book.
"""

from collections.abc import Callable

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from timing import report, same, take_turns
from torch import Tensor
from worked.generative.diffusion import ancestral_sample, ddim_sample, sampling_times
from worked.generative.schedule import linear
from worked.generative.unet import UNet

T, STEPS, AIM = 200, 100, 0.9


def contestants() -> dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]]:
    """Name -> (ours, theirs); each draws the same digit from the same noise."""
    torch.manual_seed(0)
    network = UNet(widths=(32, 64)).eval().requires_grad_(False)
    torch.nn.init.normal_(network.out.weight, std=0.05)  # zero when new
    schedule = linear(T, 5e-4, 0.1)
    levels = {
        "num_train_timesteps": T,
        "trained_betas": schedule.beta.numpy(),
        "timestep_spacing": "trailing",
    }
    x = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))

    def ours_ddpm() -> Tensor:
        return ancestral_sample(network, x, schedule, torch.Generator().manual_seed(2))[0]

    def ours_ddim() -> Tensor:
        return ddim_sample(network, x, schedule, sampling_times(T, STEPS), clip=1.0)[0]

    @torch.no_grad()
    def theirs(scheduler: DDPMScheduler | DDIMScheduler, steps: int, **options: object) -> Tensor:
        scheduler.set_timesteps(steps)
        sample = x
        for t in scheduler.timesteps:
            eps = network(sample, (t + 1).expand(len(sample)))  # their times start at 0
            sample = scheduler.step(eps, t, sample, **options).prev_sample
        return sample

    ddpm = DDPMScheduler(**levels, clip_sample=False)
    ddim = DDIMScheduler(**levels, clip_sample=True)
    return {
        "sampling, DDIM": (ours_ddim, lambda: theirs(ddim, STEPS, use_clipped_model_output=True)),
        "sampling, DDPM": (ours_ddpm, lambda: theirs(ddpm, T, generator=torch.Generator().manual_seed(2))),
    }


def main(rounds: int = 15) -> float:
    """Print the table line; return the median ratio."""
    ratios = []
    for name, (ours, theirs) in contestants().items():
        # float32 tables on their side, float64 rounded once on ours; hundreds of steps let it grow
        same(ours(), theirs(), relative=1e-3, name=name)
        times = take_turns({"ours": ours, "diffusers": theirs}, rounds)
        ratios.append(report(name, times, "ours", "diffusers", AIM))
    return ratios[0]


if __name__ == "__main__":
    main()
