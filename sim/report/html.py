"""Elements of a page and the page itself: no script, nothing from elsewhere, the figures inside.

Whatever is text is escaped here and nowhere else; functions that return elements take elements as `str` named so.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from sim.figures import INK, PAPER, svg_text
from sim.files import aside
from sim.palette import SOFT, colour_of, name_of

REPORT = "report.html"
STYLE_SHEET = Path(__file__).with_name("report.css")
NUMBER = re.compile(r"[-+−]?[\d,.:]+( ?%)?|[-+−]|")
"""Cells of this kind stand right."""


def page(title: str, body: Iterable[str]) -> str:
    """Return a whole document."""
    style = STYLE_SHEET.read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<main>
{"\n".join(filter(None, body))}
</main>
</body>
</html>
"""


def write(text: str, folder: Path) -> Path:
    """Write a report into its folder, in place of an earlier one."""
    with aside(folder / REPORT) as draft:
        draft.write_text(text, encoding="utf-8")
    return folder / REPORT


def header(title: str, under: str, lead: str) -> str:
    """Title, what it is about, and what is most worth knowing."""
    return f"<header>\n<h1>{escape(title)}</h1>\n{paragraph(under, 'under')}\n{paragraph(lead, 'lead')}\n</header>"


def code(text: str) -> str:
    """What is typed at a prompt."""
    return f"<pre>{escape(text)}</pre>"


def section(title: str, *elements: str) -> str:
    """A section with its heading; without elements, nothing."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{'\n'.join(elements)}\n</section>" if any(elements) else ""


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text; `kind` is a class of the style sheet."""
    return f"<p{_class(kind)}>{escape(text)}</p>"


def pair(*figures: str) -> str:
    """Figures side by side where there is room."""
    return f'<div class="pair">\n{"\n".join(filter(None, figures))}\n</div>' if any(figures) else ""


def colour_key(groups: Iterable[str]) -> str:
    """The groups with their colours."""
    items = (f'<li><i style="background:{colour_of(group)}"></i>{escape(name_of(group))}</li>' for group in groups)
    return f'<ul class="key" aria-label="Colours of the groups">{"".join(items)}</ul>'


def listing(rows: Iterable[tuple[str, str]]) -> str:
    """Names and their values."""
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>' for name, value in rows)}</dl>"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a column whose cells are all numbers stands right, the first one names its row."""
    body = [list(row) for row in rows]
    right = [place > 0 and all(NUMBER.fullmatch(row[place]) for row in body) for place in range(len(head))]
    titles = "".join(
        f'<th scope="col"{_right(is_right)}>{_breakable(text)}</th>' for text, is_right in zip(head, right, strict=True)
    )
    lines = (
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(
            f"<td{_right(is_right)}>{escape(cell)}</td>" for cell, is_right in zip(row[1:], right[1:], strict=True)
        )
        + "</tr>"
        for row in body
    )
    inner = f"<thead><tr>{titles}</tr></thead>\n<tbody>\n{'\n'.join(lines)}\n</tbody>"
    return (
        f'{paragraph(caption, "note")}\n<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table aria-label="{escape(caption)}">\n{inner}\n</table></div>'
    )


def _breakable(text: str) -> str:
    """A text in which a long key may be broken at its dots and underscores."""
    return re.sub(r"([._])(?=\w)", r"\1<wbr>", escape(text))


def picture(svg: bytes, title: str, caption: str) -> str:
    """An SVG from a file, as an image: whatever is in it, it is not run."""
    data = b64encode(svg).decode()
    image = f'<img alt="{escape(f"{title}. {caption}")}" src="data:image/svg+xml;base64,{data}">'
    told = f"<figcaption>{escape(caption)}</figcaption>"
    return f'<figure class="plate">\n<h3>{escape(title)}</h3>\n{image}\n{told}\n</figure>'


def figure(drawing: Figure, title: str, caption: str, *, kind: str = "") -> str:
    """A figure with its title above and what it says below, which is also its text for screen readers."""
    svg = inline(svg_text(drawing), f"{title}. {caption}")
    told = f"<figcaption>{escape(caption)}</figcaption>"
    return f"<figure{_class(kind)}>\n<h3>{escape(title)}</h3>\n{svg}\n{told}\n</figure>"


def inline(svg: str, label: str) -> str:
    """An SVG as matplotlib writes it, made part of a page: ink, soft and paper are the page's, so it goes dark with it.

    Names that nothing refers to are left out; of the others equal ones mean equal things in all figures.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r' (?:xmlns(?::xlink)?|width|height|version)="[^"]*"', "", svg, count=5)
    for colour, of_page in {INK: "currentColor", SOFT: "var(--soft)", PAPER: "var(--paper)"}.items():
        svg = svg.replace(colour, of_page)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    used = set(re.findall(r"#(\w+)", svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1).rstrip()


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _right(is_right: bool) -> str:
    return ' class="number"' if is_right else ""
