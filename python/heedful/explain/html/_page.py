"""Page: an HTML document that is complete in one file."""

from __future__ import annotations

import html
from pathlib import Path

from heedful._checks import size
from heedful._whole_file import AnyPath, check_target, whole_file


class Page:
    """An HTML document: a notebook shows it, ``save`` writes it, ``str`` returns it.

    Parameters
    ----------
    document : str
        The whole document.
    height : int, default 640
        Of its frame in a notebook, in pixels.

    Examples
    --------
    >>> from heedful.explain import html
    >>> page = html.tokens(["so", "good"], scores=[0.1, 0.9])
    >>> str(page)[:15]
    '<!doctype html>'
    """

    def __init__(self, document: str, height: int = 640) -> None:
        self.document = document
        self.height: int = size("height", height)

    def __str__(self) -> str:
        return self.document

    def __repr__(self) -> str:
        return f"Page({len(self.document)} characters; save(path) writes it)"

    def _repr_html_(self) -> str:
        """A frame of its own: neither the notebook's styles nor its scripts mix with the page's."""
        return (
            '<iframe sandbox="allow-scripts" title="heedful.explain" '
            f'style="width:100%;height:{self.height}px;border:0" '
            f'srcdoc="{html.escape(self.document)}"></iframe>'
        )

    def save(self, path: AnyPath) -> Path:
        """Write the page as a file, as a whole or not at all.

        Parameters
        ----------
        path : str or path
            Such as ``"attention.html"``; its folder must exist.

        Returns
        -------
        pathlib.Path
            The absolute path: ``page.save(path).as_uri()`` is what a browser opens.
        """
        check_target(path)
        with whole_file(path) as part:
            part.write_text(self.document, encoding="utf-8")
        return Path(path).absolute()
