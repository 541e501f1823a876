"""What a terminal shows of a running sweep: plain lines, a live table, or lines of JSON."""
