"""HTTP as every service speaks it: commands, views, problems, operations."""
