"""The report's HTML, for jinja2."""

from __future__ import annotations

__all__ = ["TEMPLATE"]

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>{% include "style.css" %}
:root { --gutter: 44px; }
.moments { display: grid; gap: 14px; }
.moment { display: grid; gap: 8px;
  grid-template-columns: repeat(auto-fit, minmax(min(190px, 100%), 1fr)); }
</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
<div class="soft">A {{ "%.1f" | format(seconds) }} s drive through four ROS 2 nodes, each a process
of its own. cnn_perception {{ version }}, {{ made }}.</div>
{% if outcome.faults %}
<div class="verdict bad">{{ outcome.faults | length }} fault(s)</div>
<ul class="bad">{% for fault in outcome.faults %}<li>{{ fault }}</li>{% endfor %}</ul>
{% else %}
<div class="verdict good">every output came, every frame is accounted for</div>
{% endif %}

<section class="card">
<h2>Nodes</h2>
<div class="scroll"><table>
<tr><th>node</th><th class="text">runs</th><th>sent</th><th>received</th>
<th>processed</th><th>dropped</th>
<th>p50 ms</th><th>p95 ms</th><th>p99 ms</th><th>core p50</th></tr>
{% for name, node in outcome.nodes.items() %}
<tr><td><b>{{ name }}</b></td><td class="text">{{ node.core }}</td>
<td>{{ outcome.sent_to(name) }}</td><td>{{ node.received }}</td><td>{{ node.processed }}</td>
<td>{% for reason, count in node.dropped.items() if count %}{{ count }} {{ reason }}{{ ", "
if not loop.last }}{% else %}0{% endfor %}</td>
{% for quantile in ("p50", "p95", "p99") %}<td>{{ "%.1f" | format(node.latency_ms[quantile])
if node.latency_ms[quantile] is not none else "-" }}</td>{% endfor %}
<td>{{ "%.1f" | format(node.compute_ms["p50"]) if node.compute_ms["p50"] is not none else "-" }}
</td></tr>
{% endfor %}
</table></div>
<p class="soft">Images are sent best effort: what a busy machine loses on the way is sent but not
received. Milliseconds run from a message's arrival to the last result published from it;
"core" is the network's or the map's own part.
A frame that arrives while one still waits replaces it (superseded): the newest wins.</p>
</section>

{% if rows %}
<section class="card">
<h2>What the nodes saw</h2>
<div class="moments">
{% for row in rows %}
<div class="moment">
{% for name, picture in row.pictures.items() %}
<figure><img alt="{{ name }}" src="{{ picture }}">
<figcaption>{{ name }}{% if loop.first %}, {{ "%.1f" | format(row.seconds) }} s{% endif %}
</figcaption></figure>
{% endfor %}
</div>
{% endfor %}
</div>
</section>
{% endif %}

<section class="card">
<h2>The map</h2>
<div class="numbers">
<div><b>{{ "%g" | format(summary.map.resolution or 0) }} m</b>resolution</div>
<div><b>{{ "{:,}".format(summary.map.occupied) }}</b>occupied cells</div>
<div><b>{{ "{:,}".format(summary.map.free) }}</b>free cells</div>
<div><b>{{ "%.2f" | format(summary.map.bytes / 1048576) }} MiB</b>in memory</div>
</div>
<div class="maps">
{% for name, picture in maps.items() %}
<figure><img alt="map, {{ name }}" src="{{ picture }}"><figcaption>{{ name }}</figcaption></figure>
{% endfor %}
</div>
</section>

{% if plot.lines %}
{% import "plot.html" as plots %}
<section class="card">
<h2>From image sent to result received, ms</h2>
{{ plots.draw(plot, "milliseconds from image to result over the drive") }}
{{ plots.legend(plot) }}
</section>
{% endif %}

<section class="card">
<h2>Topics</h2>
<div class="scroll"><table>
<tr><th>published by the nodes</th><th>messages</th></tr>
{% for topic, count in summary.topics.items() %}
<tr><td><code>{{ topic }}</code></td><td>{{ count }}</td></tr>
{% endfor %}
<tr><th>played from the bag</th><th></th></tr>
{% for topic, count in outcome.sent | dictsort %}
<tr><td><code>{{ topic }}</code></td><td>{{ count }}</td></tr>
{% endfor %}
</table></div>
</section>
</main>
</body>
</html>
"""
