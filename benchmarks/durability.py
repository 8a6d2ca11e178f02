"""Kill the runtime with SIGKILL while clients write, and have another process look for anything lost or torn.

A writer in a process of its own puts, overwrites, deletes and uploads in parts, four threads at once, and logs what it
is about to do and each answer. After every kill the runtime starts again on its folder, and a verifier, which knows the
log and boto3 alone, reads everything. ``make bench`` kills 20 times, which takes a minute or two, and writes
``benchmarks/results/durability.md``; ``make stress`` kills 3 times. It fails when an acknowledged write is lost, when
anything is torn, or when bytes are left in the end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from airflow_ll.local import boto_session
from airflow_ll.testing import LocalRuntime, start_runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).parent
BUCKET = "durability"
MIB = 1 << 20
THREADS = 4
KEYS = 25  # of each thread, so that most are overwritten again and again
KINDS = ("put", "put", "put", "multipart", "delete")


# -- the writer ----------------------------------------------------------------------------------------


class Writer(threading.Thread):
    """Changes its own keys until the server is gone."""

    def __init__(self, url: str, log: Path, name: str, seed: int) -> None:
        super().__init__(name=name)
        self._client = client(url)
        self._random = random.Random(seed)
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def run(self) -> None:
        """Log each change before it is asked for and after it was acknowledged."""
        try:
            while True:
                kind = self._random.choice(KINDS)
                size = self._random.choice([0, 10, 1000, 300_000, 3 * MIB]) + 5 * MIB * (kind == "multipart")
                data = self._random.randbytes(size)
                state = None if kind == "delete" else hashlib.sha256(data).hexdigest()
                key = f"{self.name}/{self._random.randrange(KEYS)}"
                change = {"kind": kind, "key": key, "state": state}
                self._say(change | {"done": False})
                self._change(kind, key, data)
                self._say(change | {"done": True})
        except (BotoCoreError, ClientError, OSError):
            os.close(self._log)

    def _say(self, entry: dict[str, Any]) -> None:
        os.write(self._log, (json.dumps(entry) + "\n").encode())  # one write: lines of threads do not mix

    def _change(self, kind: str, key: str, data: bytes) -> None:
        if kind == "put":
            self._client.put_object(Bucket=BUCKET, Key=key, Body=data)
        elif kind == "delete":
            self._client.delete_object(Bucket=BUCKET, Key=key)
        else:
            self._upload_in_parts(key, data)

    def _upload_in_parts(self, key: str, data: bytes) -> None:
        call: dict[str, Any] = {"Bucket": BUCKET, "Key": key}
        call["UploadId"] = self._client.create_multipart_upload(**call)["UploadId"]
        parts = []
        for number, part in enumerate([data[: 5 * MIB], data[5 * MIB :]], 1):
            etag = self._client.upload_part(**call, PartNumber=number, Body=part)["ETag"]
            parts.append({"PartNumber": number, "ETag": etag})
        self._client.complete_multipart_upload(**call, MultipartUpload={"Parts": parts})


def client(url: str) -> Any:
    """Return an S3 client that never tries again: an answer is an answer."""
    config = Config(retries={"max_attempts": 0}, read_timeout=120)
    return boto_session(url).client("s3", config=config)


def write(url: str, log: Path, seed: int) -> None:
    """Write with all threads until the server is gone."""
    writers = [Writer(url, log, f"writer-{number}", seed * THREADS + number) for number in range(THREADS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()


# -- the verifier --------------------------------------------------------------------------------------


def entries(log: Path) -> Iterator[dict[str, Any]]:
    """Yield what the log says."""
    for line in log.read_text().splitlines():
        yield json.loads(line)


def allowed_states(log: Path) -> dict[str, list[str | None]]:
    """Return for each key the state that was acknowledged last, then those that were asked for since."""
    states: dict[str, list[str | None]] = {}
    for entry in entries(log):
        if entry["done"]:
            states[entry["key"]] = [entry["state"]]
        else:
            states.setdefault(entry["key"], [None]).append(entry["state"])
    return states


def verify(url: str, log: Path) -> dict[str, Any]:
    """Compare all that S3 has with the log, and log what was found: it may not change any more.

    The state of a key is the SHA-256 of its bytes, None when it does not exist.
    """
    s3 = client(url)
    found, faults = {}, []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for listed in page.get("Contents", []):
            key = listed["Key"]
            head = s3.head_object(Bucket=BUCKET, Key=key)
            body = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            found[key] = hashlib.sha256(body).hexdigest()
            if (listed["Size"], listed["ETag"]) != (head["ContentLength"], head["ETag"]) or len(body) != listed["Size"]:
                faults.append(f"{key}: the list, the head and the bytes do not agree")
    states = allowed_states(log)
    unanswered: Counter[str] = Counter()
    for key in states.keys() | found.keys():
        state = found.get(key)
        if state not in states.get(key, ()):
            faults.append(f"{key}: neither the acknowledged state nor one asked for since")
        elif len(states[key]) > 1:
            unanswered["not there" if state == states[key][0] else "there"] += 1
    with log.open("a") as lines:
        lines.writelines(
            json.dumps({"kind": "seen", "key": key, "state": found.get(key), "done": True}) + "\n" for key in states
        )
    return {"faults": faults, "objects": len(found), "unanswered": unanswered}


# -- the run -------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What all kills showed."""

    kills: int = 0
    acknowledged: Counter[str] = field(default_factory=Counter)
    interrupted: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    objects: int = 0
    restarts: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def measure(folder: Path, kills: int) -> Outcome:
    """Kill the runtime while it is written to, start it again, verify; in the end empty it and look for leftovers."""
    outcome, log = Outcome(), folder / "log"
    log.touch()
    runtime = start_runtime(folder / "runtime")
    try:
        runtime.client("s3").create_bucket(Bucket=BUCKET)
        for number in range(kills):
            kill_while_written_to(runtime, log, number)
            started = time.perf_counter()
            runtime = start_runtime(folder / "runtime")
            outcome.restarts.append(time.perf_counter() - started)
            count(outcome, log, child("--verify", runtime.url, str(log)))
        empty(runtime.client("s3"))
    finally:
        runtime.stop()
    left = [path for path in (folder / "runtime/s3/blobs").rglob("*") if path.is_file()]
    if left:
        outcome.faults.append(f"{len(left)} files are left of an S3 that was emptied")
    return outcome


def kill_while_written_to(runtime: LocalRuntime, log: Path, number: int) -> None:
    """Kill the runtime after some acknowledged writes, at a moment with others under way."""
    before = sum(entry["done"] for entry in entries(log))
    wanted = before + random.Random(number).randrange(10, 60)
    command = [sys.executable, "-m", "benchmarks.durability", "--write", runtime.url, str(log), "--seed", str(number)]
    writer = subprocess.Popen(command)
    while sum(entry["done"] for entry in entries(log)) < wanted:
        if writer.poll() is not None:
            raise RuntimeError("the writer ended though the runtime was not killed")
        time.sleep(0.01)
    runtime.process.kill()
    runtime.stop()
    writer.wait(timeout=300)


def child(*arguments: str) -> dict[str, Any]:
    """Run the verifier and return what it says."""
    command = [sys.executable, "-m", "benchmarks.durability", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def count(outcome: Outcome, log: Path, verdict: dict[str, Any]) -> None:
    """Add what one kill showed."""
    outcome.kills += 1
    outcome.acknowledged = Counter(entry["kind"] for entry in entries(log) if entry["done"] and entry["kind"] != "seen")
    asked = Counter(entry["kind"] for entry in entries(log) if not entry["done"])
    outcome.interrupted = asked - outcome.acknowledged
    outcome.unanswered.update(verdict["unanswered"])
    outcome.objects = verdict["objects"]
    outcome.faults += [f"kill {outcome.kills}: {fault}" for fault in verdict["faults"]]


def empty(s3: Any) -> None:
    """Delete all objects and abort all uploads."""
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=BUCKET):
        for upload in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for listed in page.get("Contents", []):
            s3.delete_object(Bucket=BUCKET, Key=listed["Key"])


def page(outcome: Outcome) -> str:
    """Return the result page."""
    rows = "\n".join(
        f"| {kind} | {outcome.acknowledged[kind]:,} | {outcome.interrupted[kind]:,} |" for kind in dict.fromkeys(KINDS)
    )
    seen = outcome.unanswered
    return f"""# Killing the runtime while it is written to

Written by `make bench`. `airflow-ll local` was ended by SIGKILL {outcome.kills} times, each time while {THREADS}
threads of another process put, overwrote, deleted and uploaded in parts through boto3. After each kill it was started
again on its folder, and a third process compared all that S3 has (lists, heads, bytes) with the log of the writer.

| | acknowledged | interrupted by a kill |
|---|---:|---:|
{rows}

- Acknowledged writes that were lost, and objects that were torn: **{len(outcome.faults)}**.
- Of the interrupted changes, {seen["there"]} had taken effect as a whole and {seen["not there"]} not at all.
- The longest start after a kill took {max(outcome.restarts, default=0):.1f} s, the import of Python's modules included
  ({os.cpu_count()} cores of {platform.machine()}).
- In the end all objects were deleted and all uploads aborted: no file was left among the blobs.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Kill, verify, write the page, and fail when anything was lost or torn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--output", type=Path, default=HERE / "results/durability.md", help="the page; - prints it")
    parser.add_argument("--write", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--verify", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.write:
        write(options.write[0], Path(options.write[1]), options.seed)
        return
    if options.verify:
        print(json.dumps(verify(options.verify[0], Path(options.verify[1]))))
        return
    with tempfile.TemporaryDirectory(prefix="airflow-ll-durability-") as folder:
        outcome = measure(Path(folder), options.kills)
    if outcome.faults:
        sys.exit("durability: " + "; ".join(outcome.faults))
    text = page(outcome)
    print(text) if str(options.output) == "-" else options.output.write_text(text)


if __name__ == "__main__":
    main()
