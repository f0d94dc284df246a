"""What the owner of a project ordinarily writes into it: the same edits, whatever it was rendered from."""

from pathlib import Path

from tests.template.updating import append, edit

SETTINGS = "    # Your own settings go below this line.\n"
SERVICES = "    # Your own services go below this line.\n"
DEPENDENCIES = "    # Yours go below this line; `uv add` puts them here too.\n"
AUTHORIZE = '''async def authorize() -> None:
    """Let everyone in: there is no authentication. Replace this with your own FastAPI dependency."""
'''
OUR_AUTHORIZE = '''async def authorize(x_caller: Annotated[str, Header()] = "ours") -> None:
    """Let in who knows the word."""
    if x_caller != "ours":
        raise HTTPException(401)
'''
OUR_EVENT = '''def delivered(self, at: datetime) -> None:
        """The parcel is there.

        It was signed for.
        """'''
THANKS = "order_placed(ctx: Context[Services], email: str, time: datetime) -> None:\n"
OUR_THANKS = '''order_placed(ctx: Context[Services], email: str, parcel: Parcel) -> None:
    """Say thanks."""
    _log.info("%s, %s", ctx.services.greeting, email)
'''
DELIVERED = "delivered(ctx: Context[Services], at: datetime) -> None:\n"
OUR_HANDLERS = '''

@consumer.on(Shop.returned)
async def returned(ctx: Context[Services], reason: str) -> None:
    """Refund."""
    _log.info("%s", reason)


@consumer.fallback
async def rest(ctx: Context[Services], event: StoredEvent) -> None:
    """Whatever else there is."""
'''
OUR_MODEL = '''

class Parcel(BaseModel):
    """What is sent."""

    size: int
'''


def make_ordinary_edits(project: Path, *, as_in: Path | None = None) -> None:
    """Edit contract, handlers, settings, composition root, API, pyproject.toml, README and more.

    The project has the package ``shop`` and the events OrderPlaced, Packing and Delivered, of which the first and the
    last are edited. ``as_in`` names a project that lacks some files: its owner could not edit those.
    """
    source = project / "src" / "shop"

    def known(name: str) -> bool:
        return all((each / "src" / "shop" / name).exists() for each in (project, as_in or project))

    _edit_contract(source / "contract.py")
    edit(source / "settings.py", (SETTINGS, f'{SETTINGS}    greeting: str = Field(default="Hello")\n'))
    if known("handlers.py"):
        _edit_handlers(source)
    if known("api.py"):
        _edit_api(source / "api.py")
    edit(
        project / "pyproject.toml",
        ('version = "0.1.0"\n', 'version = "3.2.1"\n'),
        (DEPENDENCIES, f'{DEPENDENCIES}    "attrs>=23",\n'),
    )
    append(project / "pyproject.toml", "\n[tool.ours]\nanswer = 42\n")
    edit(project / "README.md", ("# Shop\n", "# Shop\n\nIt sells parcels.\n"))
    append(project / "README.md", "\n## Who to call\n\nAda.\n")
    append(project / ".env.example", "GREETING=Hello\n")
    append(project / ".gitignore", "ours/\n")
    (source / "prices.py").write_text('"""Prices, a module of our own."""\n', encoding="utf-8")
    (project / "tests" / "test_prices.py").write_text('"""Tests of our own."""\n', encoding="utf-8")


def _edit_contract(contract: Path) -> None:
    """A model, another argument and more words in the first event, and an own body in the last one."""
    edit(
        contract,
        ("from event_backbone import Contract, event\n", _with_model("from event_backbone import Contract, event\n")),
        ("def order_placed(self, email: str, time: datetime)", "def order_placed(self, email: str, parcel: Parcel)"),
        ("def delivered(self, at: datetime) -> None: ...", OUR_EVENT),
    )
    append(contract, '\n    @event\n    def returned(self, reason: str) -> None:\n        """It came back."""\n')


def _with_model(line: str) -> str:
    return f"{line}from pydantic import BaseModel\n{OUR_MODEL}"


def _edit_handlers(source: Path) -> None:
    """An import, a service with what makes it, the first and the last handler, and a handler below the last line."""
    edit(
        source / "handlers.py",
        (
            "from event_backbone import Consumer, Context\n",
            "from event_backbone import Consumer, Context, StoredEvent\n",
        ),
        ("import Shop\n", "import Parcel, Shop\n"),
        (THANKS, OUR_THANKS),
        (DELIVERED, f'{DELIVERED}    """Ask how it was."""\n    _log.info("How was it?")\n'),
    )
    append(source / "handlers.py", OUR_HANDLERS)
    edit(
        source / "bootstrap.py",
        (f"\n{SERVICES}", f"\n{SERVICES}    greeting: str\n"),
        (f"    {SERVICES}", f'    {SERVICES}        greeting="Hello",\n'),
    )
    edit(source / "worker.py", ("uri=URI, group=GROUP)", "uri=URI, group=GROUP, concurrency=4)"))


def _edit_api(api: Path) -> None:
    """Authentication, and a route of the owner's."""
    edit(
        api,
        (
            "from contextlib import asynccontextmanager\n",
            "from contextlib import asynccontextmanager\nfrom typing import Annotated\n",
        ),
        ("from fastapi import FastAPI, Request\n", "from fastapi import FastAPI, Header, HTTPException, Request\n"),
        (AUTHORIZE, OUR_AUTHORIZE),
        (
            "    install_error_handlers(app)\n",
            '    app.add_api_route("/hello", authorize)\n    install_error_handlers(app)\n',
        ),
    )
