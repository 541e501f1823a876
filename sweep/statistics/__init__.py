"""Numbers alone: estimates over seeds, intervals, ranks, what a front is expected to become. Knows numpy and scipy."""
