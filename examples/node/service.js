// A small HTTP service that tells Consul where it is and that Tricot shall route https://localhost/ to it.
//
// PORT                where it listens on 127.0.0.1; 3000 where it is not set, 0 for any free port
// CONSUL_HTTP_ADDR    the Consul agent; http://127.0.0.1:8500 where it is not set
// CONSUL_HTTP_TOKEN   the ACL token, where Consul asks for one (service:write for the name "hello")
'use strict';

const http = require('node:http');

const host = '127.0.0.1';
const agent = process.env.CONSUL_HTTP_ADDR || 'http://127.0.0.1:8500';
const consul = agent.includes('://') ? agent : `http://${agent}`;

const server = http.createServer((request, response) => {
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  if (request.url === '/health') {
    response.end('fine\n');
    return;
  }
  const { host, 'x-forwarded-proto': scheme = 'http' } = request.headers;
  response.end(`Hello from Node: ${request.method} ${scheme}://${host}${request.url}\n`);
});

// The service listens before it registers: whoever finds it in the catalog can call it.
server.listen(Number(process.env.PORT ?? 3000), host, async () => {
  const { port } = server.address();
  const id = `hello-${port}`;
  process.once('SIGTERM', () => end(id));
  process.once('SIGINT', () => end(id));
  await register(id, port);
});
server.on('error', (error) => {
  console.error(`service: ${error.message}`);
  process.exit(1);
});

// register tries until Consul takes it: the agent may start later than the service.
async function register(id, port) {
  const registration = {
    ID: id,
    Name: 'hello',
    Address: host,
    Port: port,
    Tags: ['tricot localhost', 'tricot-add-header X-Served-By hello'],
    Check: {
      HTTP: `http://${host}:${port}/health`,
      Interval: '2s',
      Timeout: '1s',
      Status: 'passing', // until the first check: it listens already
      DeregisterCriticalServiceAfter: '1m', // where it is killed and cannot say goodbye
    },
  };
  for (let said = false; !ending; await pause(200)) {
    try {
      await put('/v1/agent/service/register', registration);
      console.log(`service: listening on http://${host}:${port}/, registered in Consul as ${id}`);
      return;
    } catch (error) {
      if (!said) console.error(`service: ${consul} does not take the registration, trying on: ${reason(error)}`);
      said = true;
    }
  }
}

let ending = false;

// end leaves the catalog first, so that no request is sent here any more, and then finishes those that are here.
async function end(id) {
  ending = true;
  try {
    await put(`/v1/agent/service/deregister/${id}`);
  } catch (error) {
    console.error(`service: ${consul} does not take the deregistration: ${reason(error)}`);
  }
  server.close(() => process.exit(0));
  server.closeIdleConnections(); // which proxies keep for the next request
}

async function put(path, body) {
  const token = process.env.CONSUL_HTTP_TOKEN;
  const response = await fetch(consul + path, {
    method: 'PUT',
    headers: token ? { 'X-Consul-Token': token } : {},
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(2000),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} ${text.trim()}`);
}

function reason(error) {
  return error.cause?.message || error.cause?.code || error.message;
}

function pause(milliseconds) {
  return new Promise((resume) => setTimeout(resume, milliseconds));
}
