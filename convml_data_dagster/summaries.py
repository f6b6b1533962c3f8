"""What is said in the end of many scenes: of one run in its log, of all runs of a command at the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from convml_data.pipeline.scene import Record

#: How much of what went wrong a summary spells out.
CAUSES_SHOWN = 50
SCENES_SHOWN = 10


class Outcome(Protocol):
    """What came of a scene, as far as summaries tell it."""

    @property
    def scene_id(self) -> str:
        """Of the scene."""

    @property
    def records(self) -> Sequence[Record]:
        """Of the stages that it passed."""

    @property
    def failed_stage(self) -> str | None:
        """Where it ended, if it failed."""

    @property
    def error(self) -> str | None:
        """Why."""

    @property
    def dropped(self) -> str | None:
        """Why it is no scene after all."""


@dataclass
class Summary:
    """What came of scenes, without their results."""

    total: int = 0
    scenes_by_cause: dict[str, list[str]] = field(default_factory=dict)
    drops: dict[str, str] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """Take note of a scene."""
        self.total += 1
        for record in outcome.records:
            if "valid_share" in record.metadata:
                # Of the stage that comes first, which is of the whole domain.
                self.shares.setdefault(outcome.scene_id, float(record.metadata["valid_share"]))
        if outcome.dropped is not None:
            self.drops[outcome.scene_id] = outcome.dropped
        if outcome.error is not None:
            self.scenes_by_cause.setdefault(f"{outcome.failed_stage}: {outcome.error}", []).append(outcome.scene_id)

    @property
    def failed_scenes(self) -> list[str]:
        """IDs of those that failed."""
        return [scene_id for scene_ids in self.scenes_by_cause.values() for scene_id in scene_ids]

    def failure(self) -> str | None:
        """What failed, scenes with the same cause on one line; None where nothing did."""
        if not self.scenes_by_cause:
            return None
        lines = [f"{few(scene_ids)} – {cause}" for cause, scene_ids in self.scenes_by_cause.items()]
        shown = "\n".join(lines[:CAUSES_SHOWN])
        if len(lines) > CAUSES_SHOWN:
            shown += f"\nand {len(lines) - CAUSES_SHOWN} other causes, which are in the run's log"
        return f"{len(self.failed_scenes)} of {self.total} scenes failed; the others are done.\n{shown}"

    def warnings(self, aux_name: str | None) -> list[str]:
        """What else is not as one would expect."""
        return [text for text in (self._missing_values(), self._dropped(aux_name)) if text is not None]

    def _missing_values(self) -> str | None:
        partial = {scene_id: share for scene_id, share in self.shares.items() if share < 1}
        if not partial:
            return None
        worst = min(partial, key=partial.__getitem__)
        return (
            f"{len(partial)} of {len(self.shares)} scenes lack values in a part of their area; the most does {worst}, "
            f"with values in {100 * partial[worst]:.3g} % of it"
        )

    def _dropped(self, aux_name: str | None) -> str | None:
        if not self.drops:
            return None
        scene_id, reason = next(iter(self.drops.items()))
        what = "are dropped, as the scene ledger now says" if aux_name is None else f"have no {aux_name}"
        return f"{len(self.drops)} scenes {what}; the first is {scene_id}: {reason}"


def few(scene_ids: Sequence[str]) -> str:
    """The first of many scenes, and how many more there are."""
    named = ", ".join(scene_ids[:SCENES_SHOWN])
    return named if len(scene_ids) <= SCENES_SHOWN else f"{named} and {len(scene_ids) - SCENES_SHOWN} more"
