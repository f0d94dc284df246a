"""An S3 server of one's own, for demo and tests: moto over HTTP, so that every client and process can use it."""

import http.client
import os
import sys
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from event_backbone.errors import ConfigurationError
from event_backbone.testing.free_port import LOOPBACK, listen
from event_backbone.testing.process import OwnedProcess

ACCESS_KEY = "embedded"
SECRET = "embedded-secret"  # noqa: S105 - moto takes any; it is no secret
REGION = "us-east-1"

_SCRIPT = Path(__file__).with_name("s3_process.py")
_READY_WITHIN = timedelta(seconds=30)


class S3Server:
    """moto's S3 on the loopback address, in memory, in a process of its own; use it as a context manager.

    ``start`` returns at once, because the server takes a second or two to load: start it first, do the rest, then
    ``wait_ready``. Requests sent before wait for their answer. It takes any credentials, checks no permission and no
    checksum, and manages some 200 requests a second: right for tests of behaviour, wrong for load.
    It ends with its owner, also when that crashes or is killed.
    """

    def __init__(self, *, port: int | None = None) -> None:
        """Prepare a server on this port, or on a free one; nothing is started yet.

        Raises:
            ConfigurationError: moto is not installed.
        """
        if any(find_spec(module) is None for module in ("moto", "flask", "flask_cors")):
            raise ConfigurationError(
                "Install an S3 server for tests: the Python packages moto[s3], flask and flask-cors."
            )
        self._port = port
        self._process: OwnedProcess | None = None

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port on the loopback address; it stays the same over restarts."""
        if self._port is None:
            raise ConfigurationError("The S3 server was never started.")
        return self._port

    @property
    def endpoint(self) -> str:
        """The address, valid as soon as the server was started."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the server, for tests that stop and continue it."""
        return self._owned().pid

    def environment(self, bucket: str) -> dict[str, str]:
        """The variables that point an application at this server and bucket. The bucket is not created."""
        return {
            "S3_EVENT_SOURCE_ACCESS_KEY": ACCESS_KEY,
            "S3_EVENT_SOURCE_BUCKET": bucket,
            "S3_EVENT_SOURCE_ENDPOINT": self.endpoint,
            "S3_EVENT_SOURCE_REGION": REGION,
            "S3_EVENT_SOURCE_SECRET": SECRET,
        }

    def start(self) -> None:
        """Start the server and return at once. Does nothing while it runs; after ``kill`` it comes back empty.

        Raises:
            ConfigurationError: the port is taken.
        """
        self._process = self._process or OwnedProcess("The S3 server")
        if self._process.running:
            return
        try:
            listener = listen(self._port)
        except OSError as error:
            raise ConfigurationError(f"Choose another port for the S3 server: {self._port} is taken.") from error
        # The child alone keeps the socket, so that a killed server refuses connections instead of letting them wait.
        with listener:
            self._port = listener.getsockname()[1]
            descriptor = listener.fileno()
            command = [sys.executable, "-P", str(_SCRIPT), LOOPBACK, str(self._port), str(descriptor)]
            self._process.start(command, environment=_environment(), pass_fds=(descriptor,))

    def wait_ready(self, timeout: timedelta = _READY_WITHIN) -> None:
        """Wait until the server answers.

        Raises:
            ConfigurationError: it ended, or did not answer in time.
        """
        if not self._owned().wait_until(self._answers, timeout):
            raise ConfigurationError(f"The S3 server does not start: {self._owned().last_words()}")

    def create_bucket(self, name: str) -> None:
        """Create an empty bucket; one that exists stays as it is."""
        self._ask("PUT", f"/{name}")

    def reset(self) -> None:
        """Remove every bucket and object."""
        self._ask("POST", "/moto-api/reset")

    def kill(self) -> None:
        """End the server at once, as a crash would (SIGKILL); what it held is lost."""
        self._owned().kill()

    def stop(self) -> None:
        """End the server. May be called twice."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _owned(self) -> OwnedProcess:
        if self._process is None:
            raise ConfigurationError("The S3 server is not running; start it first.")
        return self._process

    def _answers(self) -> bool:
        try:
            self._ask("GET", "/")  # lists the buckets, so that loading S3 itself is over, too
        except OSError:
            return False
        return True

    def _ask(self, method: str, path: str) -> None:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=_READY_WITHIN.total_seconds())
        try:
            connection.request(method, path)
            response = connection.getresponse()
            response.read()
        finally:
            connection.close()
        if response.status >= http.HTTPStatus.BAD_REQUEST and response.status != http.HTTPStatus.CONFLICT:
            raise ConfigurationError(f"The S3 server answers {response.status} to {method} {path}.")


def _environment() -> dict[str, str]:
    # The owner's own AWS settings, such as a profile that exists nowhere else, are none of the server's business.
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
