"""What stands for encrypted thinking: the service alone can read it, and takes no other.

By what users of the API report: it is bound to its item's id and to the model's family, and what
does not verify is refused as ``invalid_encrypted_content``.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

_SECRET = b"the stand-in's"


def sealed(request: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    bound = json.dumps([request["model"], item["id"], item["summary"]], sort_keys=True)
    digest = hmac.new(_SECRET, bound.encode(), hashlib.sha256).digest()
    return "gAAA" + base64.b64encode(digest).decode()


def verifies(request: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    given = str(item.get("encrypted_content"))
    return hmac.compare_digest(sealed(request, item).encode(), given.encode())
