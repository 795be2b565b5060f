"""UKSM: all private anonymous memory, vma by vma, on a ladder of four speeds."""
