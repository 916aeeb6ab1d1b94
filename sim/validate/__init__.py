"""The command `thinbook validate`: days of a market, simulated or real, held to the laws of real ones."""
