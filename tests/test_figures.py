import itertools
import re

import matplotlib as mpl
import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.figure import Figure
from skimage.color import rgb2lab
from traitlets.config import Config
from worked import figures
from worked.figures import curves, image_grid, image_row, panels, to_svg

PALETTE = {figures.PAPER, figures.INK, figures.MUTED, figures.RULE, *figures.SERIES}


def shown(fig):
    """The numbers that each imshow of the figure was given."""
    return [np.asarray(ax.images[0].get_array()) for ax in fig.axes]


def everything():
    """One figure of each kind, and what chapters draw with panels."""
    x = torch.linspace(1, 2, 30)
    yield image_row(torch.zeros(2, 1, 4, 4), ["a", "b"])
    yield image_grid(torch.zeros(5, 3, 4, 4), columns=3)
    yield curves(x, {f"{i}": x + i for i in range(6)}, xlabel="x (m)", ylabel="y", log_y=True)
    fig, axes = panels(2, 2)
    axes[0, 0].bar(range(3), [1, 2, 3])
    axes[0, 1].errorbar(range(3), [1, 2, 3], yerr=[1, 1, 1], capsize=2)
    axes[1, 0].boxplot([[1, 2, 3, 9]])
    axes[1, 1].scatter([1, 2], [1, 2])
    axes[1, 1].set_title("title")
    axes[1, 1].fill_between([1, 2], [1, 1], [2, 2], alpha=0.2)
    yield fig


def test_only_palette_colours_are_drawn():
    for fig in everything():
        svg = to_svg(fig)
        assert set(re.findall(r"#[0-9a-fA-F]{6}\b", svg)) <= PALETTE
        assert not re.search(r"(fill|stroke): ?(black|white|#000|rgb)", svg)
        assert len(svg) < 200_000


def test_equal_figures_give_equal_bytes():
    first, second = ([to_svg(fig) for fig in everything()] for _ in range(2))
    assert first == second
    assert "dc:date" not in "".join(first)


def test_text_is_drawn_as_paths():
    svg = to_svg(curves([1.0, 2.0], {"a": [1.0, 2.0]}, xlabel="step", ylabel="loss"))
    assert "<text" not in svg


def test_figures_stand_outside_pyplot():
    import matplotlib.pyplot as plt

    figs = list(everything())
    assert all(isinstance(fig, Figure) for fig in figs)
    assert plt.get_fignums() == []


def test_scale_by_hand():
    images = torch.tensor([-1.0, 0.0, 0.5, 1.0]).reshape(1, 1, 2, 2)
    (pixels,) = shown(image_row(images, ["a"]))
    np.testing.assert_array_equal(pixels, [[0, 0.5], [0.75, 1]])
    fig = image_row(images, ["a"], lo=-2.0, hi=2.0)
    np.testing.assert_array_equal(shown(fig)[0], [[0.25, 0.5], [0.625, 0.75]])
    assert fig.axes[0].images[0].get_clim() == (0, 1)  # not stretched to the picture's own range


def test_colour_pictures_keep_their_channels(rng):
    images = torch.rand(2, 3, 4, 5, generator=rng)
    for picture, image in zip(shown(image_row(images, ["a", "b"], lo=0.0)), images, strict=True):
        np.testing.assert_array_equal(picture, image.permute(1, 2, 0).numpy())


def test_the_grid_is_filled_row_by_row(rng):
    images = torch.rand(5, 1, 4, 6, generator=rng)
    (sheet,) = shown(image_grid(images, columns=3, lo=0.0))
    assert sheet.shape == (2 * 4 + 1, 3 * 6 + 2, 4)
    for i, image in enumerate(images):
        top, left = 5 * (i // 3), 7 * (i % 3)
        np.testing.assert_array_equal(sheet[top : top + 4, left : left + 6, 0], image[0].numpy())
        assert (sheet[top : top + 4, left : left + 6, 3] == 1).all()
    assert (sheet[4, :, 3] == 0).all()  # gaps and the empty place show the page
    assert (sheet[5:, 14:, 3] == 0).all()


def test_the_grid_gives_each_pixel_whole_dots():
    fig = image_grid(torch.zeros(64, 1, 28, 28))
    dots = fig.get_figwidth() * 144 / (8 * 28 + 7)
    assert dots == pytest.approx(round(dots))
    assert fig.get_figwidth() <= figures.WIDTH


@pytest.mark.parametrize("draw", [lambda x, **kw: image_row(x, ["a"] * len(x), **kw), image_grid])
def test_values_off_the_scale_are_refused_unless_clipped(draw):
    bright = torch.tensor([-1.0, 0.0, 0.5, 1.25]).reshape(1, 1, 2, 2)
    with pytest.raises(ValueError, match=r"values in \[-1, 1.25\], want \[-1.0, 1.0\]"):
        draw(bright)
    with pytest.raises(ValueError, match="want"):
        draw(bright, lo=0.0, hi=2.0)
    assert shown(draw(bright, clip=True))[0].max() == 1
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not finite"):
            draw(bright.fill_(bad), clip=True)


def test_images_and_titles_must_fit():
    with pytest.raises(ValueError, match="2 images with 1 titles"):
        image_row(torch.zeros(2, 1, 4, 4), ["a"])
    with pytest.raises(ValueError, match="1 or 3 channels, got 1 of 2"):
        image_row(torch.zeros(1, 2, 4, 4), ["a"])
    with pytest.raises(ValueError, match="got 0 of 1"):
        image_grid(torch.zeros(0, 1, 4, 4))
    with pytest.raises(ValueError, match="columns >= 1"):
        image_grid(torch.zeros(1, 1, 4, 4), columns=0)


def test_curves_draw_what_they_are_given():
    fig = curves([1.0, 2.0], {"a": [3.0, 4.0], "b": torch.tensor([5.0, 6.0])}, xlabel="step", ylabel="loss")
    (ax,) = fig.axes
    assert [line.get_ydata().tolist() for line in ax.lines] == [[3, 4], [5, 6]]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "loss")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == 2
    assert len({line.get_linestyle() for line in ax.lines}) == 2


def test_a_long_curve_is_drawn_as_pixels(rng):
    y = torch.rand(20_000, generator=rng)
    assert len(to_svg(curves(range(20_000), {"a": y}, xlabel="step", ylabel="loss"))) < 200_000


@pytest.mark.parametrize(
    ("series", "options", "match"),
    [
        ({"a": [1.0, float("nan")]}, {}, "'a' has values that a plot leaves out"),
        ({"a": [1.0, 0.0]}, {"log_y": True}, "finite and positive"),
        ({"a": [1.0, 2.0, 3.0]}, {}, "'a' has 3 values over 2 of x"),
        ({str(i): [1.0, 2.0] for i in range(7)}, {}, "7 series in one plot; 6"),
        ({"a": [1.0, 2.0]}, {"ylabel": ""}, "axis without a name"),
    ],
)
def test_curves_leave_nothing_out_in_silence(series, options, match):
    with pytest.raises(ValueError, match=match):
        curves([1.0, 2.0], series, **{"xlabel": "x", "ylabel": "y", **options})


def test_a_log_axis_across():
    fig = curves([1.0, 10.0], {"a": [1.0, 2.0]}, xlabel="x", ylabel="y", log_x=True)
    assert (fig.axes[0].get_xscale(), fig.axes[0].get_yscale()) == ("log", "linear")
    with pytest.raises(ValueError, match="'x' has values"):
        curves([0.0, 10.0], {"a": [1.0, 2.0]}, xlabel="x", ylabel="y", log_x=True)


def linear_rgb(colour):
    c = np.array(mpl.colors.to_rgb(colour))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def seen(colour, eye):
    """CIELAB of a colour as an eye sees it."""
    c = (eye @ linear_rgb(colour)).clip(0, 1)
    return rgb2lab(np.where(c <= 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055))


# Full protanopia, deuteranopia, tritanopia in linear RGB.
# Source: Machado, Oliveira, Fernandes 2009, doi:10.1109/TVCG.2009.113
EYES = {
    "usual": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


@pytest.mark.parametrize("eye", EYES)
def test_the_first_four_series_differ_for_every_eye(eye):
    """A just noticeable difference is 2.3 in CIELAB; three of them at least."""
    for a, b in itertools.combinations(figures.SERIES[:4], 2):
        assert np.linalg.norm(seen(a, EYES[eye]) - seen(b, EYES[eye])) > 3 * 2.3


def test_contrast_on_paper():
    """WCAG 2.2: 4.5 for text, 3 for lines."""

    def contrast(colour):
        return 1.05 / (linear_rgb(colour) @ (0.2126, 0.7152, 0.0722) + 0.05)

    assert contrast("#000000") == pytest.approx(21)
    assert all(contrast(colour) >= 4.5 for colour in (figures.INK, figures.MUTED))
    assert all(contrast(colour) >= 3 for colour in figures.SERIES)


def test_in_a_notebook_figures_are_svg():
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    try:
        figures.style()
        bundle, _ = shell.display_formatter.format(image_row(torch.zeros(1, 1, 4, 4), ["a"]))
    finally:
        InteractiveShell.clear_instance()
    assert bundle.keys() == {"image/svg+xml", "text/plain"}
    assert "dc:date" not in bundle["image/svg+xml"]
