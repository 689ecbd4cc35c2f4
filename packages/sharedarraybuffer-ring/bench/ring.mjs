// CPU time for one frame through a ring: claim, write, commit, and a share of publish and drain, both sides in one
// thread. CPU time and the best of several rounds, so that a busy machine disturbs little.
//   node bench/ring.mjs
import { cpus } from 'node:os';
import { Endpoint, createChannel } from '../dist/index.js';

const FRAMES = 32; // for each publish
const BATCHES = 20_000;
const ROUNDS = 9;

function measure(length) {
  const { a, b } = createChannel(1024 * 1024);
  const producer = new Endpoint(a.own, a.peer, { ring() {} });
  const consumer = new Endpoint(b.own, b.peer, { ring() {} });
  const payload = new Uint8Array(length).fill(1);
  let sum = 0;
  const handler = (kind, offset, size) => void (sum += consumer.peerBytes[offset] + size);
  const round = () => {
    for (let batch = 0; batch < BATCHES; batch++) {
      for (let frame = 0; frame < FRAMES; frame++) {
        producer.ownBytes.set(payload, producer.claim(1, length));
        producer.commit();
      }
      producer.publish();
      consumer.drain(handler);
    }
  };
  round();
  const times = Array.from({ length: ROUNDS }, () => {
    const start = process.cpuUsage();
    round();
    const { user, system } = process.cpuUsage(start);
    return ((user + system) * 1000) / (BATCHES * FRAMES);
  });
  if (sum === 0) throw new Error('nothing arrived');
  return Math.min(...times);
}

console.log(`Node ${process.version}, ${cpus()[0].model}`);
for (const length of [16, 64, 1024, 4096]) console.log(`${length} bytes: ${measure(length).toFixed(1)} ns a frame`);
