"""The report's HTML, for jinja2."""

from __future__ import annotations

__all__ = ["TEMPLATE"]

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { --ink: #1d2530; --soft: #5d6a7a; --line: #dde3ea; --paper: #fff; --back: #f4f6f9;
  --good: #12805c; --bad: #b3261e; --a: #2563eb; --b: #d97706; --c: #9333ea; --d: #0d9488; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7ecf3; --soft: #9aa7b8; --line: #2c3644; --paper: #171d26; --back: #0f141b;
    --good: #4ade9f; --bad: #ff8a80; --a: #7aa5ff; --b: #fbbf5a; --c: #c99bff; --d: #5eead4; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 18px 60px; }
h1 { font-size: 1.7rem; margin: 0 0 2px; letter-spacing: -.01em; }
h2 { font-size: 1.1rem; margin: 0 0 12px; }
.soft { color: var(--soft); }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 12px;
  padding: 18px; margin-top: 18px; }
.verdict { display: inline-block; margin-top: 12px; padding: 4px 12px; border-radius: 999px;
  border: 1px solid currentColor; font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 7px 8px; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { font-weight: 600; color: var(--soft); font-size: .85rem; }
th:first-child, td:first-child, .text { text-align: left; }
tr:last-child td { border-bottom: 0; }
.moments { display: grid; gap: 14px; }
.moment { display: grid; gap: 8px; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); }
figure { margin: 0; }
figure img { width: 100%; display: block; border-radius: 8px; background: #fff;
  border: 1px solid var(--line); }
figcaption { font-size: .82rem; color: var(--soft); padding-top: 3px; }
.maps { display: grid; gap: 14px; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); }
.numbers { display: flex; flex-wrap: wrap; gap: 8px 34px; margin: 0 0 14px; }
.numbers div { font-size: .85rem; color: var(--soft); }
.numbers b { display: block; font-size: 1.25rem; color: var(--ink); font-weight: 650; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font-size: 11px; }
.legend span { margin-right: 18px; white-space: nowrap; }
.legend i { display: inline-block; width: 18px; height: 3px; vertical-align: middle;
  margin-right: 6px; border-radius: 2px; }
code { font: .9em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
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

{% if lines %}
{% set colors = ["var(--a)", "var(--b)", "var(--c)", "var(--d)"] %}
<section class="card">
<h2>From image sent to result received, ms</h2>
<svg viewBox="0 -8 {{ chart[0] + 6 }} {{ chart[1] + 30 }}" role="img"
 aria-label="milliseconds from image to result over the drive">
{% for share in (0, 0.5, 1) %}
<line x1="{{ chart[2] }}" x2="{{ chart[0] }}" y1="{{ (1 - share) * chart[1] }}"
 y2="{{ (1 - share) * chart[1] }}" style="stroke: var(--line)"/>
<text x="{{ chart[2] - 6 }}" y="{{ (1 - share) * chart[1] + 4 }}" text-anchor="end">{{
"%g" | format(share * top) }}</text>
{% endfor %}
<text x="{{ chart[2] }}" y="{{ chart[1] + 18 }}">0 s</text>
<text x="{{ chart[0] }}" y="{{ chart[1] + 18 }}" text-anchor="end">{{ "%.0f" | format(seconds) }} s
</text>
{% for line in lines %}
<polyline fill="none" stroke-width="1.6" stroke-linejoin="round"
 style="stroke: {{ colors[loop.index0 % 4] }}" points="{{ line.points }}"/>
{% endfor %}
</svg>
<div class="legend soft">{% for line in lines %}<span><i style="background:{{
colors[loop.index0 % 4] }}"></i>{{ line.name }}, median {{ "%.1f" | format(line.median) }}</span>
{% endfor %}</div>
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
