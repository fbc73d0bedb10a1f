// Calls a URL over HTTPS, trusting one authority, and prints the answer.
//
//   node client.js URL [CA_FILE [SECONDS]]
//
// CA_FILE is a PEM file; without one, the authorities that Node trusts count. The certificate is always verified. Where
// everything has only just been started, the first calls fail: so it tries again until it gets a 200, for so many seconds
// (30 where that is not said), and then ends with the last failure and exit code 1.
'use strict';

const fs = require('node:fs');
const https = require('node:https');

const [url, caFile, seconds = '30'] = process.argv.slice(2);

function call() {
  return new Promise((resolve, reject) => {
    const options = {
      ca: caFile && fs.readFileSync(caFile), // which the local issuer writes at Tricot's first start
      agent: false, // a new connection for each call: certificates change while things start
      autoSelectFamily: true, // "localhost" may be ::1 first
      timeout: 5000,
    };
    const request = https.get(url, options, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (part) => { body += part; });
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode === 200) resolve({ response, body });
        else reject(new Error(`${response.statusCode} ${response.statusMessage}`));
      });
    });
    request.on('timeout', () => request.destroy(new Error('no answer within five seconds')));
    request.on('error', reject);
  });
}

async function main() {
  if (!url) throw new Error('usage: node client.js URL [CA_FILE [SECONDS]]');
  for (const deadline = Date.now() + Number(seconds) * 1000; ;) {
    try {
      const { response, body } = await call();
      console.log(`${response.statusCode} ${response.statusMessage}, X-Served-By: ${response.headers['x-served-by']}`);
      console.log(body.trimEnd());
      return;
    } catch (error) {
      if (Date.now() >= deadline) throw error;
      await new Promise((resume) => setTimeout(resume, 100));
    }
  }
}

main().catch((error) => {
  console.error(`client: ${error.message || error.code}`);
  process.exitCode = 1;
});
