"""What does the work: planner, batch appliers, compensator, the loop."""
