"""The frame of every service: its definition as data, and the process built from it."""
