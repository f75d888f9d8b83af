"""Sources to rows: what a run reads, what of it is good, what is set aside and why, and when each row became known."""
