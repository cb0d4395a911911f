"""What intake decides, and why: pure, one file per clinical verb."""
