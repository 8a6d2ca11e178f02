"""What a restart and a kill leave: everything acknowledged, nothing torn, nothing orphaned."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from airflow_ll.exceptions import LinearLearnerError
from airflow_ll.local.s3 import create_app
from tests.local.s3.conftest import ACCOUNT, LocalS3, read, s3_client

MIB = 1 << 20
ROUNDS = 4


def test_a_restart_keeps_everything_and_sweeps_orphans(own_server: LocalS3) -> None:
    s3 = s3_client(own_server.url)
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="key", Body=b"kept", Metadata={"a": "1"}, Tagging="t=1")
    call = {"Bucket": "bucket", "Key": "parts"}
    call["UploadId"] = s3.create_multipart_upload(**call)["UploadId"]
    etag = s3.upload_part(**call, PartNumber=1, Body=b"part")["ETag"]
    orphan = own_server.folder / "s3" / "blobs" / "00" / ("0" * 32)
    orphan.write_bytes(b"a crash came before the commit")
    own_server.restart()
    s3 = s3_client(own_server.url)
    got = s3.get_object(Bucket="bucket", Key="key")
    assert (got["Body"].read(), got["Metadata"], got["TagCount"]) == (b"kept", {"a": "1"}, 1)
    s3.complete_multipart_upload(**call, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert read(s3, "bucket", "parts") == b"part"
    assert not orphan.exists()


def test_two_processes_cannot_use_one_folder(own_server: LocalS3) -> None:
    with pytest.raises(LinearLearnerError, match="in use by another process"):
        create_app(own_server.folder, region="us-east-1", account_id=ACCOUNT)


class Server:
    """An S3 in a process of its own, to be killed."""

    def __init__(self, folder: Path) -> None:
        script = Path(__file__).with_name("s3_server.py")
        root = Path(__file__).parents[3]
        command = [sys.executable, str(script), str(folder)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=root, env={"PYTHONPATH": str(root)}
        )
        assert self.process.stdout
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().strip()}"

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


class Writer(threading.Thread):
    """Writes until the server is gone; logs each call before it is made and each answer."""

    def __init__(self, url: str, name: str, seed: int, first: threading.Semaphore) -> None:
        super().__init__(name=name)
        self.client, self.seed, self._first = s3_client(url), seed, first
        self.acknowledged: dict[str, str] = {}
        self.pending: dict[str, str] = {}

    def run(self) -> None:
        """Write new keys, overwrite old ones, upload in parts."""
        rng = random.Random(self.seed)
        try:
            for number in range(1_000_000):
                data = rng.randbytes(rng.choice([0, 10, 1000, 300_000, 3 * MIB]))
                key = f"{self.name}/{number % 20}"
                if number % 7 == 3:
                    data = rng.randbytes(5 * MIB) + data
                self.pending = {key: hashlib.sha256(data).hexdigest()}
                self._put(key, data, in_parts=number % 7 == 3)
                self.acknowledged |= self.pending
                self.pending = {}
                self._first.release()
        except (BotoCoreError, ClientError):
            self.client.close()  # the server was killed

    def _put(self, key: str, data: bytes, *, in_parts: bool) -> None:
        call: dict[str, Any] = {"Bucket": "bucket", "Key": key}
        if not in_parts:
            self.client.put_object(**call, Body=data)
            return
        call["UploadId"] = self.client.create_multipart_upload(**call)["UploadId"]
        parts = [
            {"PartNumber": i, "ETag": self.client.upload_part(**call, PartNumber=i, Body=part)["ETag"]}
            for i, part in enumerate([data[: 5 * MIB], data[5 * MIB :]], 1)
        ]
        self.client.complete_multipart_upload(**call, MultipartUpload={"Parts": parts})


def digests(client: Any) -> dict[str, str]:
    """Return the SHA-256 of every object that the bucket lists."""
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="bucket"):
        for listed in page.get("Contents", []):
            data = read(client, "bucket", listed["Key"])
            head = client.head_object(Bucket="bucket", Key=listed["Key"])
            assert (head["ContentLength"], head["ETag"], len(data)) == (listed["Size"], listed["ETag"], listed["Size"])
            found[listed["Key"]] = hashlib.sha256(data).hexdigest()
    return found


def test_a_kill_loses_nothing_acknowledged_and_tears_nothing(tmp_path: Path) -> None:
    server = Server(tmp_path)
    s3_client(server.url).create_bucket(Bucket="bucket")
    expected: dict[str, str] = {}
    for turn in range(ROUNDS):
        writes = threading.Semaphore(0)
        writers = [Writer(server.url, f"writer-{i}", seed=turn * 10 + i, first=writes) for i in range(4)]
        for writer in writers:
            writer.start()
        for _ in range(random.Random(turn).randrange(10, 60)):
            assert writes.acquire(timeout=120)
        server.kill()
        for writer in writers:
            writer.join()
            expected |= writer.acknowledged
        server = Server(tmp_path)
        found = digests(s3_client(server.url))
        unanswered = [writer.pending for writer in writers]
        for key, digest in found.items():
            allowed = {expected.get(key), *(pending.get(key) for pending in unanswered)}
            assert digest in allowed, f"{key} is torn or of an older write after kill {turn}"
        assert expected.keys() <= found.keys()
        assert any(unanswered), "the kill came when nothing was being written"
        expected = found
    empty_bucket(s3_client(server.url))
    server.kill()
    assert [path for path in (tmp_path / "s3" / "blobs").rglob("*") if path.is_file()] == []


def empty_bucket(client: Any) -> None:
    """Delete every object and every upload: no file may be left then."""
    for upload in client.list_multipart_uploads(Bucket="bucket").get("Uploads", []):
        client.abort_multipart_upload(Bucket="bucket", Key=upload["Key"], UploadId=upload["UploadId"])
    for listed in client.list_objects_v2(Bucket="bucket").get("Contents", []):
        client.delete_object(Bucket="bucket", Key=listed["Key"])
