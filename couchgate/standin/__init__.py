"""A CouchDB-compatible database in memory, for the demo and the tests: express-pouchdb from npm, run by Node.

`package.json`, `package-lock.json` and `server.js` are package data. `install.py` installs them once into a cache of
the user's, `start.py` runs them. Nothing here is meant to keep data.
"""
