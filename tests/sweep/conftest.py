"""Its folder is on the path of every room's tests, which share `recorded_run`."""
