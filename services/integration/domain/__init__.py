"""The rules of integration, pure: the plan as state, and one file for each clinical verb."""
