# SPDX-License-Identifier: MIT
"""millrace trace: what happened to connections that met a timeout or a reset, and to those that stand."""
import figures
import lib


def trace_of(port):
    """The archived trace of the connection from that port of ours, with its events; or None."""
    for row in figures.tool("trace", "list")["traces"]:
        if row["remote_port"] == port:
            return figures.tool("trace", "show", row["id"])["traces"][0]
    return None


def events(trace):
    return [one["event"] for one in trace["events"]]


def test_reset_of_a_peer_is_archived(family):
    """The RST, and the end with its reason; what is not there any more is an error."""
    with lib.connect(lib.ECHO, family) as s:
        lib.echo_once(s, 1, bytes(10))
        port = s.getsockname()[1]
        lib.reset_on_close(s)
    trace = lib.wait_for(lambda: trace_of(port), 3, "the trace is archived")
    assert events(trace)[-2:] == ["reset_in", "closed"]
    assert trace["events"][-1]["reason"] == trace["close_reason"] == "reset_by_peer"
    assert trace["events"][-2]["bytes_acknowledged"] == 16
    assert trace["rule"] == "echo" and trace["remote"] == lib.CLIENT[family]
    text = figures.millrace("trace", "show", trace["id"]).stdout
    assert "reset_in" in text and "reason=reset_by_peer" in text
    assert trace["id"] in figures.millrace("trace", "list").stdout
    wrong = figures.millrace("trace", "show", "mrs0:0:4000000000", check=False)
    assert wrong.returncode == 1 and "no such trace" in wrong.stderr


def test_connection_without_trouble_has_none():
    with lib.connect(lib.ECHO) as s:
        lib.echo_once(s, 1, bytes(10))
        port = s.getsockname()[1]
    with lib.connect(lib.ECHO) as other:  # resets are archived in order: ours would stand before
        lib.echo_once(other, 1, bytes(10))
        last = other.getsockname()[1]
        lib.reset_on_close(other)
    lib.wait_for(lambda: trace_of(last), 3, "the other's trace is archived")
    assert trace_of(port) is None


def live(*filters):
    return figures.tool("trace", "list", "--live", *filters)["traces"]


def test_connection_that_stands_tells_what_is_noted_now(family):
    """Its client reads nothing: the window closes, which archives nothing, and opens again."""
    with lib.connect(lib.SOURCE_BYTES, family) as s:
        port = str(s.getsockname()[1])
        row = lib.wait_for(lambda: live("--remote-port", port, "--rule", "source-bytes"), 10, "something is noted")[0]
        name = f"{row['interface']}:{row['queue']}/{row['connection']}"

        def shown():
            return figures.tool("trace", "show", name)["traces"][0]
        lib.wait_for(lambda: "window_closed" in events(shown()), 10, lambda: f"the window closes: {shown()}")
        assert shown()["state"] == "ESTABLISHED"
        assert shown()["remote_port"] == int(port) and shown()["remote"] == lib.CLIENT[family]
        assert live("--remote-port", port, "--state", "close-wait") == []

        def opened():
            s.recv(1 << 20)
            address = f"[{lib.CLIENT[family]}]" if family == 6 else lib.CLIENT[family]
            return "window_opened" in figures.millrace("trace", "show", f"{address}:{port}").stdout
        lib.wait_for(opened, 10, "the window opens")
    lib.wait_for(lambda: figures.millrace("trace", "show", name, check=False).returncode == 1, 5, "it is closed")


def test_connection_that_goes_well_tells_so():
    with lib.connect(lib.ECHO) as s:
        lib.echo_once(s, 1, bytes(10))
        port = str(s.getsockname()[1])
        assert live("--remote-port", port) == []
        shown = figures.millrace("trace", "show", f"{lib.CLIENT[4]}:{port}").stdout
    assert "ESTABLISHED" in shown and "nothing out of the ordinary is noted" in shown
