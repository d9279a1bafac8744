"""Boards, curves and tables, and the rules of catalogues, as people see them."""
