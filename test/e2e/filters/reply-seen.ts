import {
  type BodyBuffer,
  defineFilter,
  type FilterCallbacks,
  type LocalReply,
  type StreamFilter,
} from 'envoy-ts-filter';

interface Config {
  /** Who tells what its encode hooks see. */
  looks: string;
  replies: boolean;
}

/** As the request asks for it, in `x-ask`. */
export interface Ask {
  readonly phase: 'decodeHeaders' | 'decodeData';
  readonly status: number;
  readonly reply: Omit<LocalReply, 'body'> & { readonly body?: string };
}

/** Replies as the request says, and tells what its encode hooks see of a reply. */
export default defineFilter({
  name: 'reply-seen',
  parseConfig: (raw) => raw as unknown as Config,
  create: ({ looks, replies }, callbacks) => ({
    ...(replies ? replying(callbacks) : {}),
    ...(looks === '' ? {} : looking(callbacks, looks)),
  }),
});

function replying(callbacks: FilterCallbacks): Pick<StreamFilter, 'decodeHeaders' | 'decodeData'> {
  const ask = (): Ask => JSON.parse(callbacks.request.get('x-ask') ?? '') as Ask;
  const made = (phase: Ask['phase']) => () => {
    const { phase: wanted, status, reply } = ask();
    return phase === wanted ? callbacks.sendLocalReply(status, reply) : undefined;
  };
  return { decodeHeaders: made('decodeHeaders'), decodeData: made('decodeData') };
}

function looking(callbacks: FilterCallbacks, who: string): Pick<StreamFilter, 'encodeHeaders' | 'encodeData'> {
  const tell = (hook: string, what: unknown, endStream: boolean): void => {
    console.log(JSON.stringify({ seen: callbacks.request.get('x-id'), who, hook, what, endStream }));
  };
  return {
    encodeHeaders(headers, endStream) {
      tell('encodeHeaders', [...headers].map((line) => line.join(': ')).sort(), endStream);
    },
    encodeData(data: BodyBuffer, endStream) {
      tell('encodeData', data.text(), endStream);
    },
  };
}
