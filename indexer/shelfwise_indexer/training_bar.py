"""The bar of a training on stderr; Trainer's own writes its figures to stdout, which belongs to the result."""

import sys
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class TrainingBar(TrainerCallback):
    """Batches done and the loss; a subclass says what an evaluation gave.

    :param name: what stands before the bar.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.bar: tqdm[Any] | None = None

    def evaluated(self, epoch: float, figures: Mapping[str, float]) -> None:
        """Called with whatever is logged that is no loss."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """See `TrainerCallback`."""
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc=self.name, unit="batch", file=sys.stderr)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """See `TrainerCallback`."""
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """See `TrainerCallback`."""
        if self.bar is None or not logs:
            return
        if "loss" in logs:
            self.bar.set_postfix_str(f"loss {float(logs['loss']):.3f}", refresh=False)
        else:
            self.evaluated(state.epoch or 0.0, logs)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """See `TrainerCallback`."""
        if self.bar is not None:
            self.bar.close()
