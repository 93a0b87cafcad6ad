"""Reporting: from run records to statistics, the report, and the verdict whether the measurement is sound."""
