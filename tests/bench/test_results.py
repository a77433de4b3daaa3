# SPDX-License-Identifier: MIT
"""bench/run.py: what becomes of the reports of a run."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import plots      # noqa: E402  pylint: disable=wrong-import-position
import run        # noqa: E402  pylint: disable=wrong-import-position
import scenarios  # noqa: E402  pylint: disable=wrong-import-position
import tables     # noqa: E402  pylint: disable=wrong-import-position


def a_report(rate, p50=10.0, server=0.5, client=0.4, softirqd=0.1):
    return {"rate": rate, "measured": rate, "p50_us": p50, "p99_us": 3 * p50, "p999_us": 9 * p50,
            "server_cpu_s": server, "client_cpu_s": client, "ksoftirqd_cpu_s": softirqd}


def compared(ours, theirs):
    runs = run.Runs()
    scenario = scenarios.echo(64)
    for a, b in zip(ours, theirs):
        runs.add(scenario, scenarios.MILLRACE, a)
        runs.add(scenario, scenarios.EPOLL, b)
    return {r["name"].split(".")[1]: r for r in run.results([scenario], runs)}


def test_names_are_unique_and_chosen_by_prefix():
    names = [s.name for s in scenarios.scenarios()]
    assert len(set(names)) == len(names)
    assert run.select(["peers-c64"], names) == ["peers-c64", "peers-c64-d16"]
    with pytest.raises(run.BenchError):
        run.select(["nothing"], names)


def test_ratio_is_the_median_of_the_rounds_and_not_of_the_medians():
    r = compared([a_report(10), a_report(20), a_report(90)],
                 [a_report(10), a_report(5), a_report(30)])["rate"]
    assert (r["value"], r["peer_value"]) == (20, 10)
    assert (r["ratio"], r["spread_low"], r["spread_high"]) == (3, 1, 4)


def test_less_is_better_for_latency():
    r = compared([a_report(10, p50=5)], [a_report(10, p50=20)])
    assert r["p50"]["ratio"] == 4
    assert r["server-cpu"]["ratio"] == 1


def test_cost_counts_server_client_and_ksoftirqd():
    r = compared([a_report(100, server=0.2, client=0.2, softirqd=0.1)],
                 [a_report(100, server=0.5, client=0.4, softirqd=0.1)])
    assert r["per-cpu"]["value"] == pytest.approx(200)
    assert r["per-cpu"]["ratio"] == pytest.approx(2)


def test_a_round_that_failed_is_left_out_on_both_sides():
    r = compared([a_report(10), None, a_report(30)], [a_report(10), a_report(1), None])["rate"]
    assert r["pairs"] == 1
    assert r["ratio"] == 1


def test_contract_of_the_records():
    for record in compared([a_report(10)], [a_report(10)]).values():
        assert {"name", "value", "unit", "peer", "peer_value", "ratio"} <= set(record)


def test_every_side_can_be_started():
    sides = {side for s in scenarios.scenarios() for side in s.sides}
    assert sides <= set(run.STARTS)


def test_plots_take_their_points_from_the_records():
    records = list(compared([a_report(10)], [a_report(5)]).values())
    assert plots.points(records, r"echo-64b-c(\d+)", "rate", "epoll") == [(64, (10, 5))]
    assert plots.number("4k") == 4096


def test_markdown_has_a_line_for_each_scenario_and_peer():
    records = list(compared([a_report(10)], [a_report(5)]).values())
    lines = tables.markdown(records).splitlines()
    assert lines[2].startswith("| echo-64b-c64 | epoll | 10 / 5 | **2.00** (2.00..2.00) |")


def test_a_server_that_does_not_start_fails_the_round_of_its_scenarios(monkeypatch):
    def fails(_):
        raise run.BenchError("no such program")

    runs = run.Runs()
    scenario = scenarios.echo(64)
    monkeypatch.setitem(run.STARTS, scenarios.EPOLL, fails)
    run.run_side(runs, scenarios.EPOLL, [scenario], 1, "round 1 of 1")
    assert runs.reports[scenario.name][scenarios.EPOLL] == [None]
    assert len(runs.failures) == 1
