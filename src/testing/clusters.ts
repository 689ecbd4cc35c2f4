/** The mocks of `calls`: what Envoy's clusters answer to `httpCall`. */
import { requestView } from './lines.js';
import { given } from './lines.js';
import { piecesOf } from './ends.js';
import { withStatus } from './messages.js';
import type { CallAnswer, CallAsked, Clusters } from './module/calls.js';
import type { CallMock, SeenCall, TestAnswer, TestSurroundings } from './types.js';
import { type RequestViewImpl } from '../headers/header-views.js';

/** `seen` gets every call that has a cluster. */
export function clustersOf(mocks: TestSurroundings['calls'] = {}, seen: SeenCall[]): Clusters {
  return (asked) => {
    const mock = Object.hasOwn(mocks, asked.cluster) ? mocks[asked.cluster] : undefined;
    return mock === undefined ? undefined : answer(mock, asked, seen);
  };
}

async function answer(mock: CallMock, asked: CallAsked, seen: SeenCall[]): Promise<CallAnswer> {
  const body = await asked.body;
  const call = seenCall(asked, body);
  seen.push(call);
  const made = typeof mock === 'function' ? await mock(call) : mock;
  return made instanceof Response ? fromResponse(made) : fromAnswer(made);
}

function seenCall({ cluster, lines }: CallAsked, body: Uint8Array): SeenCall {
  const view = requestView(lines);
  return Object.assign(view, { cluster, body, text: Buffer.from(body).toString() }) satisfies RequestViewImpl;
}

function fromAnswer({ status = 200, headers, body, trailers }: TestAnswer): CallAnswer {
  const lines = withStatus(status, given(headers));
  return { lines, body: piecesOf(body), trailers: trailers === undefined ? undefined : given(trailers) };
}

function fromResponse(response: Response): CallAnswer {
  const body = (response.body ?? []) as AsyncIterable<Uint8Array> | [];
  const lines = withStatus(response.status, given(response.headers));
  return { lines, body: piecesOf(body), trailers: undefined };
}
