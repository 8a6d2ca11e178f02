"""AWS Signature Version 4, as a server checks it: in headers, in presigned URLs, and chunk by chunk.

Written from AWS's description of the algorithm ("Create a signed AWS API request", IAM User Guide; "Authenticating
Requests (AWS Signature Version 4)", S3 API Reference), whose worked examples are in the tests.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["ChunkChain", "Claim", "Problem", "SignatureError", "SignedRequest", "read_claim", "verify"]

ALGORITHM = "AWS4-HMAC-SHA256"
_TIME_FORMAT = "%Y%m%dT%H%M%SZ"
_SKEW = dt.timedelta(minutes=15)
_LONGEST = 7 * 24 * 3600
_UNRESERVED = "-_.~"
_EMPTY = hashlib.sha256(b"").hexdigest()
_CREDENTIAL = re.compile(r"([^/,\s]+)/(\d{8})/([^/,\s]+)/([^/,\s]+)/aws4_request")
_HEADER = re.compile(
    rf"{ALGORITHM}\s+Credential=([^,\s]+)\s*,\s*SignedHeaders=([^,\s]+)\s*,\s*Signature=([0-9a-f]{{64}})\s*"
)


class Problem(Enum):
    """Why a request is not let in."""

    MISSING = "missing"
    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown key"
    SKEWED = "skewed"
    EXPIRED = "expired"
    UNSIGNED = "headers that are not signed"
    MISMATCH = "mismatch"


class SignatureError(Exception):
    """The signature of a request does not prove who sent it."""

    def __init__(self, problem: Problem, detail: str = "") -> None:
        self.problem, self.detail = problem, detail
        super().__init__(f"{problem.value}: {detail}")


@dataclass(frozen=True)
class SignedRequest:
    """What a signature is about; header names are lower case and may come more than once."""

    method: str
    raw_path: bytes
    query: bytes
    headers: Sequence[tuple[str, str]]

    def header(self, name: str) -> str | None:
        """Return the values of a header as one, ``None`` when it is absent."""
        values = [" ".join(value.split()) for key, value in self.headers if key == name]
        return ",".join(values) if values else None

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """The parameters of the query, each encoded as a signature wants it."""
        pairs = (pair.partition(b"=")[::2] for pair in self.query.split(b"&") if pair)
        return [(_encode(unquote_to_bytes(key)), _encode(unquote_to_bytes(value))) for key, value in pairs]


class Credential(NamedTuple):
    """The key of a signature, and the scope it is for."""

    key_id: str
    day: str
    region: str
    service: str

    @classmethod
    def parse(cls, text: str) -> Credential | None:
        """Return the credential in ``text``, if it is one."""
        match = _CREDENTIAL.fullmatch(text)
        return cls(match[1], match[2], match[3], match[4]) if match else None

    @property
    def scope(self) -> str:
        """The scope as it is signed."""
        return f"{self.day}/{self.region}/{self.service}/aws4_request"

    def signing_key(self, secret: str) -> bytes:
        """Return the key that signs in this scope."""
        key = f"AWS4{secret}".encode()
        for part in (self.day, self.region, self.service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return key


@dataclass(frozen=True)
class Claim:
    """A signature, with what it says of itself; ``expires`` (seconds) only in a presigned URL."""

    credential: Credential
    headers: tuple[str, ...]
    signature: str
    time: str
    expires: int | None = None


def read_claim(request: SignedRequest) -> Claim:
    """Return the claim of a request.

    :raises SignatureError: there is none, or it is not one of Signature Version 4.
    """
    parameters = dict(request.parameters)
    header = request.header("authorization")
    if header is None:
        if "X-Amz-Algorithm" not in parameters:
            raise SignatureError(Problem.MISSING)
        return _presigned(parameters)
    match = _HEADER.fullmatch(header)
    credential = Credential.parse(match[1]) if match else None
    time = request.header("x-amz-date") or ""
    if match is None or credential is None or not _instant(time):
        raise SignatureError(
            Problem.MALFORMED, "The Authorization or X-Amz-Date header is not one of AWS4-HMAC-SHA256."
        )
    return _checked(Claim(credential, tuple(match[2].split(";")), match[3], time))


def _presigned(parameters: Mapping[str, str]) -> Claim:
    values = {name: unquote_to_bytes(value).decode("latin-1") for name, value in parameters.items()}
    credential = Credential.parse(values.get("X-Amz-Credential", ""))
    expires, signature, time = (values.get(f"X-Amz-{name}", "") for name in ("Expires", "Signature", "Date"))
    if (
        values["X-Amz-Algorithm"] != ALGORITHM
        or credential is None
        or not re.fullmatch(r"\d{1,6}", expires)
        or not re.fullmatch("[0-9a-f]{64}", signature)
        or not _instant(time)
        or int(expires) > _LONGEST
    ):
        raise SignatureError(Problem.MALFORMED, "The X-Amz-* parameters are not those of AWS4-HMAC-SHA256.")
    headers = tuple(values.get("X-Amz-SignedHeaders", "").split(";"))
    return _checked(Claim(credential, headers, signature, time, int(expires)))


def _checked(claim: Claim) -> Claim:
    if "host" not in claim.headers:
        raise SignatureError(Problem.MALFORMED, "The Host header must be a signed header.")
    if claim.credential.day != claim.time[:8]:
        raise SignatureError(Problem.MALFORMED, "The date in the Credential is not that of the request.")
    return claim


def _instant(text: str) -> dt.datetime | None:
    try:
        return dt.datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=dt.UTC)
    except ValueError:
        return None


def verify(
    request: SignedRequest, claim: Claim, secret: Callable[[str], str | None], payload_hash: str, now: dt.datetime
) -> bytes:
    """Check a claim, and return its signing key.

    :param payload_hash: of the body, or what S3 takes in its place.
    :raises SignatureError: it is too old, its key is unknown, or the signature is another.
    """
    known = secret(claim.credential.key_id)
    if known is None:
        raise SignatureError(Problem.UNKNOWN_KEY)
    signed = _instant(claim.time)
    assert signed is not None  # checked when it was read
    if signed - now > _SKEW or (claim.expires is None and now - signed > _SKEW):
        raise SignatureError(Problem.SKEWED, claim.time)
    if claim.expires is not None and now > signed + dt.timedelta(seconds=claim.expires):
        raise SignatureError(Problem.EXPIRED)
    unsigned = [name for name, _ in request.headers if name.startswith("x-amz-") and name not in claim.headers]
    if unsigned and claim.credential.service == "s3":
        raise SignatureError(Problem.UNSIGNED, unsigned[0])
    key = claim.credential.signing_key(known)
    canonical = _canonical(request, claim, payload_hash)
    text = "\n".join((ALGORITHM, claim.time, claim.credential.scope, hashlib.sha256(canonical.encode()).hexdigest()))
    if not hmac.compare_digest(hmac.new(key, text.encode(), "sha256").hexdigest(), claim.signature):
        raise SignatureError(Problem.MISMATCH)
    return key


def _canonical(request: SignedRequest, claim: Claim, payload_hash: str) -> str:
    path = request.raw_path or b"/"
    if claim.credential.service == "s3":  # the others encode what was sent once more
        path = unquote_to_bytes(path)
    pairs = sorted(pair for pair in request.parameters if pair[0] != "X-Amz-Signature" or claim.expires is None)
    headers = [f"{name}:{request.header(name) or ''}\n" for name in claim.headers]
    return "\n".join(
        (
            request.method,
            quote(path, safe="/~"),
            "&".join(f"{key}={value}" for key, value in pairs),
            "".join(headers),
            ";".join(claim.headers),
            payload_hash,
        )
    )


def _encode(raw: bytes) -> str:
    return quote(raw, safe=_UNRESERVED)


class ChunkChain:
    """The signatures of an aws-chunked body: each signs its chunk and the signature before it."""

    def __init__(self, claim: Claim, key: bytes, *, trailer: bool) -> None:
        self._claim, self._key, self.trailer = claim, key, trailer
        self._previous = claim.signature
        self._hash = hashlib.sha256()

    def update(self, data: bytes | memoryview) -> None:
        """Take bytes of the current chunk."""
        self._hash.update(data)

    def chunk_ends(self, signature: str) -> bool:
        """Return whether the chunk that ends here has this signature."""
        digest, self._hash = self._hash.hexdigest(), hashlib.sha256()
        return self._follows("PAYLOAD", signature, _EMPTY, digest)

    def trailer_ends(self, trailers: Iterable[tuple[str, str]], signature: str) -> bool:
        """Return whether the trailing headers have this signature."""
        text = "".join(f"{name}:{value}\n" for name, value in trailers)
        return self._follows("TRAILER", signature, hashlib.sha256(text.encode("latin-1")).hexdigest())

    def _follows(self, kind: str, signature: str, *digests: str) -> bool:
        claim = self._claim
        text = "\n".join((f"{ALGORITHM}-{kind}", claim.time, claim.credential.scope, self._previous, *digests))
        self._previous = hmac.new(self._key, text.encode(), "sha256").hexdigest()
        return hmac.compare_digest(self._previous, signature)
