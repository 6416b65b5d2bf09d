"""An object store on this machine, for tests of what is fetched."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from urllib.request import ProxyHandler, Request, build_opener

import pytest

ACCESSION = "ds000001"
BUCKET = "openneuro.org"
Fault = Callable[[bytes], bytes]


class Service:
    """An S3 server on this machine that counts what it sends, and sends it badly."""

    def __init__(self) -> None:
        # Needed by few tests, and slow to import.
        import boto3
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        self.app = DomainDispatcherApplication(create_backend_app)
        self.requests: list[tuple[str, str]] = []
        self.n_sent = 0
        self.faults: list[Fault] = []
        self.page_size = 1000
        self.server = make_server("127.0.0.1", 0, self, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.admin = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def __call__(self, environ: dict, start_response: Callable) -> list[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        query = environ.get("QUERY_STRING", "")
        if "list-type" in query:
            environ["QUERY_STRING"] = f"{query}&max-keys={self.page_size}"
        body = b"".join(self.app(environ, start_response))
        if method == "GET":
            self.requests.append((path.removeprefix(f"/{BUCKET}/"), query))
        if method == "GET" and "list-type" not in query:
            if self.faults:
                body = self.faults.pop(0)(body)
            self.n_sent += len(body)
        return [body]

    def put(self, path: str, content: bytes, accession: str = ACCESSION) -> None:
        """Store a public object."""
        self.admin.put_object(
            Bucket=BUCKET, Key=f"{accession}/{path}", Body=content, ACL="public-read"
        )

    def put_in_parts(self, path: str, parts: list[bytes]) -> None:
        """Store a public object as several parts."""
        where = {"Bucket": BUCKET, "Key": f"{ACCESSION}/{path}"}
        upload = self.admin.create_multipart_upload(**where, ACL="public-read")
        where["UploadId"] = upload["UploadId"]
        done = [
            {
                "PartNumber": number,
                "ETag": self.admin.upload_part(**where, PartNumber=number, Body=part)[
                    "ETag"
                ],
            }
            for number, part in enumerate(parts, 1)
        ]
        self.admin.complete_multipart_upload(**where, MultipartUpload={"Parts": done})

    @property
    def fetched(self) -> list[str]:
        """Objects that were asked for, by their path in the dataset."""
        return [
            path.removeprefix(f"{ACCESSION}/")
            for path, query in self.requests
            if "list-type" not in query
        ]

    def reset(self) -> None:
        """Forget all buckets."""
        request = Request(f"{self.url}/moto-api/reset", method="POST")
        build_opener(ProxyHandler({})).open(request).close()

    def forget(self) -> None:
        self.requests.clear()
        self.n_sent = 0


@pytest.fixture(scope="session")
def server() -> Iterator[Service]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    service = Service()
    thread = threading.Thread(target=service.server.serve_forever, daemon=True)
    thread.start()
    yield service
    service.server.shutdown()


@pytest.fixture
def service(server: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """The server with an empty bucket that anyone may read."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server.faults.clear()
    server.page_size = 1000
    server.reset()
    server.admin.create_bucket(Bucket=BUCKET, ACL="public-read")
    server.forget()
    return server
