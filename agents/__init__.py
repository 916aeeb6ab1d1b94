"""The people in the market: one file for each kind of participant."""
