"""The report's HTML, for jinja2."""

from __future__ import annotations

__all__ = ["TEMPLATE"]

_STYLE = """
.verdict { font-size: 1.05rem; padding: 6px 16px; }
.fill { border: 0; color: #fff; }
.fill.good { background: #12805c; } .fill.bad { background: #b3261e; }
.fill.none { background: #5d6a7a; }
header .numbers { margin: 18px 0 0; }
.failure { display: grid; gap: 4px 18px; padding: 14px 0; border-top: 1px solid var(--line);
  grid-template-columns: minmax(0, 1fr); }
.failure:first-of-type { border-top: 0; padding-top: 0; }
.failure b { overflow-wrap: anywhere; }
.failure p { margin: 0; overflow-wrap: anywhere; }
.failure img { margin-top: 8px; width: auto; max-width: min(100%, 860px); }
.alarm { border-left: 4px solid var(--bad); }
button { font: inherit; color: inherit; cursor: pointer; background: var(--wash);
  border: 1px solid var(--line); border-radius: 8px; padding: 3px 10px; }
button:hover { border-color: var(--soft); }
button:focus-visible, input:focus-visible, summary:focus-visible { outline: 2px solid var(--a);
  outline-offset: 2px; }
.tabs { display: flex; flex-wrap: wrap; gap: 6px; margin-bottom: 12px; }
.tabs [aria-pressed=true] { background: var(--a); border-color: var(--a); color: var(--paper); }
.pictures { display: grid; gap: 10px; grid-template-columns: repeat(4, minmax(0, 1fr)); }
.pictures figure[hidden] { display: none; }
.pictures .frame { position: relative; }
.pictures figcaption b { color: var(--ink); font-weight: 600; }
.pictures .words { display: block; min-height: 1.5em; overflow-wrap: anywhere; }
.gap { display: none; }
.empty img { visibility: hidden; aspect-ratio: 4 / 3; }
.empty .gap { display: flex; position: absolute; inset: 0; align-items: center; padding: 10px;
  justify-content: center; text-align: center; font-size: .82rem; color: var(--warn);
  border: 1px dashed var(--line); border-radius: 8px; overflow: hidden; overflow-wrap: anywhere; }
.empty .words { visibility: hidden; }
.player { display: flex; align-items: center; gap: 12px; margin: 12px 0 6px; }
.player output { min-width: 5.2em; text-align: right; font-variant-numeric: tabular-nums;
  font-weight: 600; }
#play { width: 42px; height: 38px; padding: 0; flex: none; display: grid; place-items: center;
  border-radius: 999px; background: var(--a); border-color: var(--a); color: var(--paper); }
#play svg { width: 16px; height: 16px; fill: currentColor; }
#play .pause, #play.on .start { display: none; } #play.on .pause { display: block; }
.track { position: relative; flex: 1; min-width: 0; padding-bottom: 10px; }
.track input { width: 100%; margin: 0; display: block; accent-color: var(--a); height: 24px; }
#marks i { position: absolute; bottom: 0; width: 4px; height: 10px; border-radius: 2px;
  left: calc(6px + (100% - 16px) * var(--at)); background: var(--warn); }
#marks .fail { background: var(--bad); height: 12px; z-index: 1; }
.chips { display: flex; gap: 6px; align-items: center; min-height: 34px; overflow-x: auto;
  scrollbar-width: thin; }
.chips .chip { border: 1px solid var(--line); border-radius: 999px; padding: 1px 10px 1px 8px;
  font-size: .85rem; background: var(--wash); white-space: nowrap; }
.chip i { display: inline-block; width: 9px; height: 9px; border-radius: 50%; margin-right: 6px; }
.chip.passive { color: var(--soft); }
#events > * { margin-left: 10px; }
.stamp { margin-top: 4px; min-height: 1.5em; }
.timeline { position: relative; margin-top: 18px; cursor: crosshair; touch-action: pan-y;
  --now: 0; --hover: 0; user-select: none; -webkit-user-select: none; }
.timeline .plot > svg { height: 170px; }
.timeline h3 { margin: 0 0 8px; cursor: default; }
.lane { display: grid; grid-template-columns: var(--gutter) minmax(0, 1fr); align-items: center;
  font-size: .75rem; height: 20px; }
.lane span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; padding-right: 8px;
  text-align: right; color: var(--soft); }
.lane svg { display: block; width: 100%; height: 14px; background: var(--wash);
  border-radius: 3px; }
.lanes { margin: 10px 0 2px; }
.chart { position: relative; padding-bottom: 6px; }
.now, .hover { position: absolute; top: 0; bottom: 0; width: 0; pointer-events: none;
  border-left: 2px solid var(--ink); opacity: .75;
  left: calc(var(--gutter) + (100% - var(--gutter)) * var(--now) - 1px); }
.hover { border-left: 1px dashed var(--soft); display: none;
  left: calc(var(--gutter) + (100% - var(--gutter)) * var(--hover)); }
.tip { position: absolute; top: 30px; display: none; pointer-events: none; z-index: 2;
  background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: 6px 10px;
  font-size: .8rem; box-shadow: 0 4px 18px rgb(0 0 0 / .18); max-width: min(320px, 90%); }
.tip div { display: flex; justify-content: space-between; gap: 14px; overflow-wrap: anywhere; }
.over .tip, .over .hover { display: block; }
.two { display: grid; gap: 24px; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
.two .plot > svg { height: 300px; }
.two > div:only-child { grid-column: 1 / -1; }
.bar { position: relative; min-width: 76px; }
.bar i { position: absolute; left: 8px; bottom: 3px; height: 3px; border-radius: 2px;
  background: var(--a); opacity: .8; }
.text .chip { white-space: nowrap; }
details { margin-top: 6px; }
details > summary { cursor: pointer; font-weight: 600; padding: 2px 0; }
pre { overflow-x: auto; background: var(--wash); border-radius: 8px; padding: 12px; margin: 8px 0; }
.changes td { white-space: normal; max-width: 320px; overflow-wrap: break-word; }
.changes td:last-child { white-space: nowrap; }
.changes .subject th { padding-top: 18px; }
.changes .subject th:first-child { color: var(--ink); }
.note { font-size: .85rem; color: var(--soft); margin: 10px 0 0; overflow-wrap: anywhere; }
.metfor { columns: 2; padding-left: 18px; margin: 8px 0; font-size: .9rem; }
.metfor li { overflow-wrap: anywhere; break-inside: avoid; }
@media (max-width: 760px) {
  main { padding: 18px 10px 40px; }
  .card { padding: 14px 12px; }
  :root { --gutter: 64px; }
  .pictures { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .two, .metfor { grid-template-columns: minmax(0, 1fr); columns: 1; }
  .two .plot > svg { height: 220px; }
  .numbers { gap: 8px 24px; }
  .pictures .words { min-height: 3em; }
  .wide { display: none; }
  .changes td, .changes th { padding: 5px 3px; font-size: .82rem; }
  .changes td:first-child { overflow-wrap: anywhere; min-width: 96px; }
  th, td { padding: 6px; font-size: .88rem; }
}
"""

TEMPLATE = (
    """<!doctype html>
{% import "plot.html" as plots %}
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:;
 style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{{ bag.name }}: replay</title>
<style>{% include "style.css" %}"""
    + _STYLE
    + """</style>
</head>
<body>
<main>
<header>
<div class="soft">Replay</div>
<h1>{{ bag.name }}</h1>
<div class="soft">{{ "%.4g" | format(bag.duration_s) }} s, {{ "{:,}".format(bag.messages) }}
messages{% if window %}, {{ window }}{% endif %}. cnn_perception
{{ versions.cnn_perception }}, {{ made }}.</div>
<div class="verdict fill {{ verdict[0] }}">{{ verdict[1] }}</div>
<div class="numbers">
{% for number in numbers %}
<div><b class="{{ number.mood }}">{{ number.value }}</b>{{ number.name }}</div>
{% endfor %}
</div>
</header>

{% if failures %}
<section class="card alarm" id="failures">
<h2>Failed</h2>
{% for failure in failures %}
<div class="failure">
<b>{{ failure.name }}</b>
<p>{{ failure.message }}</p>
{% if failure.when %}
<div>{% if failure.target %}<button type="button" data-goto="{{ failure.target }}">show the frame
at {{ failure.when }}</button>{% else %}<span class="soft">at {{ failure.when }}</span>{% endif %}
</div>
{% endif %}
{% if failure.picture %}<figure><img alt="expected beside what came" src="{{ failure.picture }}">
</figure>{% elif failure.note %}<p class="soft">{{ failure.note }}</p>{% endif %}
</div>
{% endfor %}
</section>
{% endif %}

{% if comparison %}
<section class="card" id="comparison">
<h2>Against the replay before</h2>
{% if comparison.nothing_changed %}
<p class="good"><b>Nothing changed:</b> every result, every number and every setting is the same.
{% if comparison.changes %}Only durations differ.{% endif %}</p>
{% elif comparison.results_equal %}
<p class="good"><b>The results are equal,</b> message by message.</p>
{% elif comparison.topics is none %}
<p class="warn">One of the two has no results bag: only numbers and settings are compared.</p>
{% else %}
<p><b>The results differ.</b></p>
<div class="scroll"><table>
<tr><th>topic</th><th>messages</th><th>differ</th><th>first</th></tr>
{% for topic in comparison.topics if topic.differ %}
<tr><td><code>{{ topic.topic }}</code></td><td>{{ topic.messages }}</td>
<td><b>{{ topic.differ }}</b></td>
<td>{{ "%.2f" | format(span.seconds(topic.first_ns)) }} s</td></tr>
{% endfor %}
</table></div>
{% set equal = comparison.topics | rejectattr("differ") | map(attribute="topic") | list %}
{% if equal %}<p class="note">Equal: {% for topic in equal %}<code>{{ topic }}</code>{{ ", " if not
loop.last else "." }}{% endfor %}</p>{% endif %}
{% endif %}
{% if comparison.changes %}
<div class="scroll"><table class="changes">
{% for subject, changes in comparison.changes.items() %}
<tr class="subject"><th>{{ subject }}</th><th>before</th><th>now</th><th>by</th></tr>
{% for change in changes %}
<tr><td>{{ change.name }}</td><td>{{ change.before }}</td><td>{{ change.after }}</td>
<td class="{{ {'better': 'good', 'worse': 'bad'}.get(change.verdict, 'soft') }}">
{{- change.arrow }} {{ change.by }}<span class="wide"> {{ change.share }}{% if change.verdict
%} {{ change.verdict }}{% endif %}</span></td>
</tr>
{% endfor %}
{% endfor %}
</table></div>
{% endif %}
<p class="note">Durations that differ by a tenth or less count as equal. Green and red say better
and worse, where that is known.</p>
</section>
{% endif %}

<section class="card" id="player" data-start="{{ start }}">
<h2>The drive</h2>
{% if views | length > 1 %}
<div class="tabs" role="group" aria-label="camera">
{% for view in views %}<button type="button" data-camera="{{ loop.index0 }}"
 aria-pressed="{{ 'true' if loop.first else 'false' }}">{{ view.name or "camera" }}</button>
{% endfor %}
</div>
{% endif %}
{% if kinds %}
<div class="pictures">
{% for kind in kinds %}
<figure data-kind="{{ kind }}"{% if kind not in initial.pictures %} class="empty"{% endif %}>
<div class="frame"><img alt="{{ kind }}"{% if kind in initial.pictures %}
 src="{{ initial.pictures[kind] }}"{% endif %}><span class="gap"></span></div>
<figcaption><b>{{ kind }}</b> <span class="words">{{ initial.words.get(kind, "") }}</span>
</figcaption></figure>
{% endfor %}
</div>
<div class="player">
<button type="button" id="play" aria-label="play"><svg viewBox="0 0 16 16" aria-hidden="true">
<path class="start" d="M3 1.5v13l11-6.5z"/>
<path class="pause" d="M3 2h3.5v12H3zM9.5 2H13v12H9.5z"/>
</svg></button>
<div class="track"><input type="range" id="scrub" min="0" max="{{ last_moment }}"
 value="{{ start }}" step="1" aria-label="frame"><div id="marks"></div></div>
<output id="when" for="scrub">{{ "%.2f" | format(initial.t) }} s</output>
</div>
<div class="chips" id="found"></div>
<div class="note stamp">stamp <code id="stamp">{{ initial.stamp }}</code> <span id="events"></span>
<noscript><b>The pictures move only with JavaScript.</b></noscript></div>
{% else %}
<p class="soft">No pictures: no colour image was replayed.</p>
{% endif %}

{% for view in views %}
<div class="timeline"{% if not loop.first %} hidden{% endif %}>
<h3>Milliseconds per frame{% if view.thinned %}, the slowest of each {{ view.slot }}{% endif %}</h3>
<div class="tip"></div>
<div class="chart">
<div class="now"></div><div class="hover"></div>
{{ plots.draw(view.plot, "milliseconds per frame over the drive") }}
{% if view.bands %}
<div class="lanes">
{% for band in view.bands %}
<div class="lane"><span class="{{ band.mood }}" title="{{ band.name }}">{{ band.name }}</span>
<svg viewBox="0 0 1000 1" preserveAspectRatio="none" role="img" aria-label="{{ band.name }}">
{% for opacity, path in band.paths %}<path style="fill: {{ band.colour }}; opacity: {{ opacity }}"
 d="{{ path }}"/>{% endfor %}</svg></div>
{% endfor %}
</div>
{% endif %}
</div>
{{ plots.legend(view.plot) }}
{% if view.bands %}
<p class="note">A click jumps, arrow keys step. Rows: what failed, what was dropped and
why, the objects of each class, darker where there are more.
{% if view.others %}Also found: {{ view.others | join(", ") }}.{% endif %}</p>
{% endif %}
</div>
{% endfor %}
</section>

<section class="card" id="nodes">
<h2>Nodes</h2>
<div class="scroll"><table>
<tr><th>node</th><th class="text">runs</th><th class="text">on</th><th>received</th>
<th>processed</th><th>dropped</th><th>found</th><th>p50 ms</th><th>p95</th><th>p99</th>
<th>max</th></tr>
{% for name, node in nodes.items() %}
<tr><td><b>{{ name }}</b></td>
<td class="text">{% if node.model %}{{ node.model }} {{ node.version }}{% else %}{{ node.engine
or "" }}{% endif %}</td>
<td class="text">{{ (node.provider or "") | replace("ExecutionProvider", "") }}</td>
<td>{{ "{:,}".format(node.received) }}</td><td>{{ "{:,}".format(node.processed) }}</td>
<td>{% for reason, count in node.dropped.items() if count %}<span class="warn">{{ count }} {{ reason
}}</span>{{ ", " if not loop.last }}{% else %}0{% endfor %}</td>
<td>{{ "{:,}".format(node.found) if node.found is not none else "" }}</td>
{% for quantile in ("p50", "p95", "p99", "max") %}<td>{{ "%.1f" | format(node.latency[quantile])
if node.latency[quantile] is not none else "-" }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
<p class="note">Milliseconds run from decoding a message to the last result made of it.
{% for topic, reason in bag.left_out.items() %}{% if loop.first %}Left out: {% endif
%}<code>{{ topic }}</code> ({{ reason }}){{ "; " if not loop.last else "." }}{% endfor %}</p>
</section>

{% if accuracy %}
<section class="card" id="accuracy">
<h2>Against the truth</h2>
<div class="numbers">{% for name, value in accuracy.figures %}
<div><b>{{ value }}</b>{{ name }}</div>{% endfor %}</div>
<div class="two">
{% if accuracy.plot %}
<div>
<h3>Precision over recall, at IoU 0.5</h3>
{{ plots.draw(accuracy.plot, "precision over recall by class") }}
{{ plots.legend(accuracy.plot) }}
</div>
{% endif %}
{% if accuracy.rows %}
<div class="scroll"><table>
<tr><th>class</th>{% if accuracy.has_ap %}<th>AP at IoU 0.5</th>{% endif %}
{% if accuracy.has_iou %}<th>IoU of masks</th>{% endif %}</tr>
{% for row in accuracy.rows %}
<tr><td><span class="chip"><i style="background: {{ row.colour }}"></i>{{ row.label }}</span></td>
{% for shown, value in ((accuracy.has_ap, row.ap), (accuracy.has_iou, row.iou)) if shown %}
<td class="bar">{% if value is not none %}{{ "%.3f" | format(value) }}<i
 style="width: calc((100% - 16px) * {{ "%.3f" | format(value) }})"></i>{% else %}-{% endif %}</td>
{% endfor %}</tr>
{% endfor %}
</table></div>
{% endif %}
</div>
{% for note in accuracy.notes %}<p class="note">{{ note }}</p>{% endfor %}
</section>
{% endif %}

{% if map %}
<section class="card" id="map">
<h2>The map</h2>
<div class="numbers">
<div><b>{{ "%g" | format(map.resolution) }} m</b>resolution</div>
<div><b>{{ "{:,}".format(map.occupied) }}</b>occupied cells</div>
<div><b>{{ "{:,}".format(map.free) }}</b>free cells</div>
<div><b>{{ map.frame_id }}</b>frame</div>
</div>
<div class="maps">
{% for name, picture in map_pictures.items() %}
<figure><img alt="map, {{ name }}" src="{{ picture }}"><figcaption>{{ name }}</figcaption></figure>
{% endfor %}
</div>
{% if map.sha256 %}<p class="note">sha256 <code>{{ map.sha256 }}</code></p>{% endif %}
</section>
{% endif %}

<section class="card">
{% if passed %}
<details><summary>{{ passed | length }} expectation{{ "s" if passed | length > 1 }} met</summary>
<ul class="metfor">{% for check in passed %}<li>{{ check.name }}<span class="soft">: {{
check.message }}</span></li>{% endfor %}</ul></details>
{% endif %}
<details><summary>Configuration</summary><pre>{{ configuration }}</pre></details>
<details><summary>Versions</summary><div class="scroll"><table>
{% for name, version in versions.items() %}
<tr><td>{{ name }}</td><td class="text">{{ version }}</td></tr>
{% endfor %}
</table></div></details>
<details><summary>Topics</summary><div class="scroll"><table>
<tr><th>node</th><th class="text">reads</th></tr>
{% for name, node in nodes.items() %}
<tr><td>{{ name }}</td><td class="text"><code>{{ node.topic }}</code></td></tr>
{% endfor %}
</table></div><p class="note"><code>{{ bag.path }}</code></p></details>
</section>
</main>
<script type="application/json" id="data">{{ data | tojson }}</script>
<script>{{ script | safe }}</script>
</body>
</html>
"""
)
