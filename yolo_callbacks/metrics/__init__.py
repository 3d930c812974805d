"""Represent what an epoch measured, and read one value of it for each monitor."""
