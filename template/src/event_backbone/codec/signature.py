"""Reads the arguments of an event from its method's signature, and resolves their annotations."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import get_type_hints

from event_backbone.errors import ContractError

NO_DEFAULT = inspect.Parameter.empty
"""The default of an argument without one."""

_WORD = re.compile(r"[^\W\d]\w*")
_ALLOWED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of an event; ``default`` is ``NO_DEFAULT`` when the caller must give it."""

    name: str
    annotation: object
    default: object = NO_DEFAULT
    keyword_only: bool = False

    @property
    def required(self) -> bool:
        """Whether a call must give this argument."""
        return self.default is NO_DEFAULT


def signature_of(function: Callable[..., object]) -> inspect.Signature:
    """Return the signature without ``self``; annotations that cannot be resolved yet stay as written."""
    if sys.version_info >= (3, 14):
        import annotationlib  # noqa: PLC0415 - new in 3.14, where reading annotations evaluates them

        whole = inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
    else:
        whole = inspect.signature(function)
    return whole.replace(parameters=list(whole.parameters.values())[1:])


def read_parameters(function: Callable[..., object], *, event: str) -> tuple[Parameter, ...]:
    """Return the arguments with their annotations as written.

    Raises:
        ContractError: an argument has no type, starts with an underscore, is positional-only, or is ``*args`` or
            ``**kwargs``.
    """
    parameters: list[Parameter] = []
    for each in signature_of(function).parameters.values():
        if each.kind not in _ALLOWED:
            raise ContractError(
                f"Argument {each.name!r} of event {event!r} cannot be stored by name;"
                " do not use *args, **kwargs or positional-only arguments."
            )
        if each.name.startswith("_"):
            raise ContractError(f"Argument {each.name!r} of event {event!r} must not start with an underscore.")
        if each.annotation is inspect.Parameter.empty:
            raise ContractError(f"Argument {each.name!r} of event {event!r} needs a type, such as {each.name}: str.")
        keyword_only = each.kind is inspect.Parameter.KEYWORD_ONLY
        parameters.append(Parameter(each.name, each.annotation, each.default, keyword_only))
    return tuple(parameters)


def resolve(
    parameters: tuple[Parameter, ...], function: Callable[..., object], local_names: Mapping[str, object], *, event: str
) -> tuple[Parameter, ...]:
    """Return the arguments with resolved annotations.

    Raises:
        ContractError: an annotation cannot be resolved at run time; the text names the event and the argument.
    """
    global_names: dict[str, object] = getattr(inspect.unwrap(function), "__globals__", {})

    def evaluate(parameter: Parameter) -> Parameter:
        def holder() -> None: ...

        holder.__annotations__ = {parameter.name: parameter.annotation}
        try:
            hints = get_type_hints(holder, global_names, dict(local_names), include_extras=True)
        except Exception as error:
            missing = f" ({error.name} is not defined)" if isinstance(error, NameError) and error.name else ""
            raise ContractError(
                f"The type of argument {parameter.name!r} of event {event!r} cannot be resolved at run time{missing};"
                " import or define it outside TYPE_CHECKING, before the contract."
            ) from error
        return Parameter(parameter.name, hints[parameter.name], parameter.default, parameter.keyword_only)

    return tuple(map(evaluate, parameters))


def capture_local_names(function: Callable[..., object], frame: FrameType | None) -> dict[str, object]:
    """Return what annotations of ``function`` name in the class body ``frame`` and in the function around it.

    Only names that occur in an annotation are kept, so that no other object is kept alive. They must be read now: the
    frames no longer exist when the annotations are resolved.
    """
    texts = [each.annotation for each in signature_of(function).parameters.values()]
    words = {word for text in texts for word in _WORD.findall(text if isinstance(text, str) else repr(text))}
    found: dict[str, object] = {}
    while frame is not None and frame.f_locals is not frame.f_globals:
        found = {word: frame.f_locals[word] for word in words if word in frame.f_locals} | found
        if _is_function(frame.f_code):
            break
        frame = frame.f_back
    return found


def _is_function(code: CodeType) -> bool:
    # A class body is code, too, but looks names up in a dict: it is not "optimized".
    return bool(code.co_flags & inspect.CO_OPTIMIZED)
