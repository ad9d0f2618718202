"""Carry a value or a figure from a cell into the prose of the page."""

import os
from typing import Any

from IPython import get_ipython
from IPython.display import display


def glue(name: str, value: Any, display_here: bool = False) -> None:
    """Give `value` a name that the page's text and figures can refer to.

    While the press builds the site the value is stored unseen, in the format that MyST-NB's
    ``{glue:text}`` and ``{glue:figure}`` read, and shows where the text puts it. In a notebook there
    is no such place, so a figure is shown under its cell. ``display_here=True`` shows it in both.
    """
    shell = get_ipython()
    if shell is None:
        return
    mimebundle, metadata = shell.display_formatter.format(value)
    in_press = "WORKED_PRESS" in os.environ
    show = display_here or (not in_press and not isinstance(value, str | int | float))
    prefix = "" if show else "application/papermill.record/"
    metadata["scrapbook"] = {"name": name, "mime_prefix": prefix}
    display({prefix + kind: data for kind, data in mimebundle.items()}, raw=True, metadata=metadata)
