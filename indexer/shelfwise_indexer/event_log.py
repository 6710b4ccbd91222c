"""The event log as arrays: who did what with which product."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Log:
    """Events of known products, those of one user next to one another and oldest first; all arrays [events]."""

    users: Integers
    products: Integers
    times: npt.NDArray[np.float64]
    """Seconds since 1970; NaN where not known."""
    weights: Floats
    """Kind and the shop's own factor; a purchase of factor 1 has 1."""
    chosen: npt.NDArray[np.bool_]
    """Bought or put into the cart."""
    bought: npt.NDArray[np.bool_]

    def where(self, keep: npt.NDArray[np.bool_]) -> "Log":
        """The events of a mask, in their order."""
        return Log(
            self.users[keep],
            self.products[keep],
            self.times[keep],
            self.weights[keep],
            self.chosen[keep],
            self.bought[keep],
        )
