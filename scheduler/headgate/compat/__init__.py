"""Interfaces of other Mesos drivers for Python on our own transport, so that what was written for them runs on it.

Belongs here: what such a framework imports.  Does not belong here: anything that Headgate itself runs on.
"""
