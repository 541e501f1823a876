"""Its folder's helpers (`tiny`, `mechanism_checks`) can be imported by the tests below it."""
