"""The services: one per phase of care, each its own process; they know one another only by their events."""
