"""Charts: a few curves as SVG text, small enough to write by hand and sharp at any size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

Point = tuple[float, float]

WIDTH, HEIGHT = 440, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 14, 46  # pixels around the plot
COLOURS = ("#2563a8", "#b4540a", "#2b7a3d", "#7a3d8f", "#23272e")


@dataclass(frozen=True, slots=True)
class Curve:
    """A named line through points (x, y), with a dot at each point where there are few."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis shows and from where to where; a logarithmic one needs values above 0."""

    label: str
    least: float = 0.0
    most: float = 1.0
    logarithmic: bool = False
    whole: bool = False
    """Whether what it shows is counted: its ticks are whole numbers."""

    def share(self, value: float) -> float:
        """Where a value lies on the axis, 0..1; what lies outside is put on its end."""
        if self.logarithmic:
            return Axis("", math.log(self.least), math.log(self.most)).share(math.log(max(value, self.least)))
        width = self.most - self.least
        return min(max((value - self.least) / width, 0.0), 1.0) if width else 0.5

    def ticks(self) -> list[float]:
        """Four to ten round values within the axis, a step of 1, 2 or 5 times a power of ten apart.

        Of a logarithmic axis the powers of ten, and where these are fewer than three, 2 and 5 times them too; one that
        holds hardly any of these has the ticks of a straight one.
        """
        if self.logarithmic:
            powers = range(math.floor(math.log10(self.least)), math.ceil(math.log10(self.most)) + 1)
            for factors in ((1,), (1, 2, 5)):
                values = [factor * 10.0**power for power in powers for factor in factors]
                within = [value for value in values if self.least <= value <= self.most * (1 + 1e-9)]
                if len(within) >= 3:
                    return within
        width = (self.most - self.least) or 1.0
        power = 10.0 ** math.floor(math.log10(width / 4))
        step = next(power * factor for factor in (10, 5, 2, 1) if width / (power * factor) >= 4)
        step = max(step, 1.0) if self.whole else step
        first = math.ceil(self.least / step - 1e-9)
        return [round(number * step, 12) for number in range(first, math.floor(self.most / step + 1e-9) + 1)]


def curve_chart(curves: Sequence[Curve], x: Axis, y: Axis, diagonal: bool = False, mark: Point | None = None) -> str:
    """An `<svg>` of curves over one pair of axes.

    :param diagonal: a dashed line where x = y.
    :param mark: a point to stand out, with a line down to the x axis.
    """
    parts = [*_frame(x, y)]
    if diagonal:
        parts.append(_line(_at((x.least, y.least), x, y), _at((x.most, y.most), x, y), "dashed"))
    for number, curve in enumerate(curves):
        parts.extend(_curve(curve, COLOURS[number % len(COLOURS)], x, y))
    if mark is not None:
        (left, top), (_, floor) = _at(mark, x, y), _at((mark[0], y.least), x, y)
        parts.append(_line((left, top), (left, floor), "dashed"))
        parts.append(f'<circle cx="{left:.1f}" cy="{top:.1f}" r="5" class="mark"/>')
    if len(curves) > 1:
        parts.extend(
            f'<text x="{LEFT + 10}" y="{TOP + 16 * (number + 1)}" style="fill:{COLOURS[number % len(COLOURS)]}">'
            f"{escape(curve.name)}</text>"
            for number, curve in enumerate(curves)
        )
    names = ", ".join(curve.name for curve in curves)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{escape(names)}">{"".join(parts)}</svg>'
    )


def bar(share: float) -> str:
    """A small `<svg>` bar, 0..1 of its width filled, for a cell of a table."""
    filled = 120 * min(max(share, 0.0), 1.0)
    return (
        '<svg class="bar" viewBox="0 0 120 12" width="120" height="12" aria-hidden="true">'
        f'<rect width="120" height="12" class="ground"/><rect width="{filled:.1f}" height="12" class="filled"/></svg>'
    )


def axis_around(label: str, values: Sequence[float], whole: bool = False) -> Axis:
    """An axis that holds all of the values with a twentieth to spare on both sides."""
    if not values:
        return Axis(label)
    spare = (max(values) - min(values)) / 20 or 0.05
    return Axis(label, min(values) - spare, max(values) + spare, whole=whole)


def logarithmic_axis(label: str, values: Sequence[float]) -> Axis:
    """A logarithmic axis that holds all of the values, which are above 0, with a third to spare on both sides."""
    return Axis(label, min(values) / 1.35, max(values) * 1.35, logarithmic=True)


def _frame(x: Axis, y: Axis) -> list[str]:
    parts = []
    for value in x.ticks():
        left, floor = _at((value, y.least), x, y)
        parts.append(_line((left, floor), (left, TOP), "grid"))
        parts.append(f'<text x="{left:.1f}" y="{floor + 16:.1f}" text-anchor="middle">{_number(value)}</text>')
    for value in y.ticks():
        left, top = _at((x.least, value), x, y)
        parts.append(_line((left, top), (WIDTH - RIGHT, top), "grid"))
        parts.append(f'<text x="{left - 6:.1f}" y="{top + 4:.1f}" text-anchor="end">{_number(value)}</text>')
    middle, centre = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x.label)}</text>')
    parts.append(
        f'<text x="14" y="{centre}" text-anchor="middle" transform="rotate(-90 14 {centre})">{escape(y.label)}</text>'
    )
    return parts


def _curve(curve: Curve, colour: str, x: Axis, y: Axis) -> list[str]:
    places = [_at(point, x, y) for point in curve.points]
    drawn = " ".join(f"{left:.1f},{top:.1f}" for left, top in places)
    parts = [f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>']
    if len(places) <= 40:
        parts.extend(f'<circle cx="{left:.1f}" cy="{top:.1f}" r="3" fill="{colour}"/>' for left, top in places)
    return parts


def _at(point: Point, x: Axis, y: Axis) -> Point:
    left = LEFT + x.share(point[0]) * (WIDTH - LEFT - RIGHT)
    return left, HEIGHT - BOTTOM - y.share(point[1]) * (HEIGHT - TOP - BOTTOM)


def _line(start: Point, end: Point, kind: str) -> str:
    return f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" class="{escape(kind)}"/>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:g}"
