# SPDX-License-Identifier: MIT
"""millrace against a fake daemon: docs/control-api.md, docs/millrace.1."""
import json
import os
import pathlib
import re
import shutil
import socket
import threading

import pytest

from conftest import BINARY, ROOT, call
from fake_daemon import documented

READERS = [("lane", "list"), ("lane", "show", "mrs0", "0"), ("rule", "list"), ("conn", "list"),
           ("stats", "show"), ("config", "show")]
PATHS = {"lane": "/v1/lanes", "rule": "/v1/rules", "conn": "/v1/conns", "stats": "/v1/stats",
         "config": "/v1/config"}


def squeezed(text):
    return re.sub(r"[ \t]+", " ", text)


# ----- grammar -----

USAGE_ERRORS = [
    [], ["lanes"], ["lane"], ["lane", "lists"], ["lane", "list", "x"], ["lane", "show"],
    ["lane", "show", "mrs0"], ["lane", "show", "mrs0", "x"], ["lane", "show", "mrs0", "-1"],
    ["lane", "show", "mrs0", "65536"], ["lane", "show", "mrs0", "0", "1"], ["config"],
    ["config", "check"], ["check"], ["check", "a", "b"], ["check", "a", "--prob"],
    ["conn", "list", "--limit"], ["conn", "list", "--limit", "0"],
    ["conn", "list", "--limit", "5x"], ["conn", "list", "--limit="],
    ["conn", "list", "--limit", "99999999999999999999"], ["conn", "list", "--port", "65536"],
    ["conn", "list", "--port", "0"], ["conn", "list", "--state", "CLOSED"],
    ["conn", "list", "--state", "x" * 100], ["conn", "list", "--lane", "x"],
    ["conn", "list", "--lane", "x" * 200 + ":0"], ["conn", "show"], ["stats", "show", "--all=1"], ["stats", "--all"],
    ["capture"], ["capture", "-w", ""], ["capture", "tcp", "prot", "-w", "x"],
    ["capture", "-w", "x", "-c", "0"], ["capture", "-w", "x", "--snaplen", "13"],
    ["capture", "-w", "x", "--buffer", "2000"], ["capture", "-w", "x", "y" * 5000],
    ["-j", "capture", "-w", "x"],
    ["-s"], ["-s", ""], ["lane", "list", "-s"], ["x"] * 100, [""], ["-x"],
]


@pytest.mark.parametrize("words", USAGE_ERRORS, ids=lambda w: " ".join(w)[:40] or "nothing")
def test_what_makes_no_sense_exits_2(words, daemon):
    result = call(*words, MILLRACE_CONTROL=daemon.socket)
    assert result.status == 2
    assert result.out == ""
    assert "millrace" in result.err
    assert daemon.requests == []


def test_help_lists_every_verb_and_exits_0():
    result = call("help")
    assert result.status == 0
    for words in READERS:
        assert f"millrace {' '.join(words[:2])}" in result.out
    assert call("--help").out == result.out
    assert call("lane", "-h").out == result.out


def test_unknown_verb_names_those_of_its_object():
    result = call("lane", "lst")
    assert "lane list" in result.err and "lane show INTERFACE QUEUE" in result.err
    assert "rule" not in result.err


def test_man_page_has_every_line_of_the_grammar():
    page = (ROOT / "docs" / "millrace.1").read_text()
    macros = re.sub(r"^\.(It|Xo|Xc|Op|Cm)\b|\b(Op|Oo|Oc|Fl|Ar|Cm|Xo)\b", " ", page, flags=re.M)
    words = re.sub(r" (\.\.\.)| (\|) ", r"\1\2", " ".join(macros.split()))  # as the page sets them
    for line in re.findall(r"^  millrace (.*)$", call("help").out, re.M):
        plain = re.sub(r"\[-?|\]", "", line)
        assert " ".join(plain.split()) in words, line


def test_options_may_stand_anywhere(daemon):
    expected = daemon.answers["/v1/lanes"]
    for words in (["-j", "-s", daemon.socket, "lane", "list"],
                  ["lane", "-s" + daemon.socket, "list", "-j"],
                  ["lane", "list", "--json", "-s", daemon.socket]):
        assert json.loads(call(*words).out) == expected


def test_environment_names_the_socket_and_s_comes_first(daemon):
    assert call("lane", "list", MILLRACE_CONTROL=daemon.socket).status == 0
    assert call("-s", daemon.socket, "lane", "list", MILLRACE_CONTROL="/nowhere").status == 0
    assert "/nowhere" in call("lane", "list", MILLRACE_CONTROL="/nowhere").err


def test_proxy_of_the_environment_is_not_used(millrace):
    proxy = "http://127.0.0.1:1"
    assert millrace("lane", "list", http_proxy=proxy, ALL_PROXY=proxy).status == 0


# ----- what the verbs print -----

def test_lane_list_shows_figures_and_what_is_below(millrace):
    result = millrace("lane", "list")
    assert result.status == 0
    title, lane, *notes = squeezed(result.out).splitlines()
    assert title.split()[:3] == ["INTERFACE", "QUEUE", "PID"]
    assert lane == "mrs0 0 816 serving native, copy 64 0 6120 of 8192 fresh, 3.2 ms 1"
    assert " drop: tcp_checksum: 3 wrong TCP checksum" in notes
    assert " slow: store: 1 over 1 ms" in notes
    assert " callbacks: 90112, p50 up to 511 ns, p99 up to 511 ns" in notes


def test_lane_list_tells_restarts(daemon, millrace):
    daemon.answers["/v1/lanes"]["lanes"][0].update(
        restarts=2, last_exit="killed by signal 9", state="dead", pid=None)
    out = squeezed(millrace("lane", "list").out)
    assert "mrs0 0 - dead" in out
    assert "restarts: 2, last exit: killed by signal 9" in out


def buckets(*pairs):
    return [{"from_ns": 2 ** i, "to_ns": 2 ** (i + 1) - 1 if i < 23 else None, "calls": n}
            for i, n in pairs]


@pytest.mark.parametrize("histogram, half, most", [
    (buckets((0, 1)), "up to 1 ns", "up to 1 ns"),
    (buckets((9, 50), (20, 50)), "up to 1.0 us", "up to 2.1 ms"),
    (buckets((9, 49), (10, 51)), "up to 2.0 us", "up to 2.0 us"),
    (buckets((9, 980), (23, 20)), "up to 1.0 us", "over 8.4 ms"),
    (buckets((9, 990), (23, 10)), "up to 1.0 us", "up to 1.0 us"),
    ([], "-", "-"), (None, "-", "-"), ([{}], "-", "-"), ([None, 3], "-", "-"),
    (buckets((9, -5)), "-", "-"),
])
def test_callback_times_come_from_the_histogram(daemon, millrace, histogram, half, most):
    daemon.answers["/v1/lanes"]["lanes"][0]["callbacks"].update(calls=100, histogram=histogram)
    assert f"callbacks: 100, p50 {half}, p99 {most}\n" in millrace("lane", "list").out


def test_lane_show_says_why_not_better(daemon, millrace):
    result = millrace("lane", "show", "mrs0", "0")
    out = squeezed(result.out)
    assert result.status == 0
    assert "why no better mode zero-copy: the driver of mrs0 cannot do it" in out
    assert " 90112 rx_frames frames received" in out
    assert " 2048 fill posted for receiving, or just received" in out
    assert " 12 done both sides closed" in out
    assert " 80000 256 ns to 511 ns" in out
    lane = daemon.answers["/v1/lanes"]["lanes"][0]
    for key in ("pid", "slot", "epoch", "arena_bytes", "frame_bytes", "ports"):
        assert str(lane[key]) in out
    shown = json.loads(millrace("-j", "lane", "show", "mrs0", "0").out)
    assert shown == {"v": 1, "lane": lane}


@pytest.mark.parametrize("words", [("mrs0", "1"), ("mrs1", "0")])
def test_lane_show_of_no_lane_is_an_error(millrace, words):
    result = millrace("lane", "show", *words)
    assert result.status == 1
    assert result.err == (f"millrace: lane show: {words[0]} queue {words[1]}: no such lane "
                          "(see: millrace lane list)\n")


def test_rule_list_shows_the_match(daemon, millrace):
    rule = daemon.answers["/v1/rules"]["rules"][0]
    daemon.answers["/v1/rules"]["rules"] = [
        rule, {**rule, "id": 1, "name": "v6", "address": "2001:db8::2", "vlan": 5},
        {**rule, "id": 2, "name": "dyn", "address": "192.0.2.2", "dynamic": True,
         "interface": "mrs0", "lane": 1, "tlv": None, "heartbeat": None}]
    out = squeezed(millrace("rule", "list").out).splitlines()
    assert out[1] == " 0 echo tcp any:7000 200 steer echo none cubic passive 64 90118 11534336 -"
    assert out[2].startswith(" 1 v6 tcp [2001:db8::2]:7000 vlan 5 200 steer echo")
    assert out[3].startswith(" 2 dyn tcp 192.0.2.2:7000 on mrs0:1 200 steer echo")


def test_prog_list_shows_programs_and_where_they_are(daemon, millrace):
    answer = documented("/v1/programs")
    before = {**answer["programs"][0], "role": "previous", "id": 57, "interfaces": []}
    operators = {**before, "role": "adopted", "tag": None, "abi": None, "object": None,
                 "loaded": None, "interfaces": ["mrs1", "mrs2"]}
    answer["programs"] += [before, operators]
    daemon.answers["/v1/programs"] = answer
    out = squeezed(millrace("prog", "list").out).splitlines()
    assert out[1] == "current 61 xdp 5b4f0a1c9e2d7f30 1.1 2025-01-31T09:20:11Z mrs0 " \
                     "/usr/lib/millrace/millrace.bpf.o"
    assert out[2].startswith("previous 57 xdp") and " - /usr/lib" in out[2]
    assert out[3] == "adopted 57 xdp - - - mrs1, mrs2 -"


def test_prog_upgrade_names_the_whole_path(daemon, millrace, tmp_path):
    daemon.answers["/v1/programs/upgrade"] = documented("/v1/programs")
    (tmp_path / "a b.o").write_text("")
    assert millrace("prog", "upgrade", "--object", str(tmp_path / "a b.o")).status == 0
    assert daemon.requests[-1] == ("/v1/programs/upgrade", {"object": str(tmp_path / "a b.o")})
    result = millrace("prog", "upgrade", "--object", str(tmp_path / "none.o"))
    assert result.status == 1 and "none.o: No such file" in result.err


def test_conn_list_is_a_line_each(millrace):
    title, line, half, wait = squeezed(millrace("conn", "list").out).splitlines()
    assert title.split() == ["State", "Recv-Q", "Send-Q", "Local", "Remote", "Age", "Rtt-ms",
                             "Retrans", "Rule", "Lane/Id"]
    assert line == ("ESTABLISHED 0 0 192.0.2.2:7000 192.0.2.1:51544 5s 0.180 0 echo "
                    "mrs0:0/17.3")
    assert half == "SYN-RECEIVED - - 192.0.2.2:7000 192.0.2.9:1024 - - - echo mrs0:0"
    assert wait == "TIME-WAIT - - 192.0.2.2:7000 192.0.2.1:51540 - - - - mrs0:0"


def test_conn_list_long_is_like_ss(millrace):
    result = millrace("conn", "list", "--long")
    title, line, figures, half, half_figures, wait, wait_figures = \
        squeezed(result.out).splitlines()
    assert title.split() == ["State", "Recv-Q", "Send-Q", "Local", "Remote"]
    assert line == "ESTABLISHED 0 0 192.0.2.2:7000 192.0.2.1:51544"
    for figure in ("lane:mrs0:0/17.3", "rule:echo", "app:echo", "passive", "ts", "rto:200",
                   "srtt:180", "rttvar:40", "limited_by:snd", "mss:1448", "cwnd:14600", "ssthresh:-", "snd_wnd:64256",
                   "rcv_wnd:65535", "snd_scale:7", "rcv_scale:7", "bytes_sent:8812", "bytes_received:8812",
                   "retrans:0", "cc:cubic", "age:5120", "idle:3", "mac:02:00:00:00:00:01",
                   "timers:delayed_ack=12,keepalive=7100000", "flags:ready", "sack"):
        assert f" {figure}" in f"{figures} "
    for absent in ("nodelay", "probes", "backoff", "vlan", "close_reason"):
        assert absent not in figures
    assert half.startswith("SYN-RECEIVED - - 192.0.2.2:7000 192.0.2.9:1024")
    assert half_figures == " lane:mrs0:0 rule:echo sends:2 expires:812"
    assert wait.startswith("TIME-WAIT - - 192.0.2.2:7000 192.0.2.1:51540")
    assert wait_figures == " lane:mrs0:0 expires:43000"


def test_conn_list_shows_trouble(daemon, millrace):
    conn = daemon.answers["/v1/conns"]["connections"][0]
    conn.update(local="2001:db8::2", remote="2001:db8::1", backoff=3, probes=2, dupacks=1,
                vlan=[5, 6], sack=True, nodelay=True, close_reason="timeout", srtt_us=None)
    out = squeezed(millrace("conn", "list", "--long").out)
    assert "[2001:db8::2]:7000 [2001:db8::1]:51544" in out
    for figure in ("backoff:3", "probes:2", "dupacks:1", "vlan:5,6", "sack", "nodelay", "srtt:-",
                   "close_reason:timeout"):
        assert f" {figure}" in out


def test_conn_list_passes_what_is_asked(daemon, millrace):
    assert millrace("-j", "conn", "list", "--lane", "mr&s0:1", "--state", "fin_wait_1",
                    "--port=7000", "--remote-port", "5", "--rule", "a b", "--address", "10.0.0.0/8",
                    "--local", "::1", "--remote", "192.0.2.1", "--older", "2h", "--younger",
                    "1500ms", "--idle", "90", "--retransmits", "3", "--limit", "7").status == 0
    assert daemon.requests == [("/v1/conns", {
        "lane": "mr&s0:1", "state": "FIN-WAIT-1", "port": "7000", "remote_port": "5",
        "rule": "a b", "address": "10.0.0.0/8", "local": "::1", "remote": "192.0.2.1",
        "min_age_ms": "7200000", "max_age_ms": "1500", "min_idle_ms": "90000",
        "min_retransmits": "3", "limit": "7"})]


@pytest.mark.parametrize("text", ["", "x", "1w", "-1", "0", "1.5s", "25d", "99999999999999999999"])
def test_times_that_are_none_are_refused(daemon, millrace, text):
    result = millrace("conn", "list", "--older", text)
    assert result.status == 2 and "--older" in result.err and daemon.requests == []


@pytest.mark.parametrize("name, asked", [
    ("mrs0:1/17.3", {"lane": "mrs0:1", "id": "17.3"}),
    ("192.0.2.1:51544", {"remote": "192.0.2.1", "remote_port": "51544"}),
    ("[2001:db8::1]:51544", {"remote": "2001:db8::1", "remote_port": "51544"}),
])
def test_conn_show_asks_for_one(daemon, millrace, name, asked):
    everything = daemon.answers["/v1/conns"]
    daemon.answers["/v1/conns"] = {**everything, "half_open": [], "time_wait": []}
    result = millrace("conn", "show", name)
    assert result.status == 0
    assert daemon.requests == [("/v1/conns", {"format": "tsv", **asked})]
    out = squeezed(result.out.replace("\n", " \n").replace(":", " "))
    assert out.startswith("mrs0 0/17.3 ESTABLISHED 192.0.2.2 7000 192.0.2.1 51544 \n")
    for key, value in everything["connections"][0].items():
        if isinstance(value, int) and not isinstance(value, bool) and key != "queue":
            assert f" {value} " in out, key
    assert json.loads(millrace("-j", "conn", "show", name).out) == daemon.answers["/v1/conns"]


def test_conn_show_of_none_is_an_error(daemon, millrace):
    daemon.answers["/v1/conns"] = {"v": 1, "connections": [], "half_open": [], "time_wait": [],
                                   "next": None}
    for option in ([], ["-j"]):
        result = millrace(*option, "conn", "show", "mrs0:0/9.9")
        assert result.status == 1 and "no such connection" in result.err and not result.out
    assert millrace("conn", "show", "nonsense").status == 2


def test_conn_list_finds_the_interface_of_a_queue(daemon, millrace):
    lanes = daemon.answers["/v1/lanes"]["lanes"]
    lanes.append({**lanes[0], "queue": 1})
    lanes.append({**lanes[0], "interface": "mrs1", "queue": 1})
    assert millrace("conn", "list", "--lane", "0").status == 0
    assert daemon.requests[-1][1]["lane"] == "mrs0:0"
    several = millrace("conn", "list", "--lane", "1")
    assert several.status == 1 and "several interfaces" in several.err
    none = millrace("conn", "list", "--lane", "2")
    assert none.status == 1 and "no such lane" in none.err


class Connections:
    """/v1/conns for @n connections."""

    def __init__(self, daemon, n):
        conn = daemon.answers["/v1/conns"]["connections"][0]
        self.list = [{**conn, "id": f"{i}.1"} for i in range(n)]
        daemon.answers["/v1/conns"] = self.page

    def page(self, query):
        limit = query.get("limit", "1000")
        end = len(self.list) if limit == "all" else int(limit)
        return {"v": 1, "connections": self.list[:end], "half_open": [], "time_wait": [],
                "next": f"0.2.{end}" if end < len(self.list) else None}


def test_conn_list_is_one_request(daemon, millrace):
    n = 12345
    Connections(daemon, n)
    result = millrace("conn", "list")
    assert result.status == 0 and result.err == ""
    assert re.findall(r" mrs0:0/(\d+)\.1\n", result.out) == [str(i) for i in range(n)]
    assert result.out.count("State") == 1
    assert len(daemon.requests) == 1
    answer = json.loads(millrace("-j", "conn", "list").out)
    assert [c["id"] for c in answer["connections"]] == [f"{i}.1" for i in range(n)]
    assert answer["next"] is None


@pytest.mark.parametrize("limit, total, more", [(5, 5, False), (6, 5, False), (4, 5, True)])
def test_conn_list_stops_at_the_limit(daemon, millrace, limit, total, more):
    Connections(daemon, total)
    for option in ([], ["-j"]):
        result = millrace(*option, "conn", "list", "--limit", str(limit))
        assert result.status == 0
        assert result.out.count("51544") == min(limit, total)
        assert ("there are more" in result.err) == more


TITLES = b"interface\tqueue\tid\tstate\n"


@pytest.mark.parametrize("body", [
    TITLES, TITLES + b"eth0\t0\t1.1\tESTABLISHED\n", TITLES + b"eth0\t0\n# next null\n",
    TITLES + b"x" * 100000 + b"\n# next null\n", TITLES + b"# next null\neth0\t0\t1.1\tX\n",
    TITLES.replace(b"\n", b"\t") * 1000,
])
def test_conn_list_that_is_cut_off_is_an_error(daemon, millrace, body):
    daemon.answers["/v1/conns"] = body
    result = millrace("conn", "list")
    assert result.status == 1
    assert "makes no sense or was cut off" in result.err


def test_conn_list_prints_nothing_that_moves_the_cursor(daemon, millrace):
    daemon.answers["/v1/conns"] = TITLES + b"eth0\t0\t\x1b[2J\xc2\x9b\tX\r\n# next null\n"
    result = millrace("conn", "list")
    assert result.status == 0
    assert "\x1b" not in result.out and "\r" not in result.out and "??" in result.out


def test_stats_show_leaves_zeros_out(daemon, millrace):
    stats = daemon.answers["/v1/stats"]
    stats["verdicts"].append({"name": "not_l4", "action": "pass", "text": "neither", "packets": 0,
                              "bytes": 0})
    stats["counters"]["sleeps"] = 0
    few = squeezed(millrace("stats", "show").out)
    assert " 90118 take redirect 11534336 taken by the fast path" in few
    assert " 18277 turns turns of the lane that found work" in few
    assert " 64 connections connections that stand" in few
    assert " 3 tcp_checksum wrong TCP checksum" in few
    assert " 12 done both sides closed" in few
    assert "slow: store: 1 over 1 ms" in few
    assert "not_l4" not in few and "sleeps" not in few and "stale" not in few
    everything = squeezed(millrace("stats", "show", "--all").out)
    assert " 0 not_l4 pass 0 neither" in everything
    assert " 0 sleeps times the lane slept in poll" in everything
    assert "while a lane was stale: 0" in everything


def test_words_of_the_next_release_are_printed_without_text(daemon, millrace):
    daemon.answers["/v1/stats"]["drops"] = {"brand_new": 5}
    assert " 5 brand_new" in squeezed(millrace("stats", "show").out)


CONFIG = {
    "v": 1, "file": "/etc/millrace/millraced.yaml", "user": "millrace",
    "run_directory": "/run/millrace",
    "interfaces": [{"name": "mrs0", "queues": "all", "force": False},
                   {"gone": None, "heartbeat": {"stale_ms": 50, "none": None}, "name": "yes"}],
    "lanes": {"frames": 8192, "cpus": [0, 1], "capture_directory": None},
    "tcp": {"keepalive": {"idle_s": 7200}, "empty": {}, "unset": {"a": None}}, "rules": [],
    "text": "a: b # c", "number": "5", "word": "on",
}

CONFIG_YAML = """\
# in force, read from /etc/millrace/millraced.yaml
user: millrace
run_directory: /run/millrace
interfaces:
  - name: mrs0
    queues: all
    force: false
  - heartbeat:
      stale_ms: 50
      # none: not set
    name: "yes"
lanes:
  frames: 8192
  cpus:
    - 0
    - 1
  # capture_directory: not set
tcp:
  keepalive:
    idle_s: 7200
  empty: {}
  unset: {}
rules: []
text: "a: b # c"
number: "5"
word: "on"
"""


def test_config_show_prints_yaml(daemon, millrace):
    daemon.answers["/v1/config"] = CONFIG
    assert millrace("config", "show").out == CONFIG_YAML
    assert json.loads(millrace("-j", "config", "show").out) == CONFIG


@pytest.mark.parametrize("words", [w for w in READERS if w[0] != "config"],
                         ids=lambda w: w[0] + w[1])
def test_j_prints_the_answer(daemon, millrace, words):
    result = millrace("-j", *words)
    assert result.status == 0
    answer = json.loads(result.out)
    if words[1] != "show" or words[0] == "stats":
        assert answer == daemon.answers[PATHS[words[0]]]


# ----- daemons that are absent, old, broken -----

@pytest.mark.parametrize("words", READERS, ids=lambda w: w[0] + w[1])
def test_no_socket_is_one_line_with_the_cure(directory, words):
    result = call("-s", f"{directory}/none.sock", *words)
    assert result.status == 1
    assert result.out == ""
    assert result.err == (f"millrace: {words[0]} {words[1]}: cannot reach {directory}/none.sock: "
                          "No such file or directory (is millraced running?)\n")


def test_left_over_socket_is_one_line_with_the_cure(directory):
    path = f"{directory}/dead.sock"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
    result = call("-s", path, "lane", "list")
    assert result.status == 1
    assert result.err.endswith("Connection refused (is millraced running?)\n")


def test_too_long_a_path_is_an_error():
    result = call("-s", "/" + "x" * 200, "lane", "list")
    assert result.status == 1 and "longer than 107 bytes" in result.err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_who_may_not_gets_the_cure(daemon, directory):
    shutil.copy(BINARY, directory / "millrace")
    os.chmod(daemon.socket, 0o600)
    result = call("-s", daemon.socket, "lane", "list", binary=directory / "millrace",
                  before=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    assert result.status == 1
    assert "Permission denied (run as root or as a member of the daemon's group)" in result.err


@pytest.mark.parametrize("answer, words", [
    ((503, {"v": 1, "error": "lanes are starting; try again"}), "lanes are starting; try again"),
    ((400, {"v": 1, "error": "bad\x1b[2J"}), "bad?[2J"),
    ((404, b"not json"), "does not know this request"),
    ((500, b""), "HTTP status 500"),
    ((500, {"error": 5}), "HTTP status 500"),
    ((302, b""), "HTTP status 302"),
    (b"", "no JSON"),
    (b"{", "no JSON"),
    (b'{"v": 1', "no JSON"),
    (b"\xff\xfe", "no JSON"),
    (b'{"v": 1, "x": 99999999999999999999999}', "no JSON"),
    (b"[" * 100000, "no JSON"),
    (b"[1]", "no JSON object"),
    (b'{"v": 2}', "another version"),
    (b'{"v": "1"}', "another version"),
])
def test_answer_that_is_none_is_one_line(daemon, millrace, answer, words):
    for path in PATHS.values():
        daemon.answers[path] = answer
    for verb in READERS:
        for option in ([], ["-j"]):
            result = millrace(*option, *verb)
            assert result.status == 1
            assert result.out == ""
            assert words in result.err
            assert result.err.startswith(f"millrace: {verb[0]} {verb[1]}: ")
            assert result.err.count("\n") == 1 and "\x1b" not in result.err


def serve_once(path, reply):
    """A socket that answers one connection with bytes that are no HTTP, then closes."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def serve():
        with listener, listener.accept()[0] as s:
            s.recv(4096)
            s.sendall(reply)
    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize("reply", [
    b"", b"\0" * 100, b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"])
def test_another_server_is_an_error(directory, reply):
    thread = serve_once(f"{directory}/s", reply)
    result = call("-s", f"{directory}/s", "lane", "list")
    thread.join()
    assert result.status == 1 and result.out == ""
    assert result.err.startswith(f"millrace: lane list: {directory}/s: ")


SHAPES = [
    {}, {"v": 1}, {"lanes": None, "rules": None, "connections": None, "verdicts": None},
    {"lanes": [], "rules": [], "connections": [], "half_open": [], "time_wait": [],
     "verdicts": []},
    {"lanes": {}, "rules": 5, "connections": "x", "half_open": 1, "time_wait": True,
     "verdicts": {}, "counters": [], "drops": "x", "frames": 3, "callbacks": []},
]
ROWS = [{}, None, 5, "x", [], [[]], {"callbacks": 5, "drops": [], "frames": [], "timers": [],
                                     "vlan": {}, "flags": 5, "address": 5, "local": {},
                                     "interface": [], "calls": "x"}]
SHAPES += [{key: [row] for key in ("lanes", "rules", "connections", "half_open", "time_wait",
                                   "verdicts")} for row in ROWS]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: json.dumps(s)[:50])
def test_keys_that_are_missing_or_of_another_type_do_no_harm(daemon, millrace, shape):
    for path in PATHS.values():
        daemon.answers[path] = shape
    for verb in READERS + [("stats", "show", "--all")]:
        if verb[1] == "show" and verb[0] == "lane":
            continue
        # its text is made of columns: an answer that is JSON is none
        result = millrace(*(["-j"] if verb[0] == "conn" else []), *verb)
        assert result.status == 0, result.err
        assert result.err == ""


@pytest.mark.parametrize("values", [None, {}, [], "", 7, 1.5, True, "long" * 1000])
def test_values_of_another_type_do_no_harm(daemon, millrace, values):
    for path in ("/v1/lanes", "/v1/rules", "/v1/conns", "/v1/stats"):
        for key, value in daemon.answers[path].items():
            if isinstance(value, list):
                daemon.answers[path][key] = [dict.fromkeys(row, values) for row in value]
            elif isinstance(value, dict):
                daemon.answers[path][key] = dict.fromkeys(value, values)
    daemon.answers["/v1/config"] = {**dict.fromkeys(CONFIG, values), "v": 1}
    lane = daemon.answers["/v1/lanes"]["lanes"][0]
    lane.update(interface="mrs0", queue=0)
    for verb in READERS:
        result = millrace(*verb)
        assert result.status == 0 and result.err == ""


def test_missing_keys_are_dashes(daemon, millrace):
    daemon.answers["/v1/lanes"] = {"lanes": [{"interface": "mrs0", "queue": 0}]}
    assert squeezed(millrace("lane", "list").out).splitlines()[1] == \
        "mrs0 0 - - -, - - - - of - - -"
    assert "why no better mode -" in squeezed(millrace("lane", "show", "mrs0", "0").out)
    daemon.answers["/v1/conns"] = TITLES + b"eth0\t0\t1.1\tESTABLISHED\n# next null\n"
    out = squeezed(millrace("conn", "list").out).splitlines()
    assert out[1] == "ESTABLISHED - - -:- -:- - - - - eth0:0/1.1"
    out = squeezed(millrace("conn", "list", "--long").out).splitlines()
    assert "rto:-" in out[2] and "rcv_scale:-" in out[2] and "cwnd:-" in out[2]


def test_empty_lists_print_titles_only(daemon, millrace):
    daemon.answers["/v1/lanes"] = {"v": 1, "lanes": []}
    assert millrace("lane", "list").out.count("\n") == 1
    daemon.answers["/v1/conns"] = {"v": 1, "connections": [], "half_open": [], "time_wait": [],
                                   "next": None}
    assert millrace("conn", "list").out.count("\n") == 1


def test_huge_lists_are_printed_whole(daemon, millrace):
    n = 20000
    lane = daemon.answers["/v1/lanes"]["lanes"][0]
    daemon.answers["/v1/lanes"]["lanes"] = [{**lane, "queue": i} for i in range(n)]
    out = millrace("lane", "list").out
    assert out.count("\nmrs0") == n
    assert len({line.index("serving") for line in out.splitlines() if "serving" in line}) == 1


def test_control_characters_do_not_reach_the_terminal(daemon, millrace):
    lane = daemon.answers["/v1/lanes"]["lanes"][0]
    lane.update(state="a\x1b[2Jb", why="x\ny\x9bz\x7f", drops={"k\x1b\n": 1})
    lane["callbacks"]["slow_by_app"] = {"\u0085app": 2}
    for words in (("lane", "list"), ("lane", "show", "mrs0", "0")):
        out = millrace(*words).out
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", out)
        assert "a?[2Jb" in out and "k??" in out and "app: 2" in out
    assert "x?y??z?" in millrace("lane", "show", "mrs0", "0").out
    assert json.loads(millrace("-j", "lane", "list").out) == daemon.answers["/v1/lanes"]


def test_full_disk_is_an_error(daemon):
    with open("/dev/full", "wb") as full:
        result = call("-s", daemon.socket, "lane", "list", stdout=full)
    assert result.status == 1
    assert result.err == \
        "millrace: lane list: cannot write to stdout: No space left on device\n"


# ----- config check -----

@pytest.fixture
def beside(directory):
    """The tool with a millraced of ours beside it: says what it was called with, exits with 3."""
    shutil.copy(BINARY, directory / "millrace")
    fake = directory / "millraced"
    fake.write_text('#!/bin/sh\necho "got $*"\necho "words on stderr" >&2\nexit 3\n')
    fake.chmod(0o755)
    return directory


def test_config_check_is_the_daemons_own(beside):
    result = call("config", "check", "/a b", binary=beside / "millrace")
    assert (result.status, result.out, result.err) == (3, "got -n -c /a b\n", "words on stderr\n")


def test_config_check_as_json(beside):
    result = call("-j", "config", "check", "f", binary=beside / "millrace")
    assert result.status == 3
    assert json.loads(result.out) == {"v": 1, "file": "f", "ok": False, "status": 3,
                                      "text": "got -n -c f\nwords on stderr"}
    (beside / "millraced").write_text("#!/bin/sh\nexit 0\n")
    good = call("-j", "config", "check", "f", binary=beside / "millrace")
    assert good.status == 0 and json.loads(good.out)["ok"] is True


def test_config_check_of_a_talkative_daemon_does_not_hang(beside):
    (beside / "millraced").write_text("#!/bin/sh\nyes 0123456789 | head -c 500000\nexit 1\n")
    result = call("-j", "config", "check", "f", binary=beside / "millrace")
    assert result.status == 1
    assert len(json.loads(result.out)["text"]) == 65535


def test_config_check_of_a_daemon_that_dies_is_an_error(beside):
    (beside / "millraced").write_text("#!/bin/sh\nkill -9 $$\n")
    result = call("-j", "config", "check", "f", binary=beside / "millrace")
    assert result.status == 1 and json.loads(result.out)["ok"] is False


def test_config_check_finds_the_daemon_in_path_and_sbin(beside):
    (beside / "bin").mkdir()
    (beside / "sbin").mkdir()
    tool = beside / "bin" / "millrace"
    shutil.move(beside / "millrace", tool)
    assert call("config", "check", "f", binary=tool, PATH=f"/nowhere:{beside}:/bin").status == 3
    shutil.move(beside / "millraced", beside / "sbin" / "millraced")
    assert call("config", "check", "f", binary=tool).status == 3


@pytest.mark.skipif(any(pathlib.Path(d, "millraced").exists() for d in
                        ("/usr/local/sbin", "/usr/sbin", "/sbin")),
                    reason="millraced is installed")
def test_config_check_without_a_daemon_says_so(directory):
    shutil.copy(BINARY, directory / "millrace")
    result = call("config", "check", "f", binary=directory / "millrace", PATH="/nowhere")
    assert result.status == 1
    assert "cannot find millraced" in result.err


# ----- trace -----

def test_trace_list_and_show(millrace, daemon):
    """As docs/control-api.md has it; the id is asked for."""
    listed = millrace("trace", "list")
    assert listed.status == 0
    assert "mrs0:0:17 192.0.2.2:7000 192.0.2.1:51544 echo closed reset_by_peer 5.0 s 3" in \
        squeezed(listed.out)
    shown = millrace("trace", "show", "mrs0:0:17")
    lines = squeezed(shown.out).splitlines()
    assert len(lines) == 4 and "connection 17.3 rule echo, the last 3 events of 3" in lines[0]
    assert lines[1].strip() == ("6.2 s ago timeout ESTABLISHED acknowledged=8812 in_a_row=1 "
                                "rto_ms=204")
    assert lines[3].endswith("reason=reset_by_peer")
    assert daemon.requests[-1] == ("/v1/traces", {"id": "mrs0:0:17"})


def live_trace(**members):
    """A connection that stands, of docs/control-api.md's trace."""
    trace = dict(documented("/v1/traces")["traces"][0], id=None, state="ESTABLISHED", **members)
    return {"v": 1, "traces": [trace], "next": None}


def test_trace_list_live_has_the_filters_of_conn_list(millrace, daemon):
    daemon.answers["/v1/traces"] = live_trace()
    listed = millrace("trace", "list", "--live", "--rule", "echo", "--state", "established", "--idle", "2s")
    assert "mrs0:0/17.3 192.0.2.2:7000 192.0.2.1:51544 echo ESTABLISHED closed 5.0 s 3" in squeezed(listed.out)
    assert daemon.requests[-1] == ("/v1/traces", {"live": "yes", "rule": "echo", "state": "ESTABLISHED",
                                                  "min_idle_ms": "2000", "limit": "1000"})
    refused = millrace("trace", "list", "--rule", "echo")
    assert refused.status == 2 and "say --live" in refused.err


@pytest.mark.parametrize("words, query", [
    ("mrs0:0/17.3", {"lane": "mrs0:0", "id": "17.3"}),
    ("192.0.2.1:51544", {"remote": "192.0.2.1", "remote_port": "51544"}),
    ("[2001:db8::1]:51544", {"remote": "2001:db8::1", "remote_port": "51544"}),
])
def test_trace_show_of_a_connection(millrace, daemon, words, query):
    daemon.answers["/v1/traces"] = live_trace()
    shown = millrace("trace", "show", words)
    assert "connection 17.3 ESTABLISHED rule echo" in shown.out and "in_a_row=1" in shown.out
    assert daemon.requests[-1] == ("/v1/traces", dict(query, live="yes", events="yes", min_events="0"))


def test_trace_show_of_a_connection_that_is_idle_has_what_was_archived(millrace, daemon):
    """Nothing is noted any more; the archive has the trace of this connection, and one of another."""
    archived = documented("/v1/traces")["traces"][0]
    other = dict(archived, connection="18.1", remote_port=1)
    daemon.answers["/v1/traces"] = lambda query: live_trace(events_total=0, events=[]) if "live" in query \
        else {"v": 1, "traces": [other, archived], "next": None}
    shown = squeezed(millrace("trace", "show", "mrs0:0/17.3").out)
    assert "nothing out of the ordinary is noted" in shown
    assert "reason=reset_by_peer" in shown and ":1 connection" not in shown


def test_trace_show_of_a_connection_that_is_not_there(millrace, daemon):
    daemon.answers["/v1/traces"] = {"v": 1, "traces": [], "next": None}
    shown = millrace("trace", "show", "mrs0:0/17.3")
    assert shown.status == 1 and "no such connection" in shown.err
