"""What a user reads about an error of settings, servers or arguments."""

from __future__ import annotations

from typing import cast

from event_backbone.errors import BackboneError


def user_message(error: BaseException) -> str | None:
    """Return the sentence that a user reads about an error of settings, servers or arguments; None for a defect."""
    return next(iter(user_messages(error)), None)


def user_messages(error: BaseException) -> list[str]:
    """Return all that the user should read about an error, such as a sentence for each setting that is not valid."""
    if isinstance(error, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return [message for each in inner for message in user_messages(each)]
    if isinstance(error, BackboneError):
        return [str(error)]
    from pydantic import ValidationError  # noqa: PLC0415 - a health probe does without it

    if isinstance(error, ValidationError):
        # pydantic's own text would repeat the value, which may be a secret.
        found = error.errors(include_url=False, include_input=False, include_context=False)
        named = [(".".join(map(str, each["loc"])).upper() or error.title, each["msg"].rstrip(".")) for each in found]
        return [f"The setting {name} is not valid: {message}." for name, message in named]
    if type(error).__module__.startswith("pydantic_settings"):
        return [f"The settings cannot be read: {error}."]
    return []
