"""The parts of the differential test: a case, its server, the two that read it, the comparison."""
