"""The arguments of an event as one JSON object: a pydantic model for web APIs and command lines."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, create_model

from event_backbone.codec.config import CONFIG
from event_backbone.codec.signature import Parameter
from event_backbone.codec.times import aware_only


def build_body_model(event: str, description: str, parameters: tuple[Parameter, ...]) -> type[BaseModel]:
    """Return a model with one field per argument, read and written under the argument's name."""
    fields: dict[str, Any] = {}
    for field_name, each in zip(field_names_for(parameters), parameters, strict=True):
        default = ... if each.required else each.default
        fields[field_name] = (aware_only(each.annotation), Field(default, alias=each.name))
    class_name = "".join(part[:1].upper() + part[1:] for part in event.replace(".", "_").replace("-", "_").split("_"))
    return create_model(class_name or event, __config__=CONFIG | {"extra": "forbid"}, __doc__=description, **fields)


def field_names_for(parameters: tuple[Parameter, ...]) -> tuple[str, ...]:
    """Return a field name for each argument: its own, with ``_`` appended as long as pydantic needs the name."""
    taken = {each.name for each in parameters}
    names: list[str] = []
    for each in parameters:
        name = each.name
        while hasattr(BaseModel, name) or (name != each.name and name in taken):
            name += "_"
        taken.add(name)
        names.append(name)
    return tuple(names)
