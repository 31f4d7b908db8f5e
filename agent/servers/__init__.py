"""Moonpool from within other programs: editors, evaluation frameworks, clients of tools."""
