import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { defineFilter, StatusType, type StatusType as Status } from 'envoy-ts-filter';
import { count } from './lib/counters.js';

/**
 * Fails a gRPC call where and how its metadata say. `x-at` names the hook, `x-do` what it does: reply, throw, park,
 * flood. `x-whole` names the bodies that it asks for whole: request, response.
 */
export default defineFilter({
  name: 'grpc-faults',
  create(_config, callbacks) {
    const asked = (name: string) => callbacks.request.get(name);
    const act = async (place: string): Promise<Status> => {
      await turn();
      if (asked('x-at') !== place) return StatusType.Continue;
      count(`grpc-faults.${place}`);
      switch (asked('x-do')) {
        case 'reply': {
          const grpc = asked('x-grpc-status');
          const details = asked('x-details');
          return callbacks.sendLocalReply(Number(asked('x-code')), {
            body: 'said by the filter',
            ...(grpc === undefined ? {} : { grpcStatus: Number(grpc) }),
            ...(details === undefined ? {} : { details }),
          });
        }
        case 'park':
          count('grpc-faults.parked');
          await once(callbacks.signal, 'abort');
          throw callbacks.signal.reason;
        default:
          throw new Error(`asked to fail in ${place}`);
      }
    };
    const whole = (direction: string) => asked('x-whole') === direction;
    const then = async (place: string, direction: string, endStream: boolean) => {
      const status = await act(place);
      if (status !== StatusType.Continue || endStream || !whole(direction)) return status as 1 | 2;
      return StatusType.StopAndBuffer;
    };
    return {
      async decodeHeaders(headers, endStream) {
        if (asked('x-retype') !== undefined) headers.set('content-type', asked('x-retype')!);
        return then('decodeHeaders', 'request', endStream);
      },
      decodeData: () => act('decodeData'),
      encodeHeaders: (_headers, endStream) => then('encodeHeaders', 'response', endStream),
      async encodeData(data) {
        // 4 MiB for each piece, which nobody asked for
        if (asked('x-do') === 'flood') data.append(new Uint8Array(4 << 20));
        return act('encodeData');
      },
      encodeTrailers: async () => (await act('encodeTrailers')) as 1 | 2,
    };
  },
});
