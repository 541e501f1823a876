"""Running many trials and reading them. Knows Ray, Optuna and Arrow; knows no loss function."""
