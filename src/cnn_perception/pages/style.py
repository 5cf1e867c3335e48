"""The look of every page, light and dark: colours, cards, tables, plots."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root { color-scheme: light dark; --ink: #1d2530; --soft: #5d6a7a; --line: #dde3ea; --paper: #fff;
  --back: #f4f6f9; --wash: #f7f9fb; --good: #12805c; --bad: #b3261e; --warn: #a85d00; --a: #2563eb;
  --b: #d97706; --c: #9333ea; --d: #0d9488; --gutter: 104px; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7ecf3; --soft: #9aa7b8; --line: #2c3644; --paper: #171d26; --back: #0f141b;
    --wash: #1d2530; --good: #4ade9f; --bad: #ff8a80; --warn: #fbbf5a; --a: #7aa5ff; --b: #fbbf5a;
    --c: #c99bff; --d: #5eead4; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 18px 60px; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 2px; letter-spacing: -.01em;
  overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0 0 12px; }
h3 { font-size: .95rem; margin: 18px 0 8px; }
.soft { color: var(--soft); }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 12px;
  padding: 18px; margin-top: 18px; }
.verdict { display: inline-block; margin-top: 12px; padding: 4px 12px; border-radius: 999px;
  border: 1px solid currentColor; font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 7px 8px; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { font-weight: 600; color: var(--soft); font-size: .85rem; }
th:first-child, td:first-child, .text { text-align: left; }
tr:last-child td { border-bottom: 0; }
figure { margin: 0; }
figure img { width: 100%; display: block; border-radius: 8px; background: #fff;
  border: 1px solid var(--line); }
figcaption { font-size: .82rem; color: var(--soft); padding-top: 3px; }
.maps { display: grid; gap: 14px;
  grid-template-columns: repeat(auto-fit, minmax(min(300px, 100%), 1fr)); }
.numbers { display: flex; flex-wrap: wrap; gap: 8px 34px; margin: 0 0 14px; }
.numbers div { font-size: .85rem; color: var(--soft); }
.numbers b { display: block; font-size: 1.25rem; color: var(--ink); font-weight: 650; }
.plot { position: relative; padding-left: var(--gutter); font-size: .75rem; color: var(--soft); }
.plot > svg { display: block; width: 100%; height: 190px; overflow: visible; }
.plot line { stroke: var(--line); vector-effect: non-scaling-stroke; }
.plot polyline { fill: none; stroke-width: 1.6; stroke-linejoin: round;
  vector-effect: non-scaling-stroke; }
.plot .tick { position: absolute; left: 0; width: calc(var(--gutter) - 8px); text-align: right;
  line-height: 1; transform: translateY(-50%); }
.axis { display: flex; justify-content: space-between; margin-left: var(--gutter); gap: 8px;
  padding-top: 3px; font-size: .75rem; color: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: 2px 18px; font-size: .85rem; color: var(--soft); }
.legend i { display: inline-block; width: 18px; height: 3px; vertical-align: middle;
  margin-right: 6px; border-radius: 2px; }
code, pre { font: .9em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
"""
