# SPDX-License-Identifier: MIT
"""results.json as the Markdown tables of docs/performance.md: a line a scenario and peer."""

COLUMNS = (  # heading, metric, what is shown of it
    ("rate", "rate", "values"), ("ratio", "rate", "ratio"),
    ("per CPU s, ratio", "per-cpu", "ratio"),
    ("p50 us", "p50", "values"), ("p99 us", "p99", "values"), ("p99.9 us", "p999", "values"),
)


def figure(value):
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def cell(record, kind):
    if record is None or record["value"] is None:
        return ""
    if kind == "values":
        peer = record["peer_value"]
        return figure(record["value"]) + (f" / {figure(peer)}" if peer is not None else "")
    if record["ratio"] is None:
        return ""
    return (f"**{record['ratio']:.2f}** "
            f"({record['spread_low']:.2f}..{record['spread_high']:.2f})")


def by_line(records):
    """{(scenario, peer): {metric: record}} in the order of the records."""
    lines = {}
    for r in records:
        scenario, _, metric = r["name"].rpartition(".")
        if scenario and not scenario.startswith("wire"):
            lines.setdefault((scenario, r["peer"]), {})[metric] = r
    return lines


def markdown(records):
    lines = by_line(records)
    groups = {}
    for (scenario, peer), metrics in lines.items():
        groups.setdefault(scenario.split("-")[0], []).append((scenario, peer, metrics))
    out = []
    for some in groups.values():
        used = [c for c in COLUMNS if any(c[1] in metrics for _, _, metrics in some)]
        out.append("| scenario | peer | " + " | ".join(c[0] for c in used) + " |")
        out.append("|---|---|" + "---|" * len(used))
        for scenario, peer, metrics in some:
            cells = [cell(metrics.get(metric), kind) for _, metric, kind in used]
            out.append(f"| {scenario} | {peer or '-'} | " + " | ".join(cells) + " |")
        out.append("")
    alone = [r for r in records if r["name"].startswith("wire")]
    if alone:
        out += ["| in memory | value | unit |", "|---|---|---|"]
        out += [f"| {r['name']} | {figure(r['value'])} | {r['unit']} |" for r in alone]
    return "\n".join(out)
