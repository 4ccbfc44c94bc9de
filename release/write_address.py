"""Write into pyproject.toml where the project lives, before a release is built.

    python release/write_address.py https://HOST/OWNER/NAME TAG

The sources do not know it. It gives the index's page its project links, and makes the README's
picture and links between files absolute there; without it they are left out on that page.
"""

import re
import sys
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def with_address(pyproject: str, address: str, tag: str) -> str:
    """The text of pyproject.toml with the address of the project in it."""
    urls = (
        "[project.urls]\n"
        f'Source = "{address}"\n'
        f'Documentation = "{address}/tree/{tag}/docs"\n'
        f'Changelog = "{address}/blob/{tag}/CHANGELOG.md"\n'
        f'Issues = "{address}/issues"\n\n'
    )
    places = {
        "replacement = ''": f'replacement = "![\\\\1]({address}/raw/{tag}/\\\\2)\\n\\n"',
        "replacement = '\\1'": f"replacement = '[\\1]({address}/blob/{tag}/\\2)'",
        "[project.optional-dependencies]": f"{urls}[project.optional-dependencies]",
    }
    if any(pyproject.count(place) != 1 for place in places) or "[project.urls]" in pyproject:
        raise ValueError("pyproject.toml: expected one place for pictures, for links and for urls")
    for place, text in places.items():
        pyproject = pyproject.replace(place, text)
    return pyproject


def main(address: str, tag: str) -> None:
    if not re.fullmatch(r"https://[\w.-]+(/[\w.-]+)+", address) or not re.fullmatch(
        r"[\w.-]+", tag
    ):
        raise SystemExit(f"expected an https address and a tag, got {address!r} and {tag!r}")
    PYPROJECT.write_text(with_address(PYPROJECT.read_text(), address, tag))


if __name__ == "__main__":
    main(*sys.argv[1:])
