"""What one trial does. Knows torch and diffusers; knows nothing of sweeps. Only `trainables.trial` knows Ray."""
