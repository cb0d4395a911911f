"""The event contract: one file per publishing service, literal versioned type names, sealed by one codec."""
