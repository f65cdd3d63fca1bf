"""A picture of a page as an SVG file of its own, for papers: on white, with its style inside. Draws nothing."""

from __future__ import annotations

import re

from markupsafe import Markup

from suite.report.svg import tag

#: As templates/style.css in its light theme, without variables, which few programs but browsers read.
_STYLE = (
    "svg{background:#fff}text{font:12px sans-serif;fill:#000}.tick{font-size:11px;fill:#444}"
    ".grid{stroke:#d0d7de;stroke-width:1}.axis{stroke:#444;stroke-width:1}.threshold{stroke:#000;stroke-width:1.4;stroke-dasharray:3 2}"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}.band{fill-opacity:.16;stroke:none}"
    ".dots{fill:none;stroke-width:4.4;stroke-linecap:round;stroke-opacity:.62}.mean{stroke-width:2.6}"
    ".d1 .line{stroke-dasharray:7 3}.d2 .line{stroke-dasharray:2 2}.d3 .line{stroke-dasharray:9 3 2 3}"
    ".dot{fill:currentColor}.open{fill:#fff;stroke:currentColor;stroke-width:2}.span{stroke:currentColor;stroke-width:3}"
    ".cross{fill:none;stroke:#a83c00;stroke-width:1.4}.plain .dots{stroke:#57606a}"
    ".alive{stroke:#cfe3f1}.dead{stroke:#1b1f24}.back{stroke:#d55e00}.gone{stroke:#cc79a7}.between{stroke:#fff;stroke-width:1}"
    ".raster path{fill:none;stroke-width:1;shape-rendering:crispEdges}.edge{fill:none;stroke:#d0d7de}"
    ".top{fill:none;stroke-width:1.5;stroke-dasharray:1.5 2.5}.theory{fill:none;stroke:#000;stroke-width:1.4}"
    ".whisker{fill:none;stroke-width:1.2;stroke-opacity:.5}"
    ".supported{color:#00704f}.refuted{color:#a83c00}.inconclusive{color:#6e5494}"
)
#: What only a page's script reads.
_SCRIPTED = re.compile(r' (?:data-at|data-says|data-span)="[^"]*"')
_HUES = "".join(
    f".c{k} .line,.c{k} .dots,.c{k} .mean,.c{k} .top,.c{k} .whisker{{stroke:{hue}}}.c{k} .band{{fill:{hue}}}"
    for k, hue in enumerate(("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F"))
)


def standalone(picture: Markup, names: dict[str, str] | None = None, patches: bool = False) -> bytes:
    """The file's content. ``names`` maps conditions to their classes where the picture itself does not name them: a key is added below,
    of lines, or of ``patches`` whose names are those of states.
    """
    text = _SCRIPTED.sub("", str(picture))
    head, rest = text.split(">", 1)
    width, height = head.split('viewBox="', 1)[1].split('"', 1)[0].split()[2:]
    key, tall = _key(names or {}, float(width), float(height), patches)
    head = head.replace(f'viewBox="0 0 {width} {height}"', f'viewBox="0 0 {width} {tall:g}" width="{width}" height="{tall:g}"')
    opening = head.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return f"{opening}><style>{_STYLE}{_HUES}</style>{rest.removesuffix('</svg>')}{key}</svg>\n".encode()


def _key(names: dict[str, str], width: float, height: float, patches: bool) -> tuple[Markup, float]:
    """A line or patch and a name for each condition or state, wrapped to the width; and the height with it."""
    if not names:
        return Markup(""), height
    x, y, parts = 8.0, height + 14, []
    for name, style in names.items():
        long = 40.0 + 6.6 * len(name)
        if x > 8.0 and x + long > width:
            x, y = 8.0, y + 18
        mark = tag("path", d=f"M{x:.1f} {y - 4:.1f}h24", class_=style if patches else "line", stroke_width="9" if patches else None)
        parts.append(tag("g", mark, tag("text", name, x=x + 29, y=y), class_=None if patches else style))
        x += long
    return Markup("").join(parts), y + 10
