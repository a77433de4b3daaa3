# SPDX-License-Identifier: MIT
"""/metrics as Prometheus reads it, by the rules of `promtool check metrics`, and the dashboard that queries it.

promtool itself comes with a server that Debian starts on all addresses, and 94 MB of it; where it is installed it is
asked, too. prometheus_client has a parser of the same format, which forgives much: so the lines are read here as well.
"""
import itertools
import json
import re
import shutil
import subprocess

import pytest

import figures
import lib

parser = pytest.importorskip("prometheus_client.parser")

DASHBOARD = lib.ROOT / "share" / "grafana" / "millrace.json"
# promtool's lint: base units, and none of these abbreviated or scaled
WRONG_UNITS = ("ms", "us", "ns", "s", "milliseconds", "microseconds", "nanoseconds", "minutes", "hours",
               "kb", "mb", "kilobytes", "megabytes", "bits", "percent")
CURL = ["curl", "-sS", "--unix-socket", "/run/millrace/control.sock", "http://millrace/metrics"]


def scrape():
    return lib.server.run(*CURL).stdout


@pytest.fixture(name="families", scope="module")
def fixture_families(running_demo):
    with lib.connect(lib.ECHO, 4) as s:
        lib.echo_once(s, 1, b"x")
        text = scrape()
    found = {}
    for family in parser.text_string_to_metric_families(text):
        assert family.name not in found, f"{family.name} stands in two places"
        found[family.name] = family
    assert found
    return found


NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (-?[0-9.]+(?:e[+-]?[0-9]+)?|[+-]Inf|NaN)")


def blocks(text):
    """(name, type, samples) of each family in its order; whatever text format 0.0.4 does not allow is an error."""
    assert text.endswith("\n") and "\n\n" not in text and "\r" not in text
    found = []
    lines = text.splitlines()
    while lines:
        name, words = re.fullmatch(rf"# HELP ({NAME}) (.+)", lines.pop(0)).groups()
        assert re.fullmatch(r"(?:[^\\]|\\[\\n])*", words), words
        kind = re.fullmatch(rf"# TYPE {name} (counter|gauge|histogram)", lines.pop(0)).group(1)
        rows = []
        while lines and not lines[0].startswith("#"):
            sample, labels, value = SAMPLE.fullmatch(lines[0]).groups()
            pairs = re.findall(LABEL, labels or "")
            keys = [pair.split("=", 1)[0] for pair in pairs]
            assert len(keys) == len(set(keys)), lines[0]
            rows.append((sample, tuple(pairs), float(value)))
            lines.pop(0)
        found.append((name, kind, rows))
    return found


def check_histogram(name, rows):
    """Of each set of labels: buckets that rise in le and count, the last +Inf, then sum and count, all together."""
    def others(row):
        return tuple(pair for pair in row[1] if not pair.startswith("le="))
    seen = set()
    for labels, group in itertools.groupby(rows, others):
        assert labels not in seen, f"{name} {labels} stands in two places"
        seen.add(labels)
        *buckets, total, count = group
        edges = [float(pair[4:-1]) for row in buckets for pair in row[1] if pair.startswith("le=")]
        assert {row[0] for row in buckets} == {name + "_bucket"} and len(edges) == len(buckets)
        assert edges == sorted(set(edges)) and edges[-1] == float("inf")
        values = [row[2] for row in buckets]
        assert values == sorted(values)
        assert (total[0], count[0], count[2]) == (name + "_sum", name + "_count", values[-1])
        assert total[2] >= 0 and (total[2] > 0) == (count[2] > 0)


def test_lines_are_of_the_format(running_demo):
    """HELP, TYPE, samples, once a family; names of samples are the family's; no sample twice, no other characters."""
    with lib.connect(lib.ECHO, 4) as s:
        lib.echo_once(s, 1, b"x")
        found = blocks(scrape())
    names = [name for name, _, _ in found]
    assert len(names) == len(set(names)) and len(names) > 50
    keys = [(sample, labels) for _, _, rows in found for sample, labels, _ in rows]
    assert len(keys) == len(set(keys))
    for name, kind, rows in found:
        if kind == "histogram":
            check_histogram(name, rows)
        else:
            assert {sample for sample, _, _ in rows} <= {name}
            assert name.endswith("_total") == (kind == "counter"), name
            assert all(value >= 0 for _, _, value in rows) or kind == "gauge", name


@pytest.mark.parametrize("wrong", [
    "# TYPE a_b gauge\n# HELP a_b Words.\na_b 1\n", "a_b 1\n", "# HELP a_b Words.\na_b 1\n",
    '# HELP a_b W.\n# TYPE a_b gauge\na_b{x="1",x="2"} 1\n', '# HELP a_b W.\n# TYPE a_b gauge\na_b{x="a"b"} 1\n',
    '# HELP a_b W.\n# TYPE a_b gauge\na_b{x="1",} 1\n', "# HELP a_b W.\n# TYPE a_b gauge\na_b one\n",
    "# HELP a_b W.\n# TYPE a_b gauge\na_b 1",
])
def test_what_is_not_of_the_format_is_found(wrong):
    with pytest.raises((AssertionError, AttributeError)):
        blocks(wrong)


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (its package starts a server)")
def test_promtool_finds_nothing(running_demo):
    done = subprocess.run(["promtool", "check", "metrics"], input=scrape(), text=True, capture_output=True, timeout=30,
                          check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def samples(families):
    return {sample.name for family in families.values() for sample in family.samples}


def test_names_types_and_help(families):
    """Each family has help and type; names are lower case, in base units; counters and nothing else end in _total."""
    for name, family in families.items():
        assert re.fullmatch(r"millrace(_[a-z0-9]+)+", name), name
        assert family.documentation, f"{name} has no HELP"
        assert family.type in ("counter", "gauge", "histogram"), f"{name} is {family.type}"
        assert name.split("_")[-1] not in WRONG_UNITS, f"{name}: not in base units"
        assert family.type not in name.split("_"), f"{name} has its type in its name"
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter"), sample.name
            if family.type != "histogram":
                assert not re.search(r"_(count|sum|bucket)$", sample.name), sample.name
        assert not name.endswith("_info") or {s.value for s in family.samples} == {1.0}


def test_labels_are_few_and_no_sample_stands_twice(families):
    seen = set()
    for family in families.values():
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in seen, key
            seen.add(key)
            assert all(re.fullmatch(r"[a-z_]+", label) for label in sample.labels)
            assert not {"instance", "job"} & set(sample.labels), "labels of Prometheus itself"


def test_histogram_adds_up(families):
    buckets = {}
    for sample in families["millrace_lane_callback_seconds"].samples:
        labels = dict(sample.labels)
        le = labels.pop("le", None)
        key = tuple(sorted(labels.items()))
        if sample.name.endswith("_bucket"):
            buckets.setdefault(key, []).append((float(le), sample.value))
        elif sample.name.endswith("_count"):
            assert buckets[key][-1] == (float("inf"), sample.value)
    for one in buckets.values():
        assert one == sorted(one) and [v for _, v in one] == sorted(v for _, v in one)


def test_every_counter_of_a_lane_is_there(families):
    """The control API and /metrics tell the same."""
    told = samples(families)
    lane = figures.lanes()[0]
    for name in lane["counters"]:
        assert f"millrace_lane_{re.sub('_us$', '_seconds', name)}_total" in told
    states = {s.labels["state"] for s in families["millrace_lane_frames"].samples}
    assert states == set(lane["frames"])


def test_counters_never_go_back():
    def counters():
        return {(s.name, tuple(sorted(s.labels.items()))): s.value
                for family in parser.text_string_to_metric_families(scrape())
                if family.type == "counter" for s in family.samples}
    before = counters()
    with lib.connect(lib.ECHO, 4) as s:
        lib.echo_once(s, 1, b"x")
    after = counters()
    assert [key for key in before if after[key] < before[key]] == []


def queries(node):
    """Every expression of a dashboard."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("expr", "query") and isinstance(value, str):
                yield value
            else:
                yield from queries(value)
    elif isinstance(node, list):
        for one in node:
            yield from queries(one)


def test_dashboard_queries_metrics_that_exist(families):
    """Each query names metrics, and labels of them, that the daemon has."""
    labels = {}
    for family in families.values():
        for sample in family.samples:
            labels.setdefault(sample.name, {"instance"}).update(sample.labels)
    asked = [q for q in queries(json.loads(DASHBOARD.read_text())) if q != "prometheus"]
    assert len(asked) > 15
    for query in asked:
        names = re.findall(r"\bmillrace_\w+", query)
        assert names, query
        for name in names:
            assert name in labels, f"{name} of {query}"
            known = labels[name]
            for part in re.findall(r"\bby \(([^)]*)\)", query):
                assert set(part.replace(" ", "").split(",")) <= known, query
            for label in re.findall(r"[{,]\s*(\w+)\s*=~?", query):
                assert label in known, query


def test_dashboard_can_be_imported():
    """What Grafana's import asks for: panels that do not overlap, ids once, a data source to be chosen."""
    board = json.loads(DASHBOARD.read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    taken = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                 for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert target["expr"].count("(") == target["expr"].count(")")
