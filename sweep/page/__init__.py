"""The page an analyst opens, and the figures on it."""
