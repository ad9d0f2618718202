"""A calculator: from a torch module to layer, output, parameters, receptive field and jump."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from torch import nn

from worked.convolution.fields import Stack, field, jump, recursion, span, widest
from worked.convolution.window import TransposedWindow, Window

_POINTWISE = (
    *(nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Softplus),
    *(nn.Identity, nn.Dropout, nn.Dropout2d),
)


@dataclass(frozen=True)
class Row:
    """One layer. Its field is rows × columns of one output, far from the borders."""

    layer: str
    output: tuple[int, ...]
    parameters: int
    field: tuple[int, int]
    jump: tuple[Fraction, Fraction] | None  # None: there is no next neuron along the axis


@dataclass(frozen=True)
class Table:
    """The rows of a network, printed with `print`; ``parameters`` is their sum."""

    rows: tuple[Row, ...]

    @property
    def parameters(self) -> int:
        return sum(row.parameters for row in self.rows)

    def __str__(self) -> str:
        heads = ("layer", "output", "parameters", "field", "jump")
        cells = [heads]
        for row in self.rows:
            out = "×".join(map(str, row.output))
            jumps = _both(row.jump) if row.jump else "–"
            cells.append((row.layer, out, f"{row.parameters:,}", _both(row.field), jumps))
        cells.append(("total", "", f"{self.parameters:,}", "", ""))
        wide = [max(len(line[i]) for line in cells) for i in range(len(heads))]
        return "\n".join(
            "  ".join(
                [line[0].ljust(wide[0]), *(c.rjust(w) for c, w in zip(line[1:], wide[1:], strict=True))]
            )
            for line in cells
        )


def _both(pair: tuple) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}×{pair[1]}"


def table(network: nn.Module, shape: tuple[int, int, int]) -> Table:
    """Layer by layer, for pictures of ``shape`` (c, h, w), without running the network.

    Takes a layer or a (nested) nn.Sequential of convolutions, transposed convolutions, max and average
    pooling, nearest upsampling, global average pooling, batch norm, activations, flatten and linear layers.
    The field is what a neuron may depend on in eval mode, at its largest where neurons differ; behind a
    linear layer, the part of the picture that anything depends on. (In training, batch norm joins all
    pixels.) Parameters shared by two layers count once, where they come first.

    Known value: Conv2d(3, 16, 5, padding=2) on (3, 128, 128): output (16, 128, 128), 1,216 parameters,
    field 5, jump 1.
    Raises ValueError, naming the layer, for sizes below 1, a kernel larger than its padded input, channels
    or features that do not fit, and layers that are none of these.
    Taught in: convolution/shapes-and-fields.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"shape: want (channels, rows, columns), each at least 1, got {tuple(shape)}")
    rows, stacks, seen, out = [], ([], []), set(), tuple(shape)
    start = tuple(shape)[1:]
    reach, step = (1, 1), (Fraction(1), Fraction(1))
    for name, layer in _leaves(network):
        try:
            spatial = len(out) == 3
            new, windows = _apply(layer, out)
            if windows:
                for stack, window in zip(stacks, windows, strict=True):
                    stack.append(window)
                reach, step = tuple(map(_span, stacks)), tuple(map(jump, stacks))
            elif spatial and len(new) == 1:  # flattened: each number keeps its field, neighbours lose theirs
                step = None
            elif isinstance(layer, nn.Linear):
                reach = tuple(_union(s, n) for s, n in zip(stacks, start, strict=True))
        except ValueError as error:
            raise ValueError(f"layer {name or '(whole)'}, {layer}, on {out}: {error}") from error
        own = [p for p in layer.parameters() if id(p) not in seen]
        seen.update(map(id, own))
        rows.append(Row(type(layer).__name__, new, sum(p.numel() for p in own), reach, step))
        out = new
    return Table(tuple(rows))


def _leaves(module: nn.Module, name: str = "") -> list[tuple[str, nn.Module]]:
    if not isinstance(module, nn.Sequential):
        return [(name, module)]
    return [leaf for i, child in enumerate(module) for leaf in _leaves(child, f"{name}.{i}".strip("."))]


def _span(stack: Stack) -> int:
    plain = all(isinstance(window, Window) for window in stack)
    return recursion(stack)[-1].size if plain else widest(stack)


def _union(stack: Stack, n: int) -> int:
    """Span of what any output reads; the first and the last output reach farthest."""
    outputs = n
    for window in stack:
        outputs = window.size(outputs)
    return span(sorted({q for at in range(outputs) for q in field(stack, n, at)}))


def _apply(layer: nn.Module, shape: tuple[int, ...]) -> tuple[tuple[int, ...], Sequence]:
    """The shape behind the layer, and its windows along rows and columns, if it has any."""
    if isinstance(layer, _POINTWISE):
        return shape, ()
    if isinstance(layer, nn.Linear):
        return (layer.out_features,), _need(shape, layer.in_features, "features", dims=1)
    _need(shape, shape[0], "channels", dims=3)
    if isinstance(layer, nn.Flatten):
        if (layer.start_dim, layer.end_dim) != (1, -1):
            raise ValueError(f"want Flatten(1, -1), got Flatten({layer.start_dim}, {layer.end_dim})")
        return (shape[0] * shape[1] * shape[2],), ()
    channels = shape[0]
    if isinstance(layer, nn.BatchNorm2d):
        return shape, _need(shape, layer.num_features, "channels", dims=3)
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        _need(shape, layer.in_channels, "channels", dims=3)
        channels, windows = layer.out_channels, _convolution(layer)
    elif isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
        windows = _pooling(layer)
    elif isinstance(layer, nn.AdaptiveAvgPool2d) and _pair(layer.output_size) == (1, 1):
        windows = [Window(n) for n in shape[1:]]
    elif isinstance(layer, nn.Upsample) and layer.mode == "nearest" and layer.scale_factor is not None:
        factors = _pair(layer.scale_factor)
        if any(f != int(f) for f in factors):
            raise ValueError(f"scale_factor: want whole numbers, got {factors}")
        windows = [TransposedWindow(int(f), int(f)) for f in factors]
    else:
        raise ValueError("this kind of layer is not known here; see the docstring of table")
    return (channels, *(w.size(n) for w, n in zip(windows, shape[1:], strict=True))), windows


def _need(shape: tuple[int, ...], want: int, what: str, dims: int) -> tuple[()]:
    if len(shape) != dims:
        raise ValueError(
            f"want {'a map (c, h, w)' if dims == 3 else 'a row; put nn.Flatten before it'}, got {shape}"
        )
    if shape[0] != want:
        raise ValueError(f"want {want} {what}, got {shape[0]}")
    return ()


def _pair(value: int | float | Sequence) -> tuple:
    return tuple(value) if isinstance(value, Sequence) else (value, value)


def _convolution(layer: nn.Conv2d | nn.ConvTranspose2d) -> list[Window | TransposedWindow]:
    if layer.padding_mode != "zeros":
        raise ValueError(f"padding_mode: want zeros, got {layer.padding_mode}, which reads pixels elsewhere")
    axes = list(zip(layer.kernel_size, layer.stride, layer.dilation, strict=True))
    if isinstance(layer, nn.ConvTranspose2d):
        rest = zip(axes, layer.padding, layer.output_padding, strict=True)
        return [TransposedWindow(k, s, p, d, e) for (k, s, d), p, e in rest]
    if layer.padding == "same":
        return [Window(k, s, d * (k - 1) // 2, d, extra=d * (k - 1) % 2) for k, s, d in axes]
    padding = (0, 0) if layer.padding == "valid" else layer.padding
    return [Window(k, s, p, d) for (k, s, d), p in zip(axes, padding, strict=True)]


def _pooling(layer: nn.MaxPool2d | nn.AvgPool2d) -> list[Window]:
    numbers = (layer.kernel_size, layer.stride, layer.padding, getattr(layer, "dilation", 1))
    windows = [Window(*axis, ceil=layer.ceil_mode) for axis in zip(*map(_pair, numbers), strict=True)]
    for window in windows:
        if window.padding > window.extent // 2:  # a window could lie in the padding alone
            raise ValueError(f"padding: want at most half of {window.extent}, got {window.padding}")
    return windows
