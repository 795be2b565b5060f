"""Guided fuzzing of whatever reads what others wrote. See README.md here."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOUND = ROOT / "fuzz" / "found"
