"""What will be done, known in a second: the plan, its options and checks, and the plan in words."""
