"""The guard: limits on a GPU's power and temperature, and what is done when they are passed."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from finetune_api.fields import ApiModel, Count, ReportedDecimal, rule, validations


class GuardAction(StrEnum):
    THROTTLE = "Throttle"
    PAUSE = "Pause"


class Guard(ApiModel):
    """Limits on each GPU's power and temperature."""

    model_config = {
        "json_schema_extra": validations(
            rule(
                "has(self.maxPowerWatts) || has(self.maxTemperatureCelsius)",
                "maxPowerWatts or maxTemperatureCelsius must be given, or guard be left out",
            )
        )
    }

    max_power_watts: Annotated[int, Field(ge=20, le=10_000)] | None = None
    """Most power of one GPU, as a mean over 30 seconds."""
    max_temperature_celsius: Annotated[int, Field(ge=20, le=120)] | None = None
    """Highest temperature of one GPU."""
    action: GuardAction = GuardAction.THROTTLE
    """Throttle rests between micro-batches, then takes smaller ones, and saves a checkpoint and pauses where that is
    not enough; Pause saves a checkpoint and pauses at once."""


class GuardState(StrEnum):
    THROTTLED = "Throttled"
    OVERHEATED = "Overheated"


class GuardReport(ApiModel):
    """What the limits cost."""

    throttled_seconds: ReportedDecimal
    """Time that was spent resting between micro-batches, over all attempts."""
    pauses: Count = 0
    """How often the training was paused."""
    highest_temperature_celsius: ReportedDecimal | None = None
    """Highest temperature that was seen."""
    highest_mean_watts: ReportedDecimal | None = None
    """Highest mean power over 30 seconds that was seen."""
