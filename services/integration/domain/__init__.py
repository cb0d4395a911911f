"""Pure rules of integration, one file per clinical verb."""
