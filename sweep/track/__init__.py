"""The relearning track: methods at fixed settings × attacks × what is forgotten × seeds, and a leaderboard of them."""
