'use strict';
// A CouchDB-compatible database in memory: `node server.js PORT` (0: any free port). For the demo and the tests only.
//
// - It listens on 127.0.0.1 alone, asks nobody who they are, and keeps nothing.
// - It says `standin listening on URL` in one line when it is ready, and ends when its standard input does: with the
//   process that started it, however that one died.
// - One bad request must not end it. express-pouchdb throws on a few of them, outside the reach of express; the
//   request in question is answered 500, the rest goes on.

const { AsyncLocalStorage } = require('node:async_hooks');
const http = require('node:http');
const os = require('node:os');
const express = require('express');
const PouchDB = require('pouchdb-core')
  .plugin(require('pouchdb-adapter-memory'))
  .plugin(require('pouchdb-adapter-http'))
  .plugin(require('pouchdb-replication'))
  .plugin(require('pouchdb-mapreduce'))
  .plugin(require('pouchdb-find'));

const exchanges = new AsyncLocalStorage();

function survive(error) {
  console.error('standin: a request failed: %s', String((error && error.message) || error).split('\n')[0]);
  const response = exchanges.getStore();
  if (!response || response.writableEnded) return;
  if (response.headersSent) {
    response.destroy(); // cut short, so that it does not look whole
    return;
  }
  response.writeHead(500, { 'Content-Type': 'application/json' });
  response.end('{"error":"internal_server_error","reason":"The stand-in database cannot do this."}\n');
}

function endWithParent() {
  process.stdin.resume();
  for (const event of ['end', 'close', 'error']) process.stdin.on(event, () => process.exit(0));
}

function database() {
  const couch = require('express-pouchdb')(PouchDB.defaults({ adapter: 'memory' }), {
    mode: 'fullCouchDB',
    inMemoryConfig: true,
    logPath: os.devNull,
    // CouchDB compresses no answers of its own, and its log and its web pages are of no use here.
    overrideMode: { exclude: ['compression', 'routes/fauxton', 'routes/http-log', 'routes/log'] },
  });
  const app = express();
  app.disable('x-powered-by');
  app.use((request, response, next) => exchanges.run(response, next));
  app.use(couch);
  return app;
}

function main(port) {
  const server = http.createServer(database());
  // As CouchDB: idle connections stay for five minutes, and an upload may take as long as it takes.
  server.keepAliveTimeout = 300_000;
  server.requestTimeout = 0;
  server.on('error', (error) => {
    console.error('standin: cannot listen on 127.0.0.1:%d: %s', port, error.code || error.message);
    process.exit(1);
  });
  server.listen(port, '127.0.0.1', () => {
    console.log('standin listening on http://127.0.0.1:%d', server.address().port);
    console.log = console.error; // express-pouchdb writes there too, and nobody reads on
  });
  process.on('uncaughtException', survive);
  process.on('unhandledRejection', survive);
}

const port = Number(process.argv[2] || 0);
if (!Number.isInteger(port) || port < 0 || port > 65535) {
  console.error('standin: the port must be a number from 0 to 65535');
  process.exit(2);
}
endWithParent();
main(port);
