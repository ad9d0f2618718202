"""Figure helpers. Each takes arrays, returns a Figure that stands outside pyplot, and never shows it.

Importing this module sets the book's one style, and in a notebook makes every figure an SVG. A figure is
shown once: where it is the last value of a cell, or where the text glues it. Only the colours below are
drawn, so that a page can exchange exactly these strings for their counterparts on a dark ground.
"""

import io
import math
import warnings
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import torch
from IPython import get_ipython
from jaxtyping import Float, Num
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

PAPER, INK, MUTED, RULE = "#ffffff", "#1f2933", "#52606d", "#d9e2ec"
BLUE, ORANGE, GREEN, PURPLE = "#0b6fa4", "#c2571a", "#0f7b5f", "#8e4585"
GOLD, GREY = "#a87900", "#7b8794"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, GREY, GOLD)  # the first four differ for every kind of eye
DASHES = ("-", "--", "-.", ":", (0, (6, 2, 1, 2, 1, 2)), (0, (1, 1)))  # no line is told by its colour alone

WIDTH = 6.0  # inches: 576 pixels, inside the column of text, and still readable at half of that on a phone
MANY = (
    1000  # points beyond which a line is drawn as pixels: an SVG path of each would weigh more than the page
)

STYLE = {
    "figure.facecolor": PAPER,
    "figure.dpi": 144,  # of the pictures inside the SVG: two pixels for one
    "figure.constrained_layout.use": True,
    "axes.facecolor": PAPER,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": mpl.cycler(color=SERIES, linestyle=DASHES),
    "boxplot.boxprops.color": INK,
    "boxplot.capprops.color": INK,
    "boxplot.flierprops.color": INK,
    "boxplot.flierprops.markeredgecolor": INK,
    "boxplot.whiskerprops.color": INK,
    "font.size": 11,
    "grid.color": RULE,
    "hatch.color": INK,
    "image.cmap": "gray",
    "image.interpolation": "nearest",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "patch.edgecolor": INK,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "path",
    "svg.hashsalt": "worked",
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
}
_PRINT = {"bbox_inches": None, "metadata": {"Date": None}}  # the size asked for; the same bytes every time


def style() -> None:
    """Set the book's style; in a notebook, draw as SVG, also what is drawn with pyplot."""
    mpl.rcParams.update(STYLE)
    shell = get_ipython()
    if shell is not None:
        from IPython.core.pylabtools import select_figure_formats
        from matplotlib_inline.config import InlineBackend

        inline = InlineBackend.instance(parent=shell)
        with warnings.catch_warnings():  # its own observers are written in a deprecated way
            warnings.simplefilter("ignore", DeprecationWarning)
            inline.figure_formats, inline.print_figure_kwargs = {"svg"}, _PRINT
        select_figure_formats(shell, {"svg"}, **_PRINT)


style()


def to_svg(fig: Figure) -> str:
    """The figure as SVG text: no date and no random ids, so that equal figures give equal bytes."""
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        fig.savefig(buffer, format="svg", metadata=_PRINT["metadata"])
    return buffer.getvalue()


def panels(
    rows: int = 1, columns: int = 1, *, height: float = 2.6, sharex: bool = False, sharey: bool = False
) -> tuple[Figure, Axes | np.ndarray]:
    """An empty figure as wide as the text, ``height`` inches a row; one Axes, or an array of them."""
    fig = Figure(figsize=(WIDTH, height * rows), layout="constrained")
    return fig, fig.subplots(rows, columns, sharex=sharex, sharey=sharey)


def image_row(
    images: Float[Tensor, "n c h w"],
    titles: Sequence[str],
    lo: float = -1.0,
    hi: float = 1.0,
    clip: bool = False,
) -> Figure:
    """One row of n images (c = 1 or 3), all on the same scale: lo is black, hi is white.

    Raises ValueError on values outside [lo, hi] unless clip=True: matplotlib would clip them in
    silence, and a saturated picture is a wrong claim about the data.
    """
    if len(titles) != len(images):
        raise ValueError(f"{len(images)} images with {len(titles)} titles")
    pictures = _pictures(images, lo, hi, clip)
    size = min(1.4, WIDTH / len(pictures))
    aspect = images.shape[2] / images.shape[3]
    lines = max(title.count("\n") + 1 for title in titles)
    height = size * aspect + 0.19 * lines + 0.14  # inches: lines of 10 points, and the space around them
    fig = Figure(figsize=(size * len(pictures), height), layout="constrained")
    axes = fig.subplots(1, len(pictures), squeeze=False)[0]
    for ax, picture, title in zip(axes, pictures, titles, strict=True):
        ax.imshow(picture, vmin=0, vmax=1)
        ax.set_title(title, fontsize=10)
        ax.set_axis_off()
    return fig


def image_grid(
    images: Float[Tensor, "n c h w"],
    columns: int = 8,
    lo: float = -1.0,
    hi: float = 1.0,
    clip: bool = False,
) -> Figure:
    """n images (c = 1 or 3) in rows of ``columns``, on the same scale; guarded like image_row."""
    if columns < 1:
        raise ValueError(f"need columns >= 1, got {columns}")
    pictures = _pictures(images, lo, hi, clip)
    n, h, w = pictures.shape[:3]
    rows, gap = math.ceil(n / columns), 1
    sheet = np.zeros((rows * (h + gap) - gap, columns * (w + gap) - gap, 4))  # RGBA: the gaps are transparent
    for i, picture in enumerate(pictures):
        top, left = i // columns * (h + gap), i % columns * (w + gap)
        sheet[top : top + h, left : left + w, :3] = picture if picture.ndim == 3 else picture[..., None]
        sheet[top : top + h, left : left + w, 3] = 1
    dots = STYLE["figure.dpi"] * min(WIDTH, 0.6 * columns)
    each = (
        math.floor(dots / sheet.shape[1]) or dots / sheet.shape[1]
    )  # whole dots for each pixel, if they fit
    width = each * sheet.shape[1] / STYLE["figure.dpi"]
    fig = Figure(figsize=(width, width * sheet.shape[0] / sheet.shape[1]), layout="constrained")
    fig.get_layout_engine().set(w_pad=0, h_pad=0)
    ax = fig.subplots()
    ax.imshow(sheet)
    ax.set_axis_off()
    return fig


def curves(
    x: Sequence[float] | Sequence[int] | Num[Tensor, " _"],
    series: Mapping[str, Sequence[float] | Sequence[int] | Num[Tensor, " _"]],
    *,
    xlabel: str,
    ylabel: str,
    log_x: bool = False,
    log_y: bool = False,
    height: float = 2.8,
) -> Figure:
    """A line for each named series over the same x; told apart by colour and by dashes.

    Raises ValueError on values that a plot would leave out in silence: NaN, infinity, and on a logarithmic
    axis whatever is not positive; and on an axis without a name.
    """
    if not (xlabel and ylabel):
        raise ValueError("an axis without a name says nothing: give xlabel and ylabel")
    across = _values("x", x, log_x)
    fig, ax = panels(height=height)
    for (label, values), dash in zip(series.items(), DASHES, strict=False):
        up = _values(label, values, log_y)
        if len(up) != len(across):
            raise ValueError(f"{label!r} has {len(up)} values over {len(across)} of x")
        ax.plot(across, up, label=label, linestyle=dash, rasterized=len(up) > MANY)
    if len(series) > len(DASHES):
        raise ValueError(f"{len(series)} series in one plot; {len(DASHES)} can be told apart")
    ax.set(
        xlabel=xlabel, ylabel=ylabel, xscale="log" if log_x else "linear", yscale="log" if log_y else "linear"
    )
    if len(series) > 1:
        ax.legend()
    return fig


def _values(name: str, values: Sequence[float] | Sequence[int] | Num[Tensor, " _"], log: bool) -> np.ndarray:
    array = torch.as_tensor(values).detach().cpu().double().numpy()
    if not np.isfinite(array).all() or (log and (array <= 0).any()):
        want = "finite and positive (the axis is logarithmic)" if log else "finite"
        raise ValueError(f"{name!r} has values that a plot leaves out in silence; all must be {want}")
    return array


def _pictures(images: Float[Tensor, "n c h w"], lo: float, hi: float, clip: bool) -> np.ndarray:
    """Images as matplotlib takes them, in [0, 1]: (n, h, w) if grey, (n, h, w, 3) in colour."""
    n, c = images.shape[:2]
    if n == 0 or c not in (1, 3):
        raise ValueError(f"need at least one image of 1 or 3 channels, got {n} of {c}")
    if not images.isfinite().all():
        raise ValueError("the images have values that are not finite")
    if not clip and (images.min() < lo or images.max() > hi):
        raise ValueError(f"values in [{images.min():.3g}, {images.max():.3g}], want [{lo}, {hi}]")
    scaled = ((images - lo) / (hi - lo)).clamp(0, 1).movedim(1, -1).detach().cpu().numpy()  # (n, h, w, c)
    return scaled[..., 0] if c == 1 else scaled
