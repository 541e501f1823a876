"""A simulator of sweeps: samplers and stopping rules over thousands of trials in minutes, on problems with staged costs."""
