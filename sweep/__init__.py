"""Running many trials and reading them. Knows Ray, Optuna and Arrow; knows no loss function."""

import sys

if sys.argv[:1] == ["-m"]:  # a command of this package, still being found: before anything heavy is imported
    from sweep.errors import tell_of_interrupts

    tell_of_interrupts()
