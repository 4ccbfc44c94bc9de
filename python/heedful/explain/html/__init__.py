"""Attention as HTML: pages that are one file each, for notebooks and for browsers.

They need no network and send nothing: the page's own policy forbids both. Tokens are shown as text,
whatever markup they hold.
"""

from heedful.explain.html._heads import heads
from heedful.explain.html._image import image
from heedful.explain.html._model import model
from heedful.explain.html._page import Page
from heedful.explain.html._tokens import tokens

__all__ = ["Page", "heads", "image", "model", "tokens"]
