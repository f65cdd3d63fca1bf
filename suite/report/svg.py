"""The little SVG that the pages need: elements, axes and ticks as text. Knows numbers and words, no studies.

Written by hand because a plotting library that draws in the browser is many times the size of a page, and one that draws
here repeats its fonts in every figure. Colours are classes, so that a style sheet can change them with the theme.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape


def plain(value: float) -> str:
    """A coordinate to a tenth of a pixel, as short as it can be written."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def tag(name: str, *children: str | Markup, **attributes: object) -> Markup:
    """An element; underscores in attribute names become hyphens, a trailing one is dropped, None leaves the attribute out."""
    parts = [name]
    for key, value in attributes.items():
        if value is not None:
            text = plain(value) if isinstance(value, float) else str(value)
            parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(text)}"')
    inner = Markup("").join(escape(child) for child in children)
    return Markup(f"<{' '.join(parts)}>") + inner + Markup(f"</{name}>")


@dataclass(frozen=True)
class Reading:
    """What a page's script tells at each of some places along a picture: pixels ``at`` and words there, and between which heights
    (``span``) it draws its guide.
    """

    at: Sequence[float]
    says: Sequence[str]
    span: tuple[float, float]

    def attributes(self) -> dict[str, str]:
        """As the script reads them."""
        clean = [text.replace("|", "/") for text in self.says]
        return {
            "data_at": " ".join(plain(x) for x in self.at),
            "data_says": "|".join(clean),
            "data_span": " ".join(plain(y) for y in self.span),
        }


def picture(
    width: float,
    height: float,
    label: str,
    *children: str | Markup,
    class_: str = "",
    focus: bool = False,
    reading: Reading | None = None,
) -> Markup:
    """A whole SVG image with the words that stand for it where it cannot be seen."""
    return tag(
        "svg",
        tag("title", label),
        *children,
        viewBox=f"0 0 {plain(width)} {plain(height)}",
        role="img",
        aria_label=label,
        class_=class_ or None,
        tabindex="0" if focus or reading else None,
        **(reading.attributes() if reading else {}),
    )


@dataclass(frozen=True)
class Axis:
    """Maps values from ``low`` to ``high`` onto pixels from ``start`` to ``end``, linearly or by the logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value; the ends hold what lies outside."""
        low, high, x = (math.log10(v) if self.log else v for v in (self.low, self.high, max(value, 1e-300) if self.log else value))
        share = (x - low) / (high - low)
        return self.start + min(max(share, -0.02), 1.02) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values within the axis."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            step = max(1, -(-(last - first + 1) // max(about, 1)))
            powers = [10.0**k for k in range(first, last + 1, step)]
            if len(powers) > 2:
                return powers
            fine = [factor * 10.0**k for k in range(first - 1, last + 1) for factor in (1, 2, 5)]
            return [value for value in fine if self.low <= value <= self.high] or [self.low, self.high]
        return round_values(self.low, self.high, about)


def round_values(low: float, high: float, about: int = 5) -> list[float]:
    """About so many multiples of 1, 2 or 5 times a power of ten.

    >>> round_values(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    rough = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def short(value: float) -> str:
    """A tick's words."""
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        mantissa, exponent = f"{value:.2g}".split("e") if "e" in f"{value:.2g}" else (f"{value:.2g}", "")
        return f"{mantissa}e{int(exponent)}" if exponent else mantissa
    return f"{value:.4g}"


def axis_over(values: Sequence[float], start: float, end: float, *, share: bool = False, log: bool | None = None) -> Axis:
    """An axis that holds all finite values: 0 to 1 for shares; by the logarithm where all are above zero and they span more
    than a factor of 50 (or as ``log`` says).
    """
    finite = [v for v in values if math.isfinite(v)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if share and low >= 0 and high <= 1:
        return Axis(0.0, 1.0, start, end)
    if log is None:
        log = low > 0 and high / low > 50
    if log and low > 0:
        room = (high / low) ** 0.04 if high > low else 2.0
        return Axis(low / room, high * room, start, end, True)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    return Axis(low - room, high + room, start, end)


def frame(x: Axis, y: Axis, x_label: str, y_label: str) -> list[Markup]:
    """Grid, ticks and labels of a chart whose pixels run to the right and upwards."""
    parts: list[Markup] = []
    for value in y.ticks():
        parts.append(tag("line", x1=x.start, x2=x.end, y1=y.at(value), y2=y.at(value), class_="grid"))
        parts.append(tag("text", short(value), x=x.start - 6, y=y.at(value) + 4, class_="tick", text_anchor="end"))
    for value in x.ticks(6):
        parts.append(tag("line", x1=x.at(value), x2=x.at(value), y1=y.start, y2=y.start + 4, class_="axis"))
        parts.append(tag("text", short(value), x=x.at(value), y=y.start + 17, class_="tick", text_anchor="middle"))
    parts.append(tag("line", x1=x.start, x2=x.end, y1=y.start, y2=y.start, class_="axis"))
    parts.append(tag("text", x_label, x=(x.start + x.end) / 2, y=y.start + 34, class_="name", text_anchor="middle"))
    # the vertical axis is named above it, where the words can be read without turning the head
    parts.append(tag("text", y_label, x=4.0, y=y.end - 10, class_="name"))
    return parts
