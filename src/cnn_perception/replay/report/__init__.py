"""The parts of a replay's report: what is chosen, drawn and compared, and the page itself."""
