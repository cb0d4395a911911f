"""The rules of the session room, pure: the course as state, and one file for each clinical verb."""
