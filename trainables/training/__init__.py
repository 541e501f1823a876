"""What moves weights: adapters, and the device and its memory that they move on."""
