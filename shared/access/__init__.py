"""Who may do what: access tokens are verified, then one pure function decides."""
