"""Seeds: what the random numbers of a training begin with."""

LARGEST_SEED = 2**32 - 1  # numpy takes no larger one
