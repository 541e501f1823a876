"""Running many trials and reading them. Knows Ray, Optuna and Arrow; knows no loss function."""

import sys

if sys.argv[:1] == ["-m"]:  # a command of this package, still being found: before anything heavy is imported
    from sweep.interrupt import say_so

    say_so()
