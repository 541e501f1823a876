"""Data sets as they lie on disk: arrays, pictures and folders, and how they become train, public and test."""
