import { defineFilter, type BodyBuffer } from 'envoy-ts-filter';

function expectBytes(buffer: BodyBuffer, text: string): void {
  if (Buffer.from(buffer.bytes()).toString('latin1') !== text) {
    throw new Error(`${JSON.stringify(buffer.text())} instead of ${JSON.stringify(text)}`);
  }
  if (buffer.length !== text.length) throw new Error(`length ${buffer.length} instead of ${text.length}`);
}

const cases: Record<string, (buffer: BodyBuffer) => void> = {
  drain(buffer) {
    buffer.drain(40);
    expectBytes(buffer, '1234512345');
    buffer.drain(5);
    expectBytes(buffer, '12345');
    buffer.drain(10);
    expectBytes(buffer, '');
    buffer.drain(10);
    expectBytes(buffer, '');
  },
  'drain-bad-offset'(buffer) {
    for (const n of [0, -1, -1000, NaN]) buffer.drain(n);
    expectBytes(buffer, '1234567890'.repeat(3) + '12345'.repeat(4));
  },
  reset(buffer) {
    buffer.set('');
    expectBytes(buffer, '');
  },
  'reset-after-drain'(buffer) {
    buffer.drain(40);
    buffer.set('');
    expectBytes(buffer, '');
    buffer.append('again');
    expectBytes(buffer, 'again');
  },
  len(buffer) {
    const before = buffer.length;
    buffer.append('ä'); // two bytes of UTF-8
    const after = buffer.length;
    if (before !== 50 || after !== 52) throw new Error(`lengths ${before} and ${after} instead of 50 and 52`);
  },
};

/** Go's `buffer` plugin: BufferInstance's ways to lose and count bytes, once per stream. */
export default defineFilter({
  name: 'go-buffer',
  create(_config, callbacks) {
    let ran = false;
    return {
      decodeHeaders: () => undefined,
      decodeData(buffer) {
        if (ran) return;
        ran = true;
        cases[callbacks.request.path.split('?')[1] ?? '']!(buffer);
      },
    };
  },
});
