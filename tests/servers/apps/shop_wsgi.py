"""For gunicorn and uWSGI."""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

import shop_sites


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    time.sleep(0.002)  # other workers, threads and green threads get their share of the requests
    body = json.dumps(shop_sites.answer()).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
