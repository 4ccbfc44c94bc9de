r"""Pictures of attention with matplotlib: each function takes and returns axes, and shows nothing.

Without `ax` they are drawn on a new figure, ``ax.figure``: after ``%matplotlib inline`` a notebook
shows it as the last line of a cell, and ``ax.figure.savefig("attention.png")`` writes it. Tokens
are drawn as they are, without TeX; what no installed font has is written as an escape such as
\u6ce8.
"""

from heedful.explain.plot._arcs import arcs
from heedful.explain.plot._comparison import comparison
from heedful.explain.plot._entropy import entropy
from heedful.explain.plot._head_grid import head_grid
from heedful.explain.plot._heatmap import heatmap
from heedful.explain.plot._patches import patches

__all__ = ["arcs", "comparison", "entropy", "head_grid", "heatmap", "patches"]
