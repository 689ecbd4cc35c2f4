// An ext_proc server as people write them in Node: grpc-js, proto-loader, an async handler for each message. It adds
// one header to the request and one to the response, and upper-cases streamed bodies.
//
// usage: node server.js <unix socket>
import grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { fileURLToPath } from 'node:url';

const proto = fileURLToPath(new URL('ext_proc.proto', import.meta.url));
const api = grpc.loadPackageDefinition(loadSync(proto, { keepCase: true, oneofs: true }));

const addHeader = (key) => ({
  response: {
    header_mutation: {
      set_headers: [{ header: { key, raw_value: Buffer.from('1') }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' }],
    },
  },
});

/** In place and four bytes at a time, as in our own filter: the peer must not lose by its loop. */
function upper(bytes = Buffer.alloc(0)) {
  const head = Math.min(-bytes.byteOffset & 3, bytes.length);
  const count = (bytes.length - head) >> 2;
  upperBytes(bytes, 0, head);
  if (count > 0) {
    const words = new Int32Array(bytes.buffer, bytes.byteOffset + head, count);
    for (let i = 0; i < count; i++) {
      const low = words[i] & 0x7f7f7f7f;
      const lowerCase = ((low + 0x1f1f1f1f) ^ (low + 0x05050505)) & ~words[i] & 0x80808080;
      words[i] ^= (lowerCase >>> 2) & 0x20202020;
    }
  }
  upperBytes(bytes, head + count * 4, bytes.length);
  return { response: { body_mutation: { body: bytes } } };
}

function upperBytes(bytes, from, to) {
  for (let i = from; i < to; i++) if (bytes[i] >= 0x61 && bytes[i] <= 0x7a) bytes[i] -= 0x20;
}

async function answer(message) {
  switch (message.request) {
    case 'request_headers':
      return { request_headers: addHeader('x-bench-request') };
    case 'response_headers':
      return { response_headers: addHeader('x-bench-response') };
    case 'request_body':
      return { request_body: upper(message.request_body.body) };
    case 'response_body':
      return { response_body: upper(message.response_body.body) };
  }
}

let errors = 0;
function process_(call) {
  call.on('data', async (message) => call.write(await answer(message)));
  call.on('end', () => call.end());
  call.on('error', (error) => {
    if (errors++ < 10) console.error(`stream: ${error.code} ${error.details}`);
  });
}

const server = new grpc.Server({
  'grpc.max_receive_message_length': -1,
  ...JSON.parse(process.env.EXT_PROC_SERVER_OPTIONS ?? '{}'),
});
server.addService(api.envoy.service.ext_proc.v3.ExternalProcessor.service, { Process: process_ });
server.bindAsync(`unix:${process.argv[2]}`, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
  console.log('listening');
});
process.on('SIGTERM', () => process.exit(0));
