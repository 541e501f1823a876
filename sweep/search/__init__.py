"""Who is tried, who is stopped, and who is run again."""
