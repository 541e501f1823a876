"""The questions: one file each, found by name."""
