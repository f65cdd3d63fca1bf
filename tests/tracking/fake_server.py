"""As much of an MLflow server as the mirror talks to, in memory, and able to fail in every way a real one can."""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse


class FakeServer:
    """``fail`` is "", or what happens after ``healthy`` requests: lost (the connection breaks), silent (no answer for long),
    refusing (403), broken (500), garbage (200 and no JSON). ``delay`` is how long every answer takes. Use as a context manager.
    """

    def __init__(self) -> None:
        self.fail, self.healthy, self.delay = "", 0, 0.0
        self.asked = 0
        self.experiments: dict[str, dict] = {}
        self.runs: dict[str, dict] = {}
        self.metrics: dict[str, Counter] = {}
        self.files: dict[str, bytes] = {}
        self.lock = threading.Lock()
        self.closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.answer(b"")

            def do_POST(self) -> None:
                self.answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

            do_PUT = do_PATCH = do_POST

            def answer(self, body: bytes) -> None:
                outer.answer(self, body)

            def log_message(self, *unused: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.block_on_close = False
        self.uri = f"http://127.0.0.1:{self.http.server_address[1]}"

    def __enter__(self) -> FakeServer:
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *unused: object) -> None:
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()

    def heal(self) -> None:
        """Answer everything again."""
        self.fail, self.delay, self.asked = "", 0.0, 0

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        """One request."""
        with self.lock:
            self.asked += 1
            failing = self.fail if self.asked > self.healthy else ""
        time.sleep(self.delay)
        code, content = 200, b"{}"
        if failing == "lost":
            request.close_connection = True
            request.connection.close()
            return
        if failing == "silent":
            self.closing.wait(60)
            return
        if failing:
            code = {"refusing": 403, "broken": 500, "garbage": 200}[failing]
            content = b"<html>no</html>"
        else:
            with self.lock:
                code, reply = self.reply(request.command, urlparse(request.path), body)
            content = json.dumps(reply).encode()
        request.send_response(code)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def reply(self, method: str, url, raw: bytes) -> tuple[int, dict]:
        """The protocol, as far as it is used."""
        path = url.path.rstrip("/")
        if "/mlflow-artifacts/" in path:
            self.files[path.split("/artifacts/", 1)[1]] = raw
            return 200, {}
        body = json.loads(raw) if raw else {key: values[0] for key, values in parse_qs(url.query).items()}
        action = path.split("/mlflow/")[-1]
        found = getattr(self, "_" + re.sub(r"\W", "_", action), None)
        return (200, {}) if found is None else found(body)

    def _experiments_search(self, body: dict) -> tuple[int, dict]:
        return 200, {"experiments": list(self.experiments.values())}

    def _experiments_get_by_name(self, body: dict) -> tuple[int, dict]:
        for experiment in self.experiments.values():
            if experiment["name"] == body["experiment_name"]:
                return 200, {"experiment": experiment}
        return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such experiment"}

    def _experiments_create(self, body: dict) -> tuple[int, dict]:
        key = str(len(self.experiments) + 1)
        self.experiments[key] = {"experiment_id": key, "name": body["name"], "lifecycle_stage": "active", "artifact_location": ""}
        return 200, {"experiment_id": key}

    def _runs_search(self, body: dict) -> tuple[int, dict]:
        wanted = dict(re.findall(r"tags\.`([^`]+)` = '([^']*)'", body.get("filter", "")))
        running = "status = 'RUNNING'" in body.get("filter", "")
        found = [
            run
            for run in self.runs.values()
            if run["info"]["experiment_id"] in body["experiment_ids"]
            and wanted.items() <= {tag["key"]: tag["value"] for tag in run["data"]["tags"]}.items()
            and (not running or run["info"]["status"] == "RUNNING")
        ]
        return 200, {"runs": found}

    def _runs_create(self, body: dict) -> tuple[int, dict]:
        key = uuid.uuid4().hex  # the client remembers where artifacts go by it
        info = {"run_id": key, "run_uuid": key, "experiment_id": body["experiment_id"], "status": "RUNNING", "lifecycle_stage": "active"}
        info |= {"run_name": body.get("run_name", ""), "artifact_uri": f"mlflow-artifacts:/{key}", "start_time": body["start_time"]}
        self.runs[key] = {"info": info, "data": {"tags": body.get("tags", []), "params": [], "metrics": []}}
        self.metrics[key] = Counter()
        return 200, {"run": self.runs[key]}

    def _runs_get(self, body: dict) -> tuple[int, dict]:
        return 200, {"run": self.runs[body["run_id"]]}

    def _runs_set_tag(self, body: dict) -> tuple[int, dict]:
        tags = self.runs[body["run_id"]]["data"]["tags"]
        tags[:] = [tag for tag in tags if tag["key"] != body["key"]] + [{"key": body["key"], "value": body["value"]}]
        return 200, {}

    def _runs_log_batch(self, body: dict) -> tuple[int, dict]:
        for metric in body.get("metrics", []):
            self.metrics[body["run_id"]][(metric["key"], metric.get("step", 0), metric["value"], metric["timestamp"])] += 1
        for tag in body.get("tags", []):
            self._runs_set_tag({"run_id": body["run_id"], **tag})
        return 200, {}

    def _runs_update(self, body: dict) -> tuple[int, dict]:
        run = self.runs[body["run_id"]]
        run["info"]["status"] = body.get("status", run["info"]["status"])
        return 200, {"run_info": run["info"]}
