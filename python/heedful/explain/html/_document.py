"""The document of a page: styles, data and scripts in one file, under a policy that seals it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from heedful._checks import named

# Nothing is loaded and nothing but these scripts runs, whatever a token holds; images are those
# written into the page.
_POLICY = (
    "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)

_DOCUMENT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1 dir="auto">{title}</h1>
<noscript><p>This page draws with JavaScript, which is switched off here.</p></noscript>
<main id="view" aria-busy="true"></main>
<script type="application/json" id="data">{data}</script>
{blobs}
<script>{script}</script>
</body>
</html>
"""


def document(
    title: str, data: Mapping[str, Any], blobs: Mapping[str, str], scripts: Sequence[str]
) -> str:
    """The HTML of a page.

    Parameters
    ----------
    title : str
    data : mapping
        What JSON can hold; the scripts find it in `data`.
    blobs : mapping of str to str
        Base64 by the id that the scripts ask for: the browser parses none of it before.
    scripts : sequence of str
        Names of the files in assets/, in order, after page.js.
    """
    if not isinstance(title, str):
        raise TypeError(f"title must be a str: got {named(title)}")
    style = _asset("page.css")
    script = "'use strict';\n" + "".join(_asset(name) for name in ("page.js", *scripts))
    return _DOCUMENT.format(
        policy=_POLICY.format(script=_digest(script), style=_digest(style)),
        title=_text(title),
        style=style,
        script=script,
        data=_json(data),
        blobs="\n".join(
            f'<script type="text/plain" id="{name}">{blob}</script>' for name, blob in blobs.items()
        ),
    )


def _asset(name: str) -> str:
    return (files("heedful.explain.html") / "assets" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _text(text: str) -> str:
    """ASCII alone: lone surrogates of broken tokens have no UTF-8."""
    return html.escape(text).encode("ascii", "xmlcharrefreplace").decode()


def _json(data: Mapping[str, Any]) -> str:
    """JSON in which no parser of HTML can find the end of the script, or a comment."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
