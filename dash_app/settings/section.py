"""What all tables of a configuration file have in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A TOML table with known settings and immutable values."""

    model_config = ConfigDict(frozen=True, extra="forbid")
