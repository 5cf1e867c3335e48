"""The page that links the reports of a fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cnn_perception.pages.document import render
from cnn_perception.replay.fleet.fleet_case import FleetRow

__all__ = ["render_fleet"]

_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ totals.bags }} replayed bags</title>
<style>
{% include "style.css" %}
.why { font-size: .85rem; color: var(--soft); white-space: normal; overflow-wrap: anywhere;
  min-width: 220px; }
a { color: inherit; }
</style>
</head>
<body>
<main>
<h1>{{ totals.bags }} bags: {{ totals.passed }} passed, {{ totals.failed }} failed,
{{ totals.broken }} broken</h1>
<div class="soft">{% if totals.frames_per_second %}{{ "%.1f" | format(totals.frames_per_second) }}
frames per second.{% endif %}
{% if totals.kept %}{{ totals.kept }} kept from an earlier run: nothing changed since.{% endif %}
</div>
<section class="card"><div class="scroll"><table>
<tr><th>bag</th><th>verdict</th><th>frames</th><th>x real time</th><th>dropped</th>
<th>expectations met</th></tr>
{% for row in rows %}
<tr><td>{% if row.error %}{{ row.name }}{% else %}<a href="{{ row.name | urlencode }}/report.html">
{{- row.name }}</a>{% endif %}
{% for text in ([row.error] if row.error else row.failures | map(attribute="message")) %}
<div class="why">{{ text }}</div>
{% endfor %}</td>
<td class="{{ "good" if row.verdict == "passed" else "bad" }}">{{ row.verdict
}}{{ ", kept" if row.kept }}</td>
<td>{{ row.frames }}</td><td>{{ "%.2f" | format(row.times_real_time) }}</td>
<td>{% for reason, count in row.dropped.items() %}{{ count }} {{ reason }}{{ ", "
if not loop.last }}{% else %}0{% endfor %}</td>
<td>{{ row.checks | length - row.failures | length }} of {{ row.checks | length }}</td></tr>
{% endfor %}
</table></div></section>
</main>
</body>
</html>
"""


def render_fleet(rows: Sequence[FleetRow], totals: Mapping[str, Any]) -> str:
    """Return the page as HTML; rows by path, totals as `Fleet.totals` gives them."""
    return render(_TEMPLATE, rows=rows, totals=totals)
