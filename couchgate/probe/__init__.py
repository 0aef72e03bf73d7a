"""`couchgate probe`: which mode of the gate lives on this host, found out with a real browser's traffic.

Candidates are started one after the other as child processes, the calmest first; a page in the person's browser syncs
with each by PouchDB, and what becomes of the process is watched. Nothing here looks for a sensor, or does anything to
one.
"""
