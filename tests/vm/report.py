#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What guests of scripts/vm.sh brought out.

report.py one FOLDER VERSION SECONDS STAGE...	FOLDER/report.json of one kernel, and a few lines
report.py all FOLDER...				the last line, of all kernels; exit 1 if one failed
report.py table FOLDER...			what was shown on which kernel, as docs/kernels.md has it
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


def main():
    if sys.argv[1] == "one":
        folder, version, seconds = pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
        print_one(make_one(folder, version, seconds, sys.argv[5:]))
        return 0
    paths = [pathlib.Path(folder) / "report.json" for folder in sys.argv[2:]]
    missing = [f"{path.parent.name}: no report" for path in paths if not path.exists()]
    reports = [json.loads(path.read_text()) for path in paths if path.exists()]
    return print_table(reports) if sys.argv[1] == "table" else print_all(reports, missing)


if __name__ == "__main__":
    sys.exit(main())
