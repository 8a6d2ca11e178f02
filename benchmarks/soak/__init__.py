"""The embedded runtime under load, and killed in the middle of it; ``make soak`` writes the results page."""
