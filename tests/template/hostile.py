"""Projects rendered from answers that hypothesis makes up."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import copier
from hypothesis import HealthCheck, settings

PROPERTY = settings(
    max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], derandomize=True
)


@contextmanager
def rendered(source: Path, **answers: object) -> Generator[Path]:
    """A project that is removed afterwards. If an answer is refused, there must not be one."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        try:
            copier.run_copy(str(source), project, data=answers, defaults=True, unsafe=False, quiet=True)
        except ValueError:
            assert not project.exists()
            raise
        yield project
