"""What `health` does: ask the web API or the worker of this machine over HTTP. It imports almost nothing.

A container runs it every few seconds, so it must not load the project: where the environment says whom to ask, as that
of the image does, ``answer_probe`` answers before anything else is imported.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple

API = "api"
WORKER = "worker"

_WITHIN = timedelta(seconds=4)
_VARIABLES = {API: ("SERVE_HOST", "SERVE_PORT"), WORKER: ("WORKER_HEALTH_HOST", "WORKER_HEALTH_PORT")}
_TITLES = {API: "web API", WORKER: "worker"}
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 - what listens everywhere listens there


class Health(NamedTuple):
    """Whether what was asked is healthy, and a sentence about it."""

    ok: bool
    text: str


class _Answer(NamedTuple):
    listens: bool
    health: Health


def answer_probe(arguments: Sequence[str], processes: Sequence[str], environ: Mapping[str, str] = os.environ) -> None:
    """Answer ``health``, ``health api``, ``health worker``, each with or without ``--ready``, and leave the process.

    ``processes`` are those that the project has. Returns if the arguments are others, or if a variable that says where
    a process listens is not set: then the command line is loaded, which reads the project's settings.
    """
    command, *rest = arguments or ("",)
    ready = "--ready" in rest
    chosen = [each for each in rest if each != "--ready"]
    if command != "health" or len(chosen) > 1 or not set(chosen) <= set(processes):
        return
    addresses: dict[str, tuple[str, int]] = {}
    for each in chosen or processes:
        host, port = (environ.get(name, "") for name in _VARIABLES[each])
        if not host or not port.isdecimal():
            return
        addresses[each] = host, int(port)
    leave(check_health(addresses, ready=ready))


def check_health(addresses: Mapping[str, tuple[str, int]], *, ready: bool, within: timedelta = _WITHIN) -> Health:
    """Ask each process that listens at its address, ``API`` or ``WORKER``, for its health; one has to listen.

    So one probe fits every container of an image. What listens and does not answer ``within`` this time is not healthy.
    """
    answers = [_ask(_TITLES[each], host, port, ready=ready, within=within) for each, (host, port) in addresses.items()]
    heard = [each.health for each in answers if each.listens] or [each.health for each in answers]
    return Health(all(each.ok for each in heard), " ".join(each.text for each in heard))


def leave(health: Health) -> None:
    """Write the sentence, and end the process with 0 if all is well, else with 1."""
    (sys.stdout if health.ok else sys.stderr).write(f"{health.text}\n")
    raise SystemExit(0 if health.ok else 1)


def _ask(title: str, host: str, port: int, *, ready: bool, within: timedelta) -> _Answer:
    path, state = ("/health/ready", "ready") if ready else ("/health/live", "alive")
    host = _LOOPBACK.get(host, host)
    subject = f"The {title} at {host}:{port}"
    connection = HTTPConnection(host, port, timeout=within.total_seconds())
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    except ConnectionRefusedError:
        return _Answer(listens=False, health=Health(ok=False, text=f"{subject} is not running, or listens elsewhere."))
    except TimeoutError:
        health = Health(ok=False, text=f"{subject} does not answer within {within.total_seconds():g} seconds.")
    except (OSError, HTTPException):
        health = Health(ok=False, text=f"{subject} does not answer over HTTP.")
    else:
        ok = response.status == 200 and _is_ours(body)  # noqa: PLR2004 - http.HTTPStatus is not worth its import
        health = Health(ok, f"{subject} is {state}." if ok else f"{subject} is not {state}: {_detail(body)}")
    finally:
        connection.close()
    return _Answer(listens=True, health=health)


def _is_ours(body: bytes) -> bool:
    """Return whether an answer is that of the health routes; another program may answer 200, too."""
    try:
        return bool(json.loads(body)["status"] == "ok")
    except (ValueError, TypeError, KeyError):
        return False


def _detail(body: bytes) -> str:
    """Return the sentence in a response; what is not ours has none."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, TypeError, KeyError):
        return "the answer is not that of this project."
