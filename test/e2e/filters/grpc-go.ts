import { setImmediate as turn } from 'node:timers/promises';
import { defineFilter, StatusType, type BodyBuffer } from 'envoy-ts-filter';
import { changed, Messages } from './lib/grpc.js';

/** Message by message in both directions, in the data hooks; what is no whole message yet is kept. */
export default defineFilter({
  name: 'grpc-go',
  create() {
    const kept = { request: new Messages(), response: new Messages() };
    const hook = async (data: BodyBuffer, direction: 'request' | 'response') => {
      await turn();
      const whole = [...kept[direction].take(data.bytes())].flatMap((message) => [...changed(message, direction)]);
      data.set(Buffer.concat(whole));
      return StatusType.Continue;
    };
    return {
      decodeData: (data) => hook(data, 'request'),
      encodeData: (data) => hook(data, 'response'),
    };
  },
});
