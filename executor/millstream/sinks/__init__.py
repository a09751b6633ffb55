"""What streams write: the port (`sink`) and its implementations.

A sink knows how output becomes visible and how to do that once; which commit it belongs to is told to it.
"""
