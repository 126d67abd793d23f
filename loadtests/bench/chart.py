"""The figures of a run as a picture.

Owns the drawing, in SVG by hand. Must not know how anything was measured. Each check is a bar on a logarithmic scale: where it stands to
its own bar, which is the line at 1; further to the right is better, whichever way the figure itself goes.
"""

from collections.abc import Iterator, Sequence
from html import escape
from math import log2
from typing import Final

from loadtests.bench.outcome import Verdict
from loadtests.bench.series import Series

WIDTH: Final = 1_000
LABELS: Final = 400  # the column of names
FIGURES: Final = 120  # the column of figures
ROW: Final = 26
TOP: Final = 40
SIDE_LOG2: Final = 3.0  # an eighth of the bar at the left edge, eight times it at the right
COLOURS: Final = {
    Verdict.STRETCH: "#1a7f37",
    Verdict.MET: "#4c9a5f",
    Verdict.MISSED: "#d29922",
    Verdict.BELOW_HALF: "#cf222e",
    Verdict.UNKNOWN: "#8c959f",
}


def advantage(score: float, series: Series) -> float:
    """How many times its bar a figure is good for."""
    return score / series.check.bar if series.check.goal.endswith("at least") else series.check.bar / max(score, 1e-9)


def chart(outcomes: Sequence[Series]) -> str:
    height = TOP + ROW * len(outcomes) + 20
    body = "\n".join((*_axis(height), *(line for i, outcome in enumerate(outcomes) for line in _row(i, outcome))))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _axis(height: int) -> Iterator[str]:
    for share, label in ((0.25, "¼"), (0.5, "½"), (1.0, "bar"), (2.0, "2×"), (4.0, "4×")):
        x, colour = _x(share), "#24292f" if share == 1.0 else "#d0d7de"
        yield f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{height - 16}" stroke="{colour}"/>'
        yield f'<text x="{x:.1f}" y="{TOP - 14}" text-anchor="middle" fill="#57606a">{label}</text>'


def _row(index: int, outcome: Series) -> Iterator[str]:
    y, check = TOP + ROW * index, outcome.check
    yield f'<text x="8" y="{y + 15}">{escape(f"{check.name}: {check.title}")}</text>'
    if outcome.score is None:
        yield f'<text x="{WIDTH - 8}" y="{y + 15}" text-anchor="end" fill="{COLOURS[Verdict.UNKNOWN]}">not judged</text>'
        return
    start, end = _x(0.0), _x(advantage(outcome.score.middle, outcome))
    yield f'<rect x="{start:.1f}" y="{y + 4}" width="{max(1.0, end - start):.1f}" height="{ROW - 10}" fill="{COLOURS[outcome.verdict]}"/>'
    stretch = _x(advantage(check.stretch, outcome))
    yield f'<line x1="{stretch:.1f}" y1="{y + 2}" x2="{stretch:.1f}" y2="{y + ROW - 4}" stroke="#24292f" stroke-dasharray="2 2"/>'
    bound = "≥" if check.goal.endswith("at least") else "≤"
    figure = escape(f"{outcome.score.middle:.3g} (bar {bound} {check.bar:g})")
    yield f'<text x="{WIDTH - 8}" y="{y + 15}" text-anchor="end">{figure}</text>'


def _x(share: float) -> float:
    """The place of so many times the bar."""
    place = -SIDE_LOG2 if share <= 0 else max(-SIDE_LOG2, min(SIDE_LOG2, log2(share)))
    return LABELS + (place + SIDE_LOG2) / (2 * SIDE_LOG2) * (WIDTH - LABELS - FIGURES)
