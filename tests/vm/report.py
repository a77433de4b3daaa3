#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What guests of scripts/vm.sh brought out.

report.py one FOLDER VERSION SECONDS STAGE...	FOLDER/report.json of one kernel, and a few lines
report.py all FOLDER...				the last line, of all kernels; exit 1 if one failed
report.py table FOLDER...			what was shown on which kernel, as docs/kernels.md has it
report.py support FILE FOLDER...		the same for users, between the marks in FILE: README.md
"""
import json
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree


def read_stage(folder, stage):
    """Tests of one guest: {name: "passed", "failed" or "skipped: reason"}; None if it died."""
    console = folder / f"{stage}.console"
    if not console.exists() or not re.search(r"^VM_DONE rc=\d+", console.read_text(errors="replace"), re.M):
        return None
    path = folder / f"{stage}.xml"
    tests = {}
    for case in ElementTree.parse(path).getroot().iter("testcase") if path.exists() else ():
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            outcome = "failed"
        elif skip is not None:
            outcome = "skipped: " + (skip.get("message") or "no reason given")
        else:
            outcome = "passed"
        tests[f"{case.get('classname')}::{case.get('name')}"] = outcome
    return tests


def read_facts(folder):
    path = folder / "facts.json"
    return json.loads(path.read_text()) if path.exists() else {}


def make_one(folder, version, seconds, stages):
    report = {"series": folder.name, "kernel": version, "seconds": seconds, "stages": {},
              "died": [], "restarted": [], "facts": read_facts(folder)}
    for stage in stages:
        tests = read_stage(folder, stage)
        report["stages"][stage] = tests or {}
        if not tests:
            report["died"].append(stage)
        if (folder / f"{stage}.console.died").exists():
            report["restarted"].append(stage)
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


def outcomes(report):
    return [(f"{stage} {name}", outcome) for stage, tests in report["stages"].items()
            for name, outcome in tests.items()]


def count(report, what):
    return sum(outcome.startswith(what) for _, outcome in outcomes(report))


def failed(report):
    return [name for name, outcome in outcomes(report) if outcome == "failed"] + \
        [f"{stage}: the guest died, or ran no test" for stage in report["died"]]


def print_one(report):
    print(f"vm: {report['kernel']}: {count(report, 'passed')} passed, {count(report, 'failed')} "
          f"failed, {count(report, 'skipped')} skipped, {report['seconds']} s"
          + (f", started twice: {' '.join(report['restarted'])}" if report["restarted"] else ""))
    for name, outcome in outcomes(report):
        if outcome.startswith("skipped"):
            print(f"vm: {report['series']}: {name}: {outcome}")
    for name in failed(report):
        print(f"vm: {report['series']}: failed: {name}")
    sys.stdout.flush()


def print_all(reports, missing):
    bad = missing + [name for report in reports for name in failed(report)]
    zerocopy = any(report["facts"].get("zerocopy") for report in reports)
    print(f"vm: {'failed' if bad or not reports else 'ok'} kernels={len(reports)} "
          f"tests={sum(count(report, 'passed') for report in reports)} "
          f"zerocopy={'yes' if zerocopy else 'no'} "
          f"skipped={sum(count(report, 'skipped') for report in reports)}"
          + (f" failed={len(bad)}" if bad else ""))
    return 1 if bad or not reports else 0


# Heading of a column, and what the names of its tests have.
COLUMNS = (("verdicts", "test_bpf_program"), ("attach", "test_attach"),
           ("dispatcher", "test_dispatcher"), ("main job", "vm_main_job"),
           ("virtio NIC", "vm_nic"), ("unit", "vm_unit"))


def cell(report, word):
    """What became of the tests of a column."""
    found = [outcome for name, outcome in outcomes(report) if word in name]
    if not found:
        return "not run"
    if "failed" in found:
        return f"{found.count('failed')} of {len(found)} failed"
    return "skipped" if all(outcome.startswith("skipped") for outcome in found) else "yes"


def print_table(reports):
    heads = ["kernel", "instructions verified", *(head for head, _ in COLUMNS), "bind on virtio_net"]
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for report in reports:
        facts = report["facts"]
        walked = [facts[f"verifier {section}"]["instructions"] for section in ("xdp", "xdp.frags")
                  if facts.get(f"verifier {section}", {}).get("loads")]
        cells = [report["kernel"], " / ".join(f"{n:,}" for n in walked) or "not run",
                 *(cell(report, word) for _, word in COLUMNS),
                 facts.get("virtio_net", {}).get("bind", "not run")]
        print("| " + " | ".join(cells) + " |")
    return 0


BEGIN, END = "<!-- made by scripts/vm.sh support -->", "<!-- end -->"

# What a test that passed means to a user, by the end of its name, and to which driver it belongs.
MEANINGS = (
    ("veth", (("vm_main_job::test_demo", "the main job"),
              ("vm_main_job::test_restart_of_lanes_loses_nothing", "`lane restart`"),
              ("vm_main_job::test_killed_worker", "kill -9 of a worker"),
              ("vm_veth::test_daemon_killed", "kill -9 of the daemon"),
              ("vm_veth::test_slaves_are_served_and_followed", "bonds"),
              ("vm_program::test_attach[netlink]", "attach: netlink"),
              ("vm_program::test_attach[link]", "link"),
              ("vm_program::test_attach_by_ip_link_and_adopt", "adopt"),
              ("vm_program::test_dispatcher_beside_a_second_program",
               "libxdp beside another program"))),
    ("virtio_net", (("vm_nic::test_messages_and_bulk", "messages, bulk both ways by hash"),
                    ("vm_nic::test_killed_worker", "kill -9 of the worker"),
                    ("vm_nic::test_down_and_up", "link down and up"),
                    ("vm_nic::test_renewed_sockets", "a new socket for each worker"),
                    ("vm_nic::test_unload_leaves_nothing", "unload leaves nothing"))),
    ("the unit, systemd 252", (("vm_unit::test_started", "start"),
                               ("vm_unit::test_restart_keeps_lanes_and_connections",
                                "restart keeps connections"),
                               ("vm_unit::test_killed_daemon_is_replaced", "a killed daemon"),
                               ("vm_unit::test_systemd_holds_descriptors_too",
                                "and its keeper"),
                               ("vm_unit::test_watchdog_replaces_a_daemon_that_hangs",
                                "watchdog"),
                               ("vm_unit::test_stop_leaves_nothing", "stop leaves nothing"))),
)


def support_row(report, driver, meanings):
    """Cells of a row: what works, and what not; None if nothing of it was run."""
    done = {name: outcome for tests in report["stages"].values()
            for name, outcome in tests.items()}
    found = [(word, outcome) for end, word in meanings
             for name, outcome in done.items() if name.endswith(end)]
    if not found:
        return None
    mode = {"veth": "copy", "virtio_net": report["facts"].get("virtio_net", {}).get("bind", "?")}
    bad = [f"{word} ({outcome})" for word, outcome in found if outcome != "passed"]
    return [report["kernel"], driver, mode.get(driver, ""),
            ", ".join(word for word, outcome in found if outcome == "passed") or "nothing",
            ", ".join(bad)]


def write_support(path, reports):
    rows = [row for report in reports for driver, meanings in MEANINGS
            if (row := support_row(report, driver, meanings))]
    heads = ["kernel", "driver", "mode", "works", "does not"]
    table = [heads, ["---"] * len(heads), *rows]
    text = "".join("| " + " | ".join(cells) + " |\n" for cells in table)
    before, rest = path.read_text().split(BEGIN + "\n", 1)
    path.write_text(before + BEGIN + "\n\n" + text + "\n" + END + rest.split(END, 1)[1])
    return 0


def main():
    if sys.argv[1] == "one":
        folder, version, seconds = pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
        print_one(make_one(folder, version, seconds, sys.argv[5:]))
        return 0
    folders = sys.argv[3:] if sys.argv[1] == "support" else sys.argv[2:]
    paths = [pathlib.Path(folder) / "report.json" for folder in folders]
    missing = [f"{path.parent.name}: no report" for path in paths if not path.exists()]
    reports = [json.loads(path.read_text()) for path in paths if path.exists()]
    if sys.argv[1] == "support":
        return write_support(pathlib.Path(sys.argv[2]), reports)
    return print_table(reports) if sys.argv[1] == "table" else print_all(reports, missing)


if __name__ == "__main__":
    sys.exit(main())
