# SPDX-License-Identifier: MIT
"""millrace doctor in the demo: traces are in it, and with --mask no address of the demo, in any form."""
import ipaddress
import json
import re
import tarfile

import pytest

import figures
import lib


def unpack(path):
    """Bytes of the report's files by name."""
    with tarfile.open(path) as tar:
        return {m.name.split("/", 1)[1]: tar.extractfile(m).read().lower() for m in tar.getmembers()}


def demo_addresses():
    """Of both namespaces: IP and MAC addresses, without loopback's."""
    found = set()
    for space in (lib.server, lib.client):
        for link in json.loads(space.run("ip", "-j", "address", "show").stdout):
            if link["link_type"] == "loopback":
                continue
            found.add(bytes.fromhex(link["address"].replace(":", "")))
            found |= {ipaddress.ip_address(one["local"]).packed for one in link["addr_info"]}
    assert len(found) >= 8
    return found


def forms(packed):
    """An address as text and as bytes may have it, in lower case."""
    spelled = [f"{byte:02x}" for byte in packed]
    yield packed
    if packed != packed[::-1]:
        yield packed[::-1]
    for sign in ("", ":", " ", "-", ",0x", ", 0x"):
        yield sign.join(spelled).encode()
    yield "".join(reversed(spelled)).encode()
    if len(packed) == 6:
        return
    address = ipaddress.ip_address(packed)
    yield str(address).encode()
    yield address.exploded.encode()
    yield ",".join(map(str, packed)).encode()
    if len(packed) == 4:
        yield f"::ffff:{packed.hex()[:4]}:{packed.hex()[4:]}".encode()
    else:
        yield ":".join(f"{int(part, 16):x}" for part in address.exploded.split(":")).encode()


def holds(text, form):
    """Does it stand there, and not as a part of a longer number?"""
    return form in text and re.search(rb"(?<![0-9a-f.])" + re.escape(form) + rb"(?![0-9a-f]|\.[0-9])", text) is not None


def leaks(files, addresses):
    every = [form for address in addresses for form in forms(address)]
    return [f"{name}: {form!r}" for name, text in files.items() for form in every if holds(text, form)]


@pytest.fixture(name="trouble")
def fixture_trouble(running_demo):
    """A connection that was reset, and one that stands with its window closed; ports of both."""
    with lib.connect(lib.ECHO, 6) as s:
        lib.echo_once(s, 1, b"x")
        reset = s.getsockname()[1]
        lib.reset_on_close(s)
    with lib.connect(lib.SOURCE_BYTES) as s:
        port = s.getsockname()[1]
        lib.wait_for(lambda: figures.tool("trace", "list", "--live", "--remote-port", str(port))["traces"], 10,
                     "something is noted")
        lib.wait_for(lambda: any(row["remote_port"] == reset for row in figures.tool("trace", "list")["traces"]), 5,
                     "the reset is archived")
        yield reset, port


@pytest.mark.limit(90)
def test_report_has_traces_and_masked_no_address(trouble, tmp_path):
    reset, port = trouble
    plain, masked = tmp_path / "plain.tar.gz", tmp_path / "masked.tar.gz"
    figures.millrace("doctor", "-o", plain)
    figures.millrace("doctor", "--mask", "-o", masked)
    addresses = demo_addresses()
    files = unpack(plain)
    told = {"/".join(leak.split(":")[0].split("/")[:2]) for leak in leaks(files, addresses)}
    assert {"api/traces.json", "api/traces-live.json", "api/conns.json", "system/links.txt"} <= told, \
        "the search finds what is there"
    files = unpack(masked)
    assert leaks(files, addresses) == []
    archived = [t for t in json.loads(files["api/traces.json"])["traces"] if t["remote_port"] == reset]
    assert archived[0]["events"][-1]["reason"] == "reset_by_peer"
    assert re.fullmatch(r"ipv6-\d+", archived[0]["remote"])
    live = [t for t in json.loads(files["api/traces-live.json"])["traces"] if t["remote_port"] == port]
    assert live[0]["events"] and re.fullmatch(r"ipv4-\d+", live[0]["remote"])
