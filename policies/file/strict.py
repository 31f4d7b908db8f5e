"""The one way in which files that a person wrote are decoded: strict, with no key unknown."""

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """What every model of such a file builds on.

    Nothing is converted (``"3"`` is no number), nothing is left over, nothing changes afterwards.
    A model is made ready when it is first used, not when its module is imported.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, hide_input_in_errors=True,
        defer_build=True,
    )  # fmt: skip
