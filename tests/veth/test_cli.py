# SPDX-License-Identifier: MIT
"""The command line tool and /metrics, against the running daemon."""
import os
import re
import socket

import pytest

import figures
import lib

CONTROL = os.environ.get("MILLRACE_CONTROL", "/run/millrace/control.sock")


def test_lane_list():
    """Two lanes of mrs0, serving, with process, mode, heartbeat and frames by state."""
    found = figures.lanes()
    assert [(lane["interface"], lane["queue"]) for lane in found] == [("mrs0", 0), ("mrs0", 1)]
    for lane, record in zip(found, figures.lane_records()):
        assert lane["state"] == "serving"
        assert lane["beat"] == "fresh"
        assert lane["attach"] in ("native", "generic")
        assert lane["bind"] in ("zerocopy", "copy")
        assert set(lane["frames"]) == set(record["frames"])
        assert sum(lane["frames"].values()) == figures.frame_total(record)
    if found[0]["bind"] == "copy":
        assert found[0]["why"], "copy mode without saying why not zero-copy"


def test_lane_list_for_people():
    """Without -j a table: a line a lane with its process, its state and its mode."""
    def is_complete():
        text = figures.millrace("lane", "list").stdout
        lines = [line for line in text.splitlines() if pids & set(line.split())]
        assert len(lines) == len(pids) and all("mrs0" in line for line in lines), text
        return all("serving" in line for line in lines)

    pids = {str(pid) for pid in figures.pids()}
    lib.wait_for(is_complete, 5, "both lanes serving")


def test_lane_show():
    """Everything about one lane; one that is not there is an error in one line."""
    assert "frames by state" in figures.millrace("lane", "show", "mrs0", "0").stdout
    wrong = figures.millrace("lane", "show", "mrs0", "7", check=False)
    assert wrong.returncode == 1 and wrong.stderr.count("\n") == 1


def test_conn_list_is_what_ss_is(family):
    """A connection of ours is listed with its addresses, state and figures, and is gone
    afterwards."""
    with lib.connect(lib.ECHO, family) as s:
        lib.echo_once(s, 1, bytes(1000))
        port = s.getsockname()[1]
        conn = next(one for one in figures.rows(figures.tool("conn", "list"), "connections")
                    if one["remote_port"] == port)
        assert conn["local"] == lib.SERVER[family] and conn["local_port"] == lib.ECHO
        assert conn["remote"] == lib.CLIENT[family]
        assert conn["state"] == "ESTABLISHED"
        assert conn["app"] == "echo"
        assert conn["bytes_received"] == 1006 and conn["bytes_sent"] == 1006
        assert conn["mss"] > 1000 and conn["cwnd"] > 0 and conn["srtt_us"] >= 0
        assert "passive" not in conn or conn["passive"]
    lib.wait_for(lambda: all(one["remote_port"] != port for one in
                             figures.rows(figures.tool("conn", "list"), "connections")),
                 3, "gone from the list")


def test_conn_list_of_a_thousand():
    """A thousand connections are all listed, each once; --limit and --port hold."""
    sockets = [lib.connect(lib.ECHO if i % 4 else lib.DRILL) for i in range(1000)]
    try:
        found = figures.rows(figures.tool("conn", "list"), "connections")
        ports = [one["remote_port"] for one in found]
        assert sorted(ports) == sorted(s.getsockname()[1] for s in sockets)
        assert len(figures.rows(figures.tool("conn", "list", "--limit", "10"), "connections")) == 10
        some = figures.rows(figures.tool("conn", "list", "--port", str(lib.DRILL)), "connections")
        assert len(some) == 250
    finally:
        for s in sockets:
            s.close()


def test_conn_list_for_people():
    """Without -j, as ss -ti: a line with state and addresses, a line with the figures."""
    with lib.connect(lib.ECHO, 6) as s:
        text = figures.millrace("conn", "list", "--long").stdout
        assert f"[{lib.CLIENT[6]}]:{s.getsockname()[1]}" in text
        assert "ESTAB" in text.upper() and "cwnd" in text and "rtt" in text
        one = f"[{lib.CLIENT[6]}]:{s.getsockname()[1]}"
        assert "congestion window" in figures.millrace("conn", "show", one).stdout
        listed = figures.rows(figures.tool("conn", "list", "--remote", lib.CLIENT[6], "--rule",
                                           "echo", "--younger", "60"), "connections")
        assert s.getsockname()[1] in [conn["remote_port"] for conn in listed]


def test_rule_list_counts():
    """Seven rules with port and application; the packets of a rule count."""
    def packets():
        return {rule["port"]: rule["packets"] for rule in figures.rows(
            figures.tool("rule", "list"), "rules") if not rule.get("dynamic")}

    before = packets()
    assert set(before) == set(lib.PORTS.values())
    names = {rule["app"]: rule["port"] for rule in
             figures.rows(figures.tool("rule", "list"), "rules")}
    assert names == lib.PORTS
    with lib.connect(lib.SINK) as s:
        s.sendall(lib.tlv(1, b"x"))
    lib.wait_for(lambda: packets()[lib.SINK] >= before[lib.SINK] + 3, 3, "packets counted")


def test_stats_show_agrees_with_the_maps():
    """Counters, drops, closes and frames of `stats show` are the sums of the lanes' own records."""
    answer = figures.tool("stats", "show")
    records = figures.lane_records()
    assert answer["counters"]["passive_opens"] == figures.figure("passive_opens", records)
    assert answer["drops"] == {name: figures.figure(f"drop.{name}", records)
                               for name in records[0]["drop"]}
    assert answer["closes"] == {name: figures.figure(f"closed.{name}", records)
                                for name in records[0]["closed"]}
    assert sum(answer["frames"].values()) == sum(map(figures.frame_total, records))
    verdicts = {one["name"]: one for one in answer["verdicts"]}
    assert verdicts["take"]["packets"] > 0 and verdicts["take"]["text"]


def test_check_says_what_was_obtained():
    """check mrs0 against the daemon: native XDP, copy mode and why not zero-copy."""
    text = figures.millrace("check", "mrs0").stdout
    assert "native" in text and "copy" in text
    assert figures.tool("check", "mrs0")


def test_check_of_nothing():
    """check of an interface that is not there: one line, exit 1."""
    done = figures.millrace("check", "mrnone", check=False)
    assert done.returncode == 1 and "mrnone" in done.stderr + done.stdout


def test_config_show_is_read_again(tmp_path):
    """config show prints what config check accepts."""
    path = tmp_path / "shown.yaml"
    path.write_text(figures.millrace("config", "show").stdout)
    figures.millrace("config", "check", path)


@pytest.mark.parametrize("words", [["nonsense"], ["lane"], ["lane", "list", "--nonsense"],
                                   ["conn", "list", "--limit", "x"], []])
def test_usage(words):
    """What the grammar does not know: exit 2 and how it is meant, on stderr."""
    done = figures.millrace(*words, check=False)
    assert done.returncode == 2 and done.stderr and not done.stdout


def test_no_daemon_at_this_socket(tmp_path):
    """No daemon behind the socket: exit 1, one line with the cure."""
    done = figures.millrace("-s", tmp_path / "none.sock", "lane", "list", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("millrace: ") and done.stderr.count("\n") == 1
    assert "millraced" in done.stderr


# ----- /metrics -----

SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)"
                    r"(\{([a-zA-Z_][a-zA-Z0-9_]*=\"(\\.|[^\"\\])*\",?)*\})?"
                    r" ([-+0-9.eE]+|NaN|[-+]Inf)( [0-9]+)?$")


def metrics():
    return lib.command("curl", "-sS", "--fail", "--max-time", "5", "--unix-socket", CONTROL,
                       "http://millrace/metrics").stdout


def test_metrics_are_prometheus_text():
    """Each line is a comment or a sample; each metric has HELP and TYPE before it, once; no sample
    stands twice."""
    types, seen = {}, set()
    for line in metrics().splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:4]
            assert name not in types and kind in ("counter", "gauge", "histogram", "untyped")
            types[name] = kind
        elif line and not line.startswith("#"):
            match = SAMPLE.match(line)
            assert match, line
            name = match.group(1)
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            assert name in types or base in types, f"{name} has no TYPE"
            series = line.rsplit(" ", 1)[0]
            assert series not in seen, f"twice: {series}"
            seen.add(series)
    assert len(types) > 40


def test_metrics_agree_with_the_maps():
    """Messages in: the sum over the lanes is that of the maps."""
    total = sum(float(line.rsplit(" ", 1)[1]) for line in metrics().splitlines()
                if re.match(r"^millrace_[a-z_]*messages_in(_total)?[ {]", line))
    assert total == figures.figure("messages_in")


@pytest.mark.parametrize("path", ["/nonsense", "/v1/nonsense", "/v1/lanes/../../etc/passwd"])
def test_unknown_paths(path):
    """A path that is not there: 404 with a word of why; the daemon goes on."""
    done = lib.command("curl", "-sS", "--max-time", "5", "--path-as-is", "-o", "/dev/null", "-w",
                       "%{http_code}", "--unix-socket", CONTROL, f"http://millrace{path}")
    assert done.stdout == "404"
    assert figures.lanes()


def test_garbage_on_the_control_socket():
    """Random bytes and half requests on the control socket: closed, and the daemon goes on."""
    for data in (os.urandom(5000), b"GET /v1/lanes HTTP/1.1\r\n", b"\0" * 100,
                 b"GET " + b"x" * 65536):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.settimeout(2)
            s.connect(CONTROL)
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                s.recv(65536)
            except OSError:
                pass
    assert figures.lanes()
