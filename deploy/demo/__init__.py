"""The demo: patients that nobody here invented go from referral to integration over the real HTTP APIs."""
