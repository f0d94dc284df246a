"""How pydantic converts values to and from JSON; inside a model, the model's own configuration applies."""

from __future__ import annotations

from pydantic import ConfigDict

CONFIG = ConfigDict(
    ser_json_bytes="base64",
    val_json_bytes="base64",
    ser_json_inf_nan="strings",
    hide_input_in_errors=True,
    protected_namespaces=(),
)
