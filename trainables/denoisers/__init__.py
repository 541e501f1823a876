"""Models that denoise: made here by a recipe, or read from somebody's pipeline."""
