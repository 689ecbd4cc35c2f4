import {
  ConfigError,
  defineFilter,
  sse,
  type BodyStream,
  type HeaderView,
  type Json,
  type ServerSentEvent,
  type StreamFilter,
} from 'envoy-ts-filter';

type Fields = { readonly [name: string]: Json };

interface Config {
  /** Upper-cases `data`. */
  upper: boolean;
  /** Added to `data` that is a JSON object. */
  add: Fields;
}

/** Changes server-sent events as they come; each one goes on before the next is there. */
export default defineFilter({
  name: 'sse',
  phases: ['encodeHeaders', 'transformResponse'],
  parseConfig: parse,
  create: (config) => {
    const stream: Pick<StreamFilter, 'encodeHeaders' | 'transformResponse'> = {
      encodeHeaders(headers) {
        // Only event streams have a transform: the body of any other response flows past the host.
        if (isEventStream(headers)) stream.transformResponse = (body) => changeEvents(body, config);
      },
    };
    return stream;
  },
});

async function* changeEvents(body: BodyStream, config: Config): AsyncGenerator<string> {
  let lastId = '';
  for await (const event of sse(body)) {
    yield format({ ...event, data: change(event.data, config) }, lastId);
    lastId = event.id;
  }
}

const isEventStream = (headers: HeaderView): boolean =>
  /^text\/event-stream *(;|$)/i.test(headers.get('content-type') ?? '') && !headers.has('content-encoding');

function change(data: string, { upper, add }: Config): string {
  if (Object.keys(add).length > 0 && data.startsWith('{')) {
    try {
      data = JSON.stringify({ ...(JSON.parse(data) as Fields), ...add });
    } catch {
      // Looks like JSON and is not: goes on as it came.
    }
  }
  return upper ? data.toUpperCase() : data;
}

/** `id` stays in force until another comes, so it is only said when it changes. */
function format({ event, data, id, retry }: ServerSentEvent, lastId: string): string {
  let text = '';
  if (event !== 'message') text += `event: ${event}\n`;
  if (id !== lastId) text += `id: ${id}\n`;
  if (retry !== undefined) text += `retry: ${retry}\n`;
  for (const line of data.split('\n')) text += `data: ${line}\n`;
  return `${text}\n`;
}

function parse(raw: Json | undefined): Config {
  const { upper = false, add = {} } = (raw ?? {}) as Fields;
  if (typeof upper !== 'boolean') throw new ConfigError('upper', 'must be true or false');
  if (typeof add !== 'object' || add === null || Array.isArray(add)) throw new ConfigError('add', 'must be an object');
  return { upper, add: add as Fields };
}
