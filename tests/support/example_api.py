"""The server behind https://api.example.com, which the pages in docs/ call."""

import asyncio
import json
from dataclasses import dataclass

from support.http_server import HttpServer, Received, answer

PLACE = "https://api.example.com"

_CUSTOMERS = {"1": ("Ada", "GB"), "2": ("Grace", "US")}


@dataclass
class ExampleApi(HttpServer):
    """Customers, jobs that take their time, a report, and somebody to tell of it."""

    asked_for_job: int = 0

    async def answer(
        self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer as the pages say."""
        writer.write(self._of_the_pages(request))
        await writer.drain()
        return True

    def _of_the_pages(self, request: Received) -> bytes:
        if request.headers.get("Authorization", "Bearer tok-4711") != "Bearer tok-4711":
            return _json(401, {"error": "who are you?"})
        match request.method, request.path.split("/")[1:]:
            case "POST", ["orders"]:
                return _json(201, {"seen": json.loads(request.body)})
            case "GET", ["customers", number] if number in _CUSTOMERS:
                name, country = _CUSTOMERS[number]
                return _json(200, {"name": name, "country": country})
            case "GET", ["jobs", _]:
                self.asked_for_job += 1
                return _json(200, {"state": "done" if self.asked_for_job >= 3 else "working"})
            case "GET", ["report.pdf"]:
                return answer(200, b"%PDF-1.7 \xff\xfe", "application/pdf")
            case "POST", ["documents"]:
                found = b"%PDF-1.7 \xff\xfe" in request.body
                return _json(201 if found else 400, {"stored": found})
            case "POST", ["overloaded"]:
                return _json(503, {"error": "later"})
            case "GET", ["old"]:
                return answer(301, b"", "text/plain", "Location: /customers/1\r\n")
        return _json(404, {"error": "no such thing"})


def _json(status: int, value: object) -> bytes:
    return answer(status, json.dumps(value).encode(), "application/json")
