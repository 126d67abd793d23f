"""The report as one page that needs nothing else.

Owns its look. Must not know how its numbers came about.
"""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Final

from tests.chaos.report import Report, RowFigures, Span, Times

WIDTH: Final = 1_000  # of the picture, in its own units
LANE: Final = 16
HEADINGS: Final = (
    "row",
    "faults",
    "clients cut off",
    "recovered after p50 / p95 / max",
    "all well after p50 / p95 / max",
    "resets",
    "lost",
)

STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; background: #fff }
table { border-collapse: collapse; width: 100% } th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid #d8dee4 }
th:first-child, td:first-child { text-align: left } pre { overflow-x: auto; background: #f6f8fa; padding: 1rem; font-size: 12px }
.good { color: #1a7f37 } .bad { color: #cf222e } svg { width: 100% } svg text { font-size: 9px; fill: #57606a }
svg .fault { fill: #cf222e } svg .after { fill: #f0c0c0 }
@media (prefers-color-scheme: dark) {
  body { color: #e6edf3; background: #0d1117 } th, td { border-color: #30363d } pre { background: #161b22 } svg text { fill: #9198a1 }
}
"""


def page(report: Report) -> str:
    verdict = '<p class="good">Nothing lost, doubled, reordered or hidden.</p>' if report.is_clean else '<p class="bad">Violations.</p>'
    parts = [
        f"<h1>anypod under faults, seed {report.seed}</h1>",
        verdict,
        f"<p><code>{escape(report.again)}</code></p>",
        _pairs("The run", _run(report)),
        _pairs("Harm", report.losses, is_harm=True),
        _list("Complaints", report.complaints),
        _pairs("Announced resets", {**report.resets, "deliveries taken back by them": report.taken_back}),
        _pairs("How publishes were answered", report.answers),
        _pairs("Errors in the replicas' lines", report.errors),
        _rows(report.by_row),
        _picture(report.spans, report.seconds),
        _list("Skipped", report.skipped),
        *(f"<pre>{escape(story)}</pre>" for story in report.stories),
    ]
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>anypod under faults</title><style>{STYLE}</style>'
    return head + "\n".join(parts) + "</html>\n"


def _run(report: Report) -> dict[str, object]:
    return {
        "topology": report.topology,
        "seconds": f"{report.seconds:.0f}",
        "faults": report.faults,
        **{f"clients: {kind}": count for kind, count in report.clients.items()},
        "events logged": f"{report.events:,}",
        "events acknowledged": f"{report.acknowledged:,}",
        "deliveries checked": f"{report.deliveries:,}",
        **{f"checked: {name}": f"{count:,}" for name, count in report.asides.items()},
        "events that Redis lost": f"{report.lost_events:,}",
        "from the loss of a primary to the next event, p50 / p95 / max": _seconds(report.resumed),
    }


def _pairs(title: str, pairs: Mapping[str, object], *, is_harm: bool = False) -> str:
    lines = (
        f'<tr><td>{escape(name)}</td><td class="{"bad" if is_harm and value else ""}">{escape(str(value))}</td></tr>'
        for name, value in pairs.items()
    )
    return f"<h2>{title}</h2><table>{''.join(lines)}</table>" if pairs else ""


def _list(title: str, lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h2>{title}</h2><ul>{items}</ul>" if items else ""


def _rows(rows: Iterable[RowFigures]) -> str:
    head = "".join(f"<th>{name}</th>" for name in HEADINGS)
    lines = "".join(
        f"<tr><td>{escape(row.row)}</td><td>{row.faults}</td><td>{row.recoveries.count if row.recoveries else 0}</td>"
        f"<td>{_seconds(row.recoveries)}</td><td>{_seconds(row.well)}</td><td>{row.resets}</td><td>{row.lost_events}</td></tr>"
        for row in rows
    )
    return f"<h2>Rows</h2><table><tr>{head}</tr>{lines}</table>"


def _seconds(times: Times | None) -> str:
    return f"{times.p50:.2f} / {times.p95:.2f} / {times.max:.2f} s" if times else "–"


def _picture(spans: Iterable[Span], seconds: float) -> str:
    """A lane for each row: dark while the fault lasts, light until all is well."""
    spans = list(spans)
    names = list(dict.fromkeys(span.row for span in spans))
    scale = WIDTH / max(seconds, 1.0)
    shapes = []
    for span in spans:
        y = names.index(span.row) * LANE
        if span.well_s is not None:
            shapes.append(_bar("after", span.ended * scale, y, span.well_s * scale))
        shapes.append(_bar("fault", span.began * scale, y, max(2.0, (span.ended - span.began) * scale)))
    labels = (f'<text x="0" y="{index * LANE + 9}">{escape(name)}</text>' for index, name in enumerate(names))
    return f'<h2>When</h2><svg viewBox="0 0 {WIDTH} {len(names) * LANE}">{"".join([*shapes, *labels])}</svg>'


def _bar(kind: str, x: float, y: float, width: float) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{LANE - 4}"/>'
