"""Boards, curves and tables, as people see them."""
