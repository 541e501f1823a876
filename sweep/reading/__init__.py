"""A run as its reader sees it: trials, fronts, arm against arm, and the words for them. No torch, Ray or Optuna."""
