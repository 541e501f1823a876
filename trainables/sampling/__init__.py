"""What x_t means at every t, and how samples are drawn. Plain values."""
