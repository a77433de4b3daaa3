# SPDX-License-Identifier: MIT
"""TLS over libmillrace: examples/tls_server with OpenSSL's own client and with curl."""
import pathlib
import re
import socket
import ssl
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"


def run(*words, **more):
    return subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=60, check=False, **more)


@pytest.fixture(scope="module", name="files")
def make_files(tmp_path_factory):
    """The server's program, its certificate and key."""
    folder = tmp_path_factory.mktemp("tls")
    done = run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
               "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
               "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", folder / "key",
               "-out", folder / "cert")
    assert done.returncode == 0, done.stderr
    done = run("gcc", "-Wall", "-Wextra", "-Werror", "-I", ROOT / "include",
               ROOT / "examples" / "tls_server.c", "-o", folder / "server", "-L", BUILD,
               f"-Wl,-rpath,{BUILD}", "-lmillrace-tls", "-lmillrace", "-lssl", "-lcrypto")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(name="server")
def start_server(files):
    """Its port; it runs until the test is over, and has not died of anything."""
    process = subprocess.Popen([files / "server", files / "cert", files / "key", "0"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield int(re.match(rb"port (\d+)", process.stdout.readline()).group(1))
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


def context(files, **options):
    made = ssl.create_default_context(cafile=str(files / "cert"))
    for name, value in options.items():
        setattr(made, name, value)
    return made


def connect(files, port, **options):
    plain = socket.create_connection(("127.0.0.1", port), timeout=30)
    return context(files, **options).wrap_socket(plain, server_hostname="localhost")


def test_openssl_s_client(files, server):
    with subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{server}", "-CAfile",
                           files / "cert", "-verify_return_error", "-servername", "localhost",
                           "-tls1_3", "-quiet"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as client:
        try:
            for line in (b"hello there\n", b"and again\n"):
                client.stdin.write(line)
                client.stdin.flush()
                assert client.stdout.readline() == line
        finally:
            client.kill()


def test_curl(files, server):
    done = run("curl", "--silent", "--show-error", "--fail", "--cacert", files / "cert",
               "--tlsv1.3", f"https://localhost:{server}/", "--resolve",
               f"localhost:{server}:127.0.0.1")
    assert (done.returncode, done.stdout) == (0, b"millrace\n"), done.stderr


def test_many_bytes_both_ways(files, server):
    """Records of all sizes, more of them than buffers hold, by a client that reads as it writes."""
    lines = [bytes([97 + n % 26]) * (n * 37 % 4000) + b"\n" for n in range(600)]
    sent = b"".join(lines)
    got = b""
    with connect(files, server) as s:
        for line in lines:
            s.sendall(line)
            s.setblocking(False)
            try:
                got += s.recv(1 << 20)
            except ssl.SSLWantReadError:
                pass
            s.settimeout(30)
        while len(got) < len(sent):
            piece = s.recv(1 << 20)
            assert piece
            got += piece
    assert got == sent


def test_a_hundred_at_once(files, server):
    made = [connect(files, server) for _ in range(100)]
    for n, s in enumerate(made):
        s.sendall(b"%d\n" % n)
    for n, s in enumerate(made):
        assert s.recv(100) == b"%d\n" % n
        s.close()


def test_older_versions_are_refused(files, server):
    with pytest.raises(ssl.SSLError):
        connect(files, server, maximum_version=ssl.TLSVersion.TLSv1_2)


def test_what_is_no_tls_ends(server):
    with socket.create_connection(("127.0.0.1", server), timeout=30) as s:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n" * 10)
        answer = b""
        try:
            while piece := s.recv(4096):
                answer += piece
        except ConnectionResetError:
            pass
    assert not answer.startswith(b"HTTP")


def test_client_that_goes_without_a_word(files, server):
    """In the middle of the handshake, and behind it without close_notify; others are served."""
    with socket.create_connection(("127.0.0.1", server), timeout=30) as s:
        s.sendall(bytes([22, 3, 1, 2, 0]))
    gone = connect(files, server)
    gone.sendall(b"no end")
    gone.shutdown(socket.SHUT_RDWR)
    gone.close()
    with connect(files, server) as s:
        s.sendall(b"still there\n")
        assert s.recv(100) == b"still there\n"
