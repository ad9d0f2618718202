"""Does the GPU compute what the CPU computes? One matrix product in single and in double precision.

Rounding bounds the difference: each device is off by at most n u |A||B| in every entry (Higham 2002, (3.13);
u = eps / 2, and n u / (1 - n u) is n u to within one per mille here), so two devices differ by at most
n eps |A||B|. Reduced-precision modes of the GPU (TF32) are switched off: they would not meet it.
"""

import sys

import torch
from torch import Tensor

N = 512


def product(dtype: torch.dtype, device: str) -> Tensor:
    """The product of two fixed random matrices, computed on the device, as float64 on the CPU."""
    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, N, N, generator=rng, dtype=torch.float64).to(dtype)
    return (a.to(device) @ b.to(device)).to("cpu", torch.float64)


def excess(theirs: Tensor, dtype: torch.dtype) -> float:
    """Largest difference from the CPU's product in units of its bound; at most 1 if the device is right."""
    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, N, N, generator=rng, dtype=torch.float64).to(dtype)
    bound = N * torch.finfo(dtype).eps * (a.abs().double() @ b.abs().double())
    return ((theirs - product(dtype, "cpu")).abs() / bound).max().item()


def main() -> None:
    if not torch.cuda.is_available():
        sys.exit(f"PyTorch {torch.__version__} sees no GPU (built for CUDA {torch.version.cuda})")
    torch.backends.cuda.matmul.allow_tf32 = False
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}")
    for dtype in (torch.float32, torch.float64):
        ratio = excess(product(dtype, "cuda"), dtype)
        print(f"{dtype}: largest difference is {ratio:.2g} of its bound")
        if not ratio <= 1:  # also when it is NaN
            sys.exit(f"the GPU's product in {dtype} is not the CPU's")


if __name__ == "__main__":
    main()
