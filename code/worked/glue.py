"""Carry a value or a figure from a cell into the prose of the page."""

import os
from typing import Any

from IPython import get_ipython
from IPython.display import display


def glue(name: str, value: Any) -> None:
    """Give `value` a name that the page's text and figures can refer to.

    While the press builds the site the value is stored unseen, in the format that MyST-NB's
    ``{glue:text}`` and ``{glue:figure}`` read, and shows where the text puts it. A notebook has no such
    place: there a figure is shown under its cell, and a number or a text not at all. A tensor or an array
    of one element counts as its number: the text can format that.
    """
    if hasattr(value, "item"):
        value = value.item()
    shell = get_ipython()
    if shell is None:
        return
    if "WORKED_PRESS" not in os.environ:
        if not isinstance(value, str | int | float):
            display(value)
        return
    hidden = "application/papermill.record/"
    bundle, metadata = shell.display_formatter.format(value)
    metadata["scrapbook"] = {"name": name, "mime_prefix": hidden}
    display({hidden + kind: data for kind, data in bundle.items()}, raw=True, metadata=metadata)
