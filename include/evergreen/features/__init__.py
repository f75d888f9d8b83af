"""Features: transforms of a team's data, point-in-time joins, and the frame that a model is fed with."""
