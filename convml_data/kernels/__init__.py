"""Loops over pixels, compiled to machine code by numba.

Each kernel is a plain function of arrays in its own small module; what it is for is said where it is
called. Loading numba takes half a second, so these modules are imported where they are used, never at
the top of another module.

A kernel may use nothing from outside of its own file: numba keeps the code of a file until that file
changes, and would not see that a constant elsewhere did.
"""
