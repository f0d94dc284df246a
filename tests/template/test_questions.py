"""What a question accepts, and the one sentence with which it refuses: its first 40 characters say the fix."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml

from tests.template.rendering import ROOT

COMPUTED = "{{ dict(has=has, names=names, events=event_list, package=package_name, contract=contract_name, uri=uri, bucket=s3_bucket, holder=copyright_holder, retention_days=retention_days) | to_json }}"  # noqa: E501
Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The questions alone, with one file that shows what was computed from the answers."""
    folder = tmp_path_factory.mktemp("questions")
    shutil.copy(ROOT / "copier.yml", folder)
    shutil.copytree(ROOT / "includes", folder / "includes")
    (folder / "template").mkdir()
    (folder / "template" / "computed.json.jinja").write_text(COMPUTED, encoding="utf-8")
    return folder


@pytest.fixture
def ask(questions: Path, tmp_path: Path) -> Ask:
    """Answers questions and returns what was computed."""

    def answer(**answers: object) -> dict[str, Any]:
        copier.run_copy(
            str(questions), tmp_path / "out", data=answers, defaults=True, overwrite=True, unsafe=False, quiet=True
        )
        computed: dict[str, Any] = json.loads((tmp_path / "out" / "computed.json").read_text(encoding="utf-8"))
        return computed

    return answer


REFUSED = [
    ("events", "", "Name at least one event, such as OrderPl"),
    ("events", " ,\n, ", "Name at least one event, such as OrderPl"),
    ("events", "order_placed", 'Write events like OrderPlaced: "order_pl'),
    ("events", "orderPlaced", 'Write events like OrderPlaced: "orderPla'),
    ("events", "Order_Placed", 'Write events like OrderPlaced: "Order_Pl'),
    ("events", "2Fast", 'Write events like OrderPlaced: "2Fast" is'),
    ("events", "OrderPlaced Packing", 'Put a comma between events: "OrderPlaced'),
    ("events", "OrderPlaced; Packing", 'Put a comma between events: "OrderPlaced'),
    ("events", "Order-Placed", 'Put a comma between events: "Order-Place'),
    ("events", "A(b: int) c", 'Put a comma between events: "A(b: int) c'),
    ("events", "OrderPlaced # the first", 'Put a comma between events: "OrderPlaced'),
    ("events", "# OrderPlaced", 'Put a comma between events: "# OrderPlac'),
    ("events", "OrderPlaced()()", 'Put a comma between events: "OrderPlaced'),
    ("events", "A(b: int # why\n)", 'Change type "int # why": use str, int, f'),
    ("events", "A(b: {{ x }})", 'Change type "{{ x }}": use str, int, flo'),
    ("events", "- OrderPlaced\n- Packing", 'Put a comma between events: "- OrderPlac'),
    ("events", "class OrderPlaced: pass", 'Put a comma between events: "class Order'),
    ("events", "OrderPlaced\v", 'Use plain ASCII letters: "\\u000b" is not'),
    ("events", "🐦", 'Use plain ASCII letters: "🐦" is not allo'),
    ("events", "OrderPläced", 'Use plain ASCII letters: "ä" is not allo'),
    ("events", "A, A", "Remove one of the two events named A."),
    ("events", "HTTPSent, HttpSent", "Rename HttpSent or HTTPSent: both become"),
    ("events", "Class", "Rename event Class: Python or the runtim"),
    ("events", "Date", "Rename event Date: Python or the runtime"),
    ("events", "Event", "Rename event Event: Python or the runtim"),
    ("events", "Con", "Rename event Con: Windows reserves this "),
    ("events", "Lpt1", "Rename event Lpt1: Windows reserves this"),
    ("events", "A" * 41, "Keep event names to 40 characters: AAAAA"),
    ("events", ", ".join(f"E{number}" for number in range(51)), "Use at most 50 events: you have 51."),
    ("events", "A(b: int", "Give each event one pair of ( ): a brack"),
    ("events", "A b: int)", "Give each event one pair of ( ): a brack"),
    ("events", "A(b: tuple(int))", "Give each event one pair of ( ): a brack"),
    ("events", "A(b: list[int)", "Close each [ ] and do not nest them, as "),
    ("events", "A(b: list[list[int]])", "Close each [ ] and do not nest them, as "),
    ("events", "A(b: int))", "Give each event one pair of ( ): a brack"),
    ("events", "A(b: int]", "Give each event one pair of ( ): a brack"),
    ("events", "A(b: int])", "Close each [ ] and do not nest them, as "),
    ("events", "Import", "Rename event Import: Python or the runti"),
    ("events", "Mro", "Rename event Mro: Python or the runtime "),
    ("events", "Nul, A", "Rename event Nul: Windows reserves this "),
    ("events", "A, B(c: int), A()", "Remove one of the two events named A."),
    ("events", "A(b)", "Give each argument a type, as in id: str"),
    ("events", "A(b:)", "Give each argument a type, as in id: str"),
    ("events", "A(b: Money)", 'Change type "Money": use str, int, float'),
    ("events", "A(b: int = 3)", 'Leave out "=": arguments have no default'),
    ("events", "A(b=3)", 'Leave out "=": arguments have no default'),
    ("events", "A(b: int, c: str='x', d: int)", 'Leave out "=": arguments have no default'),
    ("events", "A = B", 'Put a comma between events: "A = B" does'),
    ("events", "A(b: None)", 'Change type "None": use str, int, float,'),
    ("events", "A(b: dict[int, str])", 'Change type "dict[int, str]": use str, i'),
    ("events", "A(b: list)", 'Change type "list": use str, int, float,'),
    ("events", "A(b: int | str)", 'Change type "int | str": use str, int, f'),
    ("events", "A(b: int, b: str)", "Rename one argument: A has b twice."),
    ("events", "A(class: int)", "Rename argument class: Python or the runt"),
    ("events", "A(self: int)", "Rename argument self: Python or the runt"),
    ("events", "A(ctx: int)", "Rename argument ctx: Python or the runti"),
    ("events", "A(context: int)", "Rename argument context: Python or the r"),
    ("events", "A(_b: int)", 'Write arguments like product_id: "_b" of'),
    ("events", "A(productId: int)", 'Write arguments like product_id: "product'),
    ("events", "A(" + "b" * 41 + ": int)", "Keep argument names to 40 characters: bb"),
    ("events", "A(None: int)", 'Write arguments like product_id: "None" '),
    ("events", "A(lambda: int)", "Rename argument lambda: Python or the ru"),
    ("project_name", "", "Give the project a name."),
    ("project_name", " x", "Remove the spaces at either end."),
    ("project_name", "a\nb", 'Remove the invisible character "\\n".'),
    ("project_name", "a\u202eb", 'Remove the invisible character "\\u202e".'),
    ("project_name", "x" * 51, "Keep it to 50 characters: it has 51."),
    ("description", "a\x7fb", 'Remove the invisible character "\\u007f".'),
    ("description", "x" * 301, "Keep it to 300 characters: it has 301."),
    ("author_name", "a\tb", 'Remove the invisible character "\\t".'),
    ("author_email", "nobody", "Write it like ada@example.com, or leave "),
    ("author_email", "a..b@example.com", "Write it like ada@example.com, or leave "),
    ("copyright_holder", "x" * 101, "Keep it to 100 characters: it has 101."),
    ("package_name", "shop\n", "Write it like my_project: lowercase lett"),
    ("package_name", "shop_", "Use single _ between words, none at the "),
    ("package_name", "", "Write it like my_project: lowercase lett"),
    ("package_name", "con", "Choose another name: con is taken by Pyt"),
    ("package_name", "Shipment", "Write it like my_project: lowercase lett"),
    ("package_name", "my-project", "Write it like my_project: lowercase lett"),
    ("package_name", "class", "Choose another name: class is taken by P"),
    ("package_name", "redis", "Choose another name: redis is taken by P"),
    ("package_name", "event_backbone", "Choose another name: event_backbone is t"),
    ("package_name", "json", "Choose another name: json is taken by Py"),
    ("package_name", "tests", "Choose another name: tests is taken by P"),
    ("package_name", "a__b", "Use single _ between words, none at the "),
    ("package_name", "a" * 41, "Keep it to 40 characters: it has 41."),
    ("contract_name", "shipments", "Write it like ShipmentTracking: PascalCa"),
    ("contract_name", "Shop\n", "Write it like ShipmentTracking: PascalCa"),
    ("contract_name", "URI", "Choose another name: URI is taken by Pyt"),
    ("contract_name", "Settings", "Choose another name: Settings is taken b"),
    ("contract_name", "Contract", "Choose another name: Contract is taken b"),
    ("contract_name", "None", "Choose another name: None is taken by Py"),
    ("uri", "Shipment", "Use only a-z, 0-9 and . _ / : -, startin"),
    ("uri", "shop\n", "Use only a-z, 0-9 and . _ / : -, startin"),
    ("uri", "", "Use only a-z, 0-9 and . _ / : -, startin"),
    *(("uri", uri, "Remove empty segments, . and .. from the") for uri in ("a/../b", "a//b", "a/", "a/./b")),
    ("uri", "a" * 101, "Keep it to 100 characters: it has 101."),
    ("consumer_group", "a b", "Use only letters, digits and . _ : -, st"),
    ("consumer_group", "a\n", "Use only letters, digits and . _ : -, st"),
    ("consumer_group", "a" * 65, "Keep it to 64 characters: it has 65."),
    *(("retention_days", days, "Give a number of days from 0 to 3650; 0 ") for days in (-1, 3651)),
]

REFUSED_FOR_S3 = [
    ("s3_bucket", "ab", "Use 3 to 63 characters: it has 2."),
    ("s3_bucket", "My-Bucket", "Use only a-z, 0-9, . and -, with a lette"),
    ("s3_bucket", "bucket\n", "Use only a-z, 0-9, . and -, with a lette"),
    ("s3_bucket", "bucket--x-s3", "Choose another name: S3 reserves this pr"),
    ("s3_bucket", "a..b", "Put a letter or digit on both sides of e"),
    ("s3_bucket", "192.168.1.1", "Choose a name that is not an IP address."),
    ("s3_bucket", "xn--bucket", "Choose another name: S3 reserves this pr"),
    ("aws_profile", "my profile", "Name a profile, such as default, without"),
    ("aws_profile", "", "Name a profile, such as default, without"),
    ("aws_profile", "default\n", "Name a profile, such as default, without"),
    ("aws_region", "eu-central-1\n", "Write a region like eu-central-1, or lea"),
    ("aws_region", "Frankfurt", "Write a region like eu-central-1, or lea"),
]


@pytest.mark.parametrize(("question", "answer", "sentence"), [*REFUSED, *REFUSED_FOR_S3])
def test_a_bad_answer_is_refused_with_its_fix_in_sight(
    ask: Ask, tmp_path: Path, question: str, answer: object, sentence: str
) -> None:
    """A terminal of 80 columns shows about 40 characters of the sentence: they say what to change. No file is made."""
    with pytest.raises(ValueError, match=question) as refused:
        ask(storage="s3", **{question: answer})
    said = str(refused.value).partition(f"'{question}': ")[2]
    assert said.startswith(sentence)
    assert re.fullmatch(r"[^\n]+\.", said), "one line, a sentence"
    assert not list(tmp_path.iterdir())


def test_a_key_pair_needs_a_region(ask: Ask) -> None:
    """A profile or the default chain knows its region, a key pair does not."""
    with pytest.raises(ValueError, match=r"Give a region such as eu-central-1: a key"):
        ask(storage="s3", s3_credentials="environment", aws_region="")
    with pytest.raises(ValueError, match=r"Write a region like eu-central-1\.$"):
        ask(storage="s3", s3_credentials="environment", aws_region="Frankfurt")


def test_the_question_shows_what_events_can_be_written(ask: Ask) -> None:
    """In lines of 80 columns: the same types that a refusal names, each of them accepted in every shape."""
    text: str = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))["events"]["help"]
    assert max(len(line) for line in text.splitlines()) <= 77, "a terminal puts a symbol before the first line"
    types = " ".join(text.partition("Types: ")[2].partition(";")[0].split()).split(", ")
    assert len(types) == 9
    with pytest.raises(ValueError, match=re.escape(", ".join([*types, "list[...]"])[:60])):
        ask(events="A(b: Money)")
    shapes = ("{}", "list[{}]", "dict[str, {}]", "{} | None")
    written = [shape.format(each) for each in types for shape in shapes]
    arguments = ", ".join(f"a{number}: {each}" for number, each in enumerate(written))
    (event,) = ask(events=f"A({arguments})")["events"]
    assert [each["type"] for each in event["arguments"]] == written


@pytest.mark.parametrize(
    "text",
    [
        "A(b: dict[str,int]|None), B",
        "A(b: dict[str, int] | None)\nB",
        "\n A ( b : dict[ str , int ] | None , ) ,\r\n B ,",
        "A(\n  b: dict[str, int] | None,\n)\n\nB\n",
    ],
)
def test_events_are_written_as_one_likes(ask: Ask, text: str) -> None:
    """Commas or lines between events, spaces, line breaks within brackets, commas at the end: the result is equal."""
    events = ask(events=text)["events"]
    assert [each["text"] for each in events] == ["A(b: dict[str, int] | None)", "B"]
    assert events[0]["arguments"] == [{"name": "b", "type": "dict[str, int] | None"}]


def test_a_name_alone_has_the_usual_arguments(ask: Ask) -> None:
    """``Shipped`` means ``Shipped(id: str, time: datetime)``, and ``Shipped()`` no arguments."""
    alone, none = ask(events="Shipped, Sailed()")["events"]
    assert alone["arguments"] == [{"name": "id", "type": "str"}, {"name": "time", "type": "datetime"}]
    assert none["arguments"] == []


@pytest.mark.parametrize(
    ("event", "snake"),
    [
        ("OrderPlaced", "order_placed"),
        ("HTTPRequestSent", "http_request_sent"),
        ("S3ObjectStored", "s3_object_stored"),
        ("Event2", "event2"),
        ("A", "a"),
        ("SentHTTP", "sent_http"),
    ],
)
def test_an_event_becomes_a_method(ask: Ask, event: str, snake: str) -> None:
    """Acronyms stay together."""
    assert [each["snake"] for each in ask(events=event)["events"]] == [snake]


def test_words_that_are_only_sometimes_keywords_are_names(ask: Ask) -> None:
    """Python's soft keywords, and names of builtins that no contract needs."""
    events = ask(events="Match(case: int, type: str), Type(match: bool), Case(print: str, id: int), Open, Print")[
        "events"
    ]
    assert [each["snake"] for each in events] == ["match", "type", "case", "open", "print"]


def test_fifty_events_are_allowed(ask: Ask) -> None:
    """The most there can be."""
    assert len(ask(events=", ".join(f"E{number}" for number in range(50)))["events"]) == 50


@pytest.mark.parametrize(
    ("project", "package", "contract", "uri", "bucket"),
    [
        ("Shipment Tracking", "shipment_tracking", "ShipmentTracking", "shipment-tracking", "shipment-tracking"),
        ("日本", "events_app", "Events", "events", "events"),
        ("3 D", "app_3_d", "Events3D", "3-d", "3-d"),
        ("Contract", "contract", "ContractEvents", "contract", "contract"),
        ("Redis", "redis_app", "Redis", "redis", "redis"),
        ("Class", "class_app", "Class", "class", "class"),
        ("x", "x", "X", "x", "events-x"),
        ("Sthree a", "sthree_a", "SthreeA", "sthree-a", "events-sthree-a"),
        ('Bob\'s "Best" {{ shop }} #1', "bob_s_best_shop_1", "BobSBestShop1", "bob-s-best-shop-1", "bob-s-best-shop-1"),
    ],
)
def test_every_default_is_valid(ask: Ask, project: str, package: str, contract: str, uri: str, bucket: str) -> None:
    """Names that come from the project's name pass their own validators, whatever it is."""
    computed = ask(project_name=project, storage="s3")
    assert (computed["package"], computed["contract"], computed["uri"], computed["bucket"]) == (
        *(package, contract, uri, bucket),
    )
    assert computed["holder"] == f"The {project} authors"


@pytest.mark.parametrize(
    ("answers", "days"),
    [({}, 0), ({"storage": "s3"}, 7), ({"storage": "s3", "archive": False}, 0), ({"archive": True}, 0)],
)
def test_events_leave_redis_by_themselves_only_if_an_archive_has_them(
    ask: Ask, answers: dict[str, Any], days: int
) -> None:
    """What would be gone permanently is removed only if somebody asks for it."""
    assert ask(**answers)["retention_days"] == days
    assert ask(**answers, retention_days=30)["retention_days"] == 30


def test_a_consumer_has_no_web_api_and_a_producer_no_group(ask: Ask) -> None:
    """What a question that is not asked would have said does not count."""
    assert ask(role="consumer")["has"]["api"] is False
    assert ask(role="producer")["has"]["consumer"] is False
