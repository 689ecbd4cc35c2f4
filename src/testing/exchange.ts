/** One request of a test, from the client's first byte to the stream's last hook. */
import { randomUUID } from 'node:crypto';
import { HeaderLines } from '../base/header-block.js';
import { afterTurn } from '../base/turns.js';
import { Direction, EndReason } from '../base/wire.js';
import { Changes, feed, Reader } from './ends.js';
import { given } from './lines.js';
import { clustersOf } from './clusters.js';
import { answerLines, isEmpty, requestLines, seenRequest, statusOf, upstreamRequest, withStatus } from './messages.js';
import { EnvoyState, type Given, type MetricValues } from './module/envoy-state.js';
import { Calls } from './module/calls.js';
import { kindOf, responseRule } from './module/framing.js';
import { ModuleStream, type Settings } from './module/stream.js';
import type { Frame, StreamId } from './frames.js';
import type { LogLine, SeenCall, TestRequest, TestResponse, Upstream } from './types.js';

/** What a test lends to its requests. */
export interface Stage {
  readonly settings: Settings;
  readonly given: Given;
  readonly metrics: MetricValues;
  readonly lines: readonly LogLine[];
  readonly send: (frame: Frame) => void;
  /** A new stream's number; the host's words to it go to `stream`. */
  readonly open: (made: (id: StreamId) => ModuleStream) => ModuleStream;
}

/** For what hooks say behind the end of their stream. */
const LAST_TURNS = 8;
const RESET_BODY = 'upstream connect error or disconnect/reset before headers. reset reason: connection termination';

const turn = (): Promise<void> => new Promise((resolve) => afterTurn(resolve));

export class Exchange {
  private readonly stage: Stage;
  private readonly asked: TestRequest;
  private readonly lines: HeaderLines;
  private readonly state: EnvoyState;
  private readonly client: Reader;
  private upstream: Reader | undefined;
  private readonly changes = new Changes();
  private readonly calls: SeenCall[] = [];
  private readonly envoyLog: { level: number; text: string }[] = [];
  private stream!: ModuleStream;
  private details: string | undefined = 'via_upstream';
  private isLocal = false;
  private isOver = false;

  constructor(stage: Stage, path: string, asked: TestRequest) {
    this.stage = stage;
    this.asked = asked;
    this.lines = withEnvoys(requestLines(path, asked));
    this.client = new Reader(asked.onPiece ?? (() => undefined));
    this.client.onRoom = () => {
      this.moved(() => this.stream.onRoom(Direction.Response));
    };
    const { given: all, metrics } = stage;
    const own: Given = {
      attributes: { ...all.attributes, ...asked.attributes },
      metadata: { ...all.metadata, ...asked.metadata },
      filterState: { ...all.filterState, ...asked.filterState },
      secrets: all.secrets,
    };
    const facts = () => ({ request: this.lines, status: statusOf(this.client) || undefined });
    this.state = new EnvoyState(own, metrics, facts);
  }

  async run(upstream: Upstream, calls: TestRequest['calls']): Promise<TestResponse> {
    const first = this.stage.lines.length;
    const { signal, trailers, body } = this.asked;
    const leave = (): void => this.clientLeaves();
    signal?.addEventListener('abort', leave);
    this.open(this.lines, upstream, calls);
    if (signal?.aborted === true) leave();
    if (!this.isHeadersOnly) {
      const fed = feed(this.changes, {
        body,
        trailers: trailers === undefined ? undefined : given(trailers),
        isOver: () => this.isOver,
        isFull: () => this.stream.isFull(Direction.Request),
        data: (bytes, last) => this.moved(() => this.stream.requestData(bytes, last)),
        end: (lines) => this.moved(() => this.stream.requestTrailers(lines)),
      });
      fed.catch(leave);
    }
    await this.client.over();
    signal?.removeEventListener('abort', leave);
    this.end(EndReason.Complete);
    for (let i = 0; i < LAST_TURNS; i++) await turn();
    return this.response(this.stage.lines.slice(first));
  }

  private get isHeadersOnly(): boolean {
    return isEmpty(this.asked.body, this.asked.trailers);
  }

  /** Of the stream; after `recreateStream` of the next one. */
  private open(lines: HeaderLines, upstream: Upstream, calls: TestRequest['calls']): void {
    const { settings, send } = this.stage;
    const reader = new Reader(typeof upstream === 'function' ? undefined : () => undefined);
    reader.onRoom = () => {
      this.moved(() => this.stream.onRoom(Direction.Request));
    };
    this.stream = this.stage.open((id) => {
      const ports = {
        settings,
        client: this.clientPort(),
        upstream: this.upstreamPort(reader, upstream),
        envoy: this.state,
        calls: new Calls(id, clustersOf(calls, this.calls), send),
        send,
        log: (level: number, text: string) => void this.envoyLog.push({ level, text }),
        replied: (details: string) => {
          this.isLocal = true;
          this.details = details === '' ? undefined : details;
        },
        again: (request: HeaderLines) => afterTurn(() => this.open(request, upstream, calls)),
        ended: () => reader.cut(),
      };
      return new ModuleStream(id, ports, lines, this.isHeadersOnly);
    });
    this.stream.begin();
  }

  private clientPort(): ConstructorParameters<typeof ModuleStream>[1]['client'] {
    const { client } = this;
    return {
      headers: (lines, end) => {
        client.headers(lines, end);
        if (end) this.endSoon();
      },
      data: (bytes) => client.data(bytes),
      end: (trailers) => {
        // HTTP/1.1 has no trailers where it has no body.
        const hasBody = responseRule(kindOf(this.lines), statusOf(client)) === 'body';
        client.end(hasBody ? trailers : undefined);
        this.endSoon();
      },
      get isFull() {
        return client.isFull;
      },
      reset: (code) => {
        this.details = code;
        client.cut();
        this.endSoon();
      },
    };
  }

  /** Envoy's stream is over once all of the answer was written, however slow its reader is. */
  private endSoon(): void {
    const { stream } = this;
    afterTurn(() => this.moved(() => stream.end()));
  }

  private upstreamPort(reader: Reader, upstream: Upstream): ConstructorParameters<typeof ModuleStream>[1]['upstream'] {
    return {
      headers: (lines, end) => {
        this.upstream = reader;
        reader.headers(HeaderLines.from(lines), end);
        void this.answer(reader, upstream, this.stream);
      },
      data: (bytes) => reader.data(bytes),
      end: (trailers) => reader.end(trailers),
      get isFull() {
        return reader.isFull;
      },
    };
  }

  private async answer(reader: Reader, upstream: Upstream, stream: ModuleStream): Promise<void> {
    try {
      if (typeof upstream !== 'function') await reader.over();
      const answer = typeof upstream === 'function' ? await upstream(upstreamRequest(reader)) : upstream;
      if (this.isOver || this.stream !== stream) return;
      const lines = answerLines(answer);
      const rule = responseRule(kindOf(this.lines), answer.status ?? 200);
      const { body, trailers } = answer;
      const end = rule === 'none' || isEmpty(body, trailers);
      this.moved(() => stream.responseHeaders(lines, end));
      if (end) return;
      await feed(this.changes, {
        body,
        trailers: trailers === undefined ? undefined : given(trailers),
        isOver: () => this.isOver || this.stream !== stream,
        isFull: () => stream.isFull(Direction.Response),
        data: (bytes, last) => this.moved(() => stream.responseData(bytes, last)),
        end: (end) => this.moved(() => stream.responseTrailers(end)),
      });
    } catch (error) {
      if (!this.isOver && this.stream === stream) this.upstreamResets(stream, error);
    }
  }

  /** What Envoy's router makes of it: an answer of its own while none has begun, else a reset. */
  private upstreamResets(stream: ModuleStream, error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    this.envoyLog.push({ level: 3, text: `the test's upstream threw, which resets it: ${why}` });
    if (stream.responseBegun) {
      this.details = 'upstream_reset_after_response_started{connection_termination}';
      this.client.cut();
      this.end(EndReason.Downstream);
      return;
    }
    this.isLocal = true;
    this.details = 'upstream_reset_before_response_started{connection_termination}';
    const body = Buffer.from(RESET_BODY);
    const headers = { 'content-length': String(body.length), 'content-type': 'text/plain' };
    this.moved(() => {
      stream.responseHeaders(withStatus(503, given(headers)), false);
      stream.responseData(body, true);
    });
  }

  private clientLeaves(): void {
    if (this.isOver) return;
    this.details = 'downstream_remote_disconnect';
    this.client.cut();
    this.end(EndReason.Downstream);
  }

  private end(reason: EndReason): void {
    this.moved(() => this.stream.end(reason));
    this.isOver = true;
    this.changes.happened();
  }

  /** Something that may make room for those who wait. */
  moved(step: () => void): void {
    step();
    this.changes.happened();
  }

  private response(lines: readonly LogLine[]): TestResponse {
    const id = this.lines.get('x-request-id');
    const logs = lines.filter(({ fields }) => fields['requestId'] === undefined || fields['requestId'] === id);
    const { client, upstream } = this;
    const text = client.text;
    return {
      ...client.seen(),
      status: statusOf(client),
      json: () => JSON.parse(text) as unknown,
      localReply: this.isLocal && client.complete,
      details: this.details,
      error: logs.find(({ fields }) => fields['err'] !== undefined)?.fields['err'],
      upstream: upstream === undefined ? undefined : seenRequest(upstream),
      logs,
      envoyLog: this.envoyLog,
      metrics: this.stage.metrics.all(),
      metadata: this.state.metadata,
      filterState: this.state.filterState,
      calls: this.calls,
      overrideHost: this.state.overrideHost,
      drainsConnection: this.state.drains,
    };
  }
}

/** With what Envoy adds to every request. */
function withEnvoys(lines: HeaderLines): HeaderLines {
  const added = { 'x-forwarded-proto': lines.get(':scheme') ?? '', 'x-request-id': randomUUID() };
  for (const [name, value] of Object.entries(added)) if (lines.get(name) === undefined) lines.add(name, value);
  return lines;
}
