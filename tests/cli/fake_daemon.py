# SPDX-License-Identifier: MIT
"""A control server on a Unix socket that answers with what a test put into it."""
import json
import pathlib
import re
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

API = pathlib.Path(__file__).resolve().parents[2] / "docs" / "control-api.md"


def documented(path):
    """The example answer that docs/control-api.md gives for GET @path."""
    section = API.read_text().split(f"## GET {path}\n", 1)[1].split("\n## ", 1)[0]
    return json.loads(re.search(r"```json\n(.*?)```", section, re.S).group(1))


KINDS = ("connections", "half_open", "time_wait")


def cell(value):
    """A member as the columns of /v1/conns have it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(cell(one) for one in value) or "-"
    if isinstance(value, dict):
        return ",".join(f"{key}={cell(one)}" for key, one in value.items()) or "-"
    return "-" if value in (None, "") else str(value)


def columns(answer, query):
    """An answer of /v1/conns with format=tsv; what is no list of objects stays as it is."""
    rows = [row for kind in KINDS for row in answer.get(kind) or []]
    example = documented("/v1/conns")
    names = list(dict.fromkeys(name for kind in KINDS for name in example[kind][0]))
    if "fields" in query:
        names = [name for name in names if name in query["fields"].split(",")]
    lines = ["\t".join(names)]
    lines += ["\t".join(cell(row.get(name)) for name in names) for row in rows]
    lines.append("# next " + json.dumps(answer["next"]))
    return ("\n".join(lines) + "\n").encode()


def in_format(answer, query):
    if query.get("format") != "tsv" or not isinstance(answer, dict):
        return answer
    try:
        return columns(answer, query)
    except (AttributeError, KeyError, TypeError):
        return answer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.do_GET()

    def do_GET(self):
        daemon = self.server.daemon
        url = urlsplit(self.path)
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        daemon.requests.append((url.path, query))
        answer = daemon.answers.get(url.path, (404, b'{"v": 1, "error": "no such path"}'))
        if callable(answer):
            answer = answer(query)
        status, body = answer if isinstance(answer, tuple) else (200, in_format(answer, query))
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

    def address_string(self):
        return "unix"


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


class FakeDaemon:
    """answers: path -> object, bytes, (status, either), or function(query) -> any of these."""

    def __init__(self, socket):
        self.socket = str(socket)
        self.answers = {}
        self.requests = []
        self.server = Server(self.socket, Handler)
        self.server.daemon = self
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
