"""The pictures of an evaluation, as SVG that stands inline in a page and asks for nothing else."""

from collections.abc import Mapping, Sequence
from html import escape

from shelfwise_indexer.significance import Difference

WIDTH = 1000
_ROW, _TOP, _LABEL, _BARS, _VALUE, _GAP = 34, 34, 270, 260, 60, 40
_RIGHT = WIDTH - 90  # beyond it stand the differences as numbers
_BETTER, _WORSE, _SAME, _BAR, _INK = "#1a7f4b", "#b3372f", "#8a8f98", "#4b6bb5", "#23272e"


def bars_with_intervals(
    means: Mapping[str, float], against: Mapping[str, Difference], baseline: str, over: str = "queries"
) -> str:
    """A row a system: its mean as a bar from 0 to 1, and beside it its difference to the baseline with the interval.

    :param over: what was measured one by one, in the plural.
    """
    height = _TOP + _ROW * len(means) + 26
    left = _LABEL + _BARS + _VALUE + _GAP
    reach = max((max(abs(one.low), abs(one.high)) for one in against.values()), default=0.0) or 0.01
    middle, half = (left + _RIGHT) / 2, (_RIGHT - left) / 2

    def across(value: float) -> float:
        return middle + half * value / reach

    parts = [
        _text(_LABEL, 18, f"mean over the {over}", size=12),
        _text(left, 18, f"minus {baseline}, 95 % interval", size=12),
        _line(middle, _TOP - 8, middle, height - 22, "#c3c7cf", dash="3 3"),
        _text(middle, height - 6, "0", size=11, anchor="middle"),
        _text(left, height - 6, f"{-reach:+.3f}", size=11, anchor="middle"),
        _text(_RIGHT, height - 6, f"{reach:+.3f}", size=11, anchor="middle"),
    ]
    for place, (name, mean) in enumerate(means.items()):
        y = _TOP + _ROW * place + _ROW / 2
        parts += [
            _text(_LABEL - 10, y + 5, name, anchor="end"),
            _box(_LABEL, y - 10, _BARS * mean, 20, _SAME if name == baseline else _BAR),
            _text(_LABEL + _BARS * mean + 6, y + 5, f"{mean:.3f}"),
        ]
        if (difference := against.get(name)) is not None:
            colour, ends = _colour(difference), (difference.low, difference.high)
            parts += [
                _line(across(difference.low), y, across(difference.high), y, colour, width=3),
                *(_line(across(end), y - 6, across(end), y + 6, colour, 2) for end in ends),
                f'<circle cx="{across(difference.mean):.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>',
                _text(WIDTH - 4, y + 5, f"{difference.mean:+.3f}", anchor="end", colour=colour),
            ]
    return _picture(height, f"Mean of each system, and its difference to {baseline}", parts)


def wins_and_losses(differences: Sequence[float], new: str, old: str, over: str = "queries") -> str:
    """A bar a query, sorted from the greatest win to the greatest loss; queries without a difference have none.

    :param over: what was measured one by one, in the plural.
    """
    height, left, top = 240, 60, 26
    middle, half = (height + top - 20) / 2, (height - 20 - top) / 2
    step = (WIDTH - left - 10) / max(1, len(differences))
    won, lost = sum(one > 0 for one in differences), sum(one < 0 for one in differences)
    said = f"{new} wins {won}, loses {lost}, equals {len(differences) - won - lost} of {len(differences)} {over}"
    parts = [_text(left, 14, said, size=12)]
    for value in (1.0, 0.5, 0.0, -0.5, -1.0):
        y = middle - half * value
        parts += [
            _line(left, y, WIDTH - 10, y, "#c3c7cf" if value == 0 else "#e6e8ec"),
            _text(left - 8, y + 4, f"{value:+.1f}" if value else "0", size=11, anchor="end"),
        ]
    for place, value in enumerate(sorted(differences, reverse=True)):
        tall = half * abs(value)
        y = middle - tall if value > 0 else middle
        parts.append(_box(left + step * place, y, max(step - 1, step * 0.8), tall, _BETTER if value > 0 else _WORSE))
    return _picture(height, f"The difference of each of the {over} between {new} and {old}", parts)


def _colour(difference: Difference) -> str:
    if difference.better:
        return _BETTER
    return _WORSE if difference.worse else _SAME


def _picture(height: float, title: str, parts: Sequence[str]) -> str:
    inside = "".join(parts)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{inside}</svg>"
    )


def _text(x: float, y: float, text: str, size: int = 14, anchor: str = "start", colour: str = _INK) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
    )


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.2f}" height="{height:.2f}" fill="{colour}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{width:g}"{dashed}/>'
    )
