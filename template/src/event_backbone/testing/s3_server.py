"""An embedded S3 server, for demo and tests: moto over HTTP, so that every client and process can use it."""

import http.client
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from event_backbone.errors import ConfigurationError
from event_backbone.testing.embedded_server import EmbeddedServer
from event_backbone.testing.free_port import LOOPBACK, listen

ACCESS_KEY = "embedded"
SECRET = "embedded-secret"  # noqa: S105 - moto accepts any; it is not a secret
REGION = "us-east-1"

_SCRIPT = Path(__file__).with_name("s3_process.py")
_ANSWER_WITHIN_SECONDS = 30


class S3Server(EmbeddedServer):
    """moto's S3 on the loopback address, in memory, in its own process; use it as a context manager.

    ``start`` returns at once, because the server takes a second or two to load: start it first, do the rest, then
    ``wait_ready``. Requests sent earlier wait for their response. It accepts any credentials, checks no permission and
    no checksum, and serves some 200 requests a second: right for tests of behaviour, wrong for load.
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
        super().__init__("The S3 server", port)

    @property
    def endpoint(self) -> str:
        """The address, valid as soon as the server was started."""
        return f"http://{LOOPBACK}:{self.port}"

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
        process = self._prepared()
        if process.running:
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
            process.start(command, environment=_environment(), pass_fds=(descriptor,))

    def create_bucket(self, name: str) -> None:
        """Create an empty bucket; one that exists stays as it is."""
        self._ask("PUT", f"/{name}")

    def reset(self) -> None:
        """Remove every bucket and object."""
        self._ask("POST", "/moto-api/reset")

    def _answers(self) -> bool:
        try:
            self._ask("GET", "/")  # lists the buckets, so that loading S3 itself is over, too
        except OSError:
            return False
        return True

    def _ask(self, method: str, path: str) -> None:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=_ANSWER_WITHIN_SECONDS)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            response.read()
        finally:
            connection.close()
        if response.status >= http.HTTPStatus.BAD_REQUEST and response.status != http.HTTPStatus.CONFLICT:
            raise ConfigurationError(f"The S3 server answers {response.status} to {method} {path}.")


def _environment() -> dict[str, str]:
    # The owner's AWS settings, such as a profile that exists nowhere else, must not reach the server.
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
