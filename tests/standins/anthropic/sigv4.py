"""AWS signature version 4, checked by a second implementation than the one that signs.

Source: "Create a signed AWS API request" in the AWS documentation.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from standins.exchange.faults import FaultError

_HEADER = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request, "
    r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)


def check(
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    access_key: str,
    secret_key: str,
    region: str,
) -> None:
    """Raise the fault that Bedrock would answer to a request that is not signed, or not so."""
    match = _HEADER.fullmatch(headers.get("authorization", ""))
    if match is None:
        raise FaultError("Missing Authentication Token", 403)
    given_key, day, given_region, service, signed, signature = match.groups()
    if given_key != access_key or (given_region, service) != (region, "bedrock"):
        raise FaultError("The security token included in the request is invalid.", 403)
    names = signed.split(";")
    if not {"host", "x-amz-date"} <= set(names):
        raise FaultError("'Host' must be a 'SignedHeader' in the AWS Authorization.", 403)
    canonical = "\n".join(
        [
            "POST",
            quote(urlsplit(path).path, safe="/~"),
            "",
            *(f"{name}:{' '.join(headers[name].split())}" for name in names),
            "",
            signed,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{day}/{region}/bedrock/aws4_request"
    to_sign = "\n".join(
        [
            "AWS4-HMAC-SHA256",
            headers["x-amz-date"],
            scope,
            hashlib.sha256(canonical.encode()).hexdigest(),
        ]
    )
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    expected = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, signature):
        raise FaultError("The request signature we calculated does not match", 403)
