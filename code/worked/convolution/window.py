"""One axis of one layer: how large its output is, and which inputs an output reads.

Rectangular kernels treat the axes of a picture alike and apart, so that all the arithmetic of shapes and of
receptive fields is done on one axis at a time.
"""

from dataclasses import dataclass


def _at_least(least: int, **values: int) -> None:
    for name, value in values.items():
        if value < least:
            raise ValueError(f"{name}: want at least {least}, got {value}")


@dataclass(frozen=True)
class Window:
    r"""A convolution or a pooling along one axis: output i reads k inputs, d apart, from i s - p on.

    .. math:: q = i s - p + d m, \quad m = 0..k-1, \qquad
              n' = \left\lfloor \frac{n + 2p + e - d (k-1) - 1}{s} \right\rfloor + 1

    k ``kernel``, s ``stride``, p ``padding`` at both ends, d ``dilation``, e ``extra`` padding behind only
    (torch's "same" with an extent that is even). ``ceil`` rounds up, as pooling may; a last window that would
    start in the padding behind is left out.

    Known value: n = 128, k = 5, p = 2 gives 128; k = 2, s = 2 then gives 64.
    Raises ValueError if a number is out of range, and ``size`` if no window fits.
    Source: Dumoulin & Visin 2016, arXiv:1603.07285. Taught in:
    convolution/shapes-and-fields, thm-fields-size.
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    extra: int = 0
    ceil: bool = False

    def __post_init__(self) -> None:
        _at_least(1, kernel=self.kernel, stride=self.stride, dilation=self.dilation)
        _at_least(0, padding=self.padding, extra=self.extra)

    @property
    def extent(self) -> int:
        """From the first input read to the last, both counted."""
        return self.dilation * (self.kernel - 1) + 1

    def size(self, n: int) -> int:
        """How many outputs n inputs give."""
        _at_least(1, size=n)
        padded = n + 2 * self.padding + self.extra
        room = padded - self.extent  # the last place at which a window may begin, counted from the first
        out = (-(-room // self.stride) if self.ceil else room // self.stride) + 1
        if self.ceil and (out - 1) * self.stride >= n + self.padding:
            out -= 1
        if out < 1:
            raise ValueError(
                f"the kernel is larger than its input: want at least {self.extent} "
                f"(kernel {self.kernel}, dilation {self.dilation}), got {padded} ({n} and padding)"
            )
        return out

    def reads(self, i: int) -> list[int]:
        """The inputs of output i; those outside 0..n-1 are padding."""
        first = i * self.stride - self.padding
        return [first + self.dilation * m for m in range(self.kernel)]


@dataclass(frozen=True)
class TransposedWindow:
    r"""A transposed convolution along one axis: input i *writes* to outputs i s - p + d m.

    .. math:: n' = (n - 1) s - 2p + d (k-1) + 1 + e

    e ``output_padding``: outputs added behind. Output o reads the inputs i = (o + p - d m)/s that are whole.

    Known value: k = 4, s = 2, p = 1 doubles n. With k = 3, s = 2 outputs read two inputs and one in turn.
    Raises ValueError if a number is out of range, if e is below neither s nor d, and ``size`` if nothing is
    left of the output. Source: Dumoulin & Visin 2016, arXiv:1603.07285. Taught in:
    convolution/shapes-and-fields, thm-fields-transposed.
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    output_padding: int = 0

    def __post_init__(self) -> None:
        _at_least(1, kernel=self.kernel, stride=self.stride, dilation=self.dilation)
        _at_least(0, padding=self.padding, output_padding=self.output_padding)
        if self.output_padding >= max(self.stride, self.dilation):
            raise ValueError(
                f"output_padding: want below the larger of stride {self.stride} and dilation "
                f"{self.dilation}, got {self.output_padding}"
            )

    def size(self, n: int) -> int:
        """How many outputs n inputs give."""
        _at_least(1, size=n)
        written = (n - 1) * self.stride + self.dilation * (self.kernel - 1) + 1 + self.output_padding
        if written <= 2 * self.padding:
            raise ValueError(f"padding {self.padding} at both ends: want more than it, got {written} outputs")
        return written - 2 * self.padding

    def reads(self, o: int) -> list[int]:
        """The inputs that write to output o; those outside 0..n-1 do not exist."""
        places = (o + self.padding - self.dilation * m for m in range(self.kernel))
        return [place // self.stride for place in places if place % self.stride == 0]
