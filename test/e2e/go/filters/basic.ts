import { setTimeout as sleep } from 'node:timers/promises';
import { defineFilter, StatusType, type BodyBuffer, type HeaderMap, type RequestHeaders } from 'envoy-ts-filter';
import { count } from '../../filters/lib/counters.js';

/** How the query steers the filter. */
interface Mode {
  /** Hooks answer Running and continue later. */
  async: boolean;
  sleep: boolean;
  dataSleep: boolean;
  /** The phase that replies. */
  localReply: string;
  /** The phase that answers StopAndBuffer. */
  dataBuffer: string;
  /** The phase that throws. */
  panic: string;
  badApi: boolean;
}

function modeOf(query: URLSearchParams): Mode {
  return {
    async: query.has('async'),
    sleep: query.has('sleep'),
    dataSleep: query.has('data-sleep'),
    localReply: query.get('local-reply') ?? '',
    dataBuffer: query.get('data-buffer') ?? '',
    panic: query.get('panic') ?? '',
    badApi: query.has('bad-api'),
  };
}

/** An index out of range is a panic in Go; here the value that is not there is used. */
function badCode(): void {
  const list: { name: string }[] = [];
  list[5]!.name.toUpperCase();
}

/** Go's `basic` plugin: all kinds of operations on headers, bodies and trailers, in several styles. */
export default defineFilter({
  name: 'go-basic',
  create(_config, callbacks) {
    let mode!: Mode;
    let requestHeaders!: RequestHeaders;
    let query = new URLSearchParams();
    let bodyLength = 0;
    const line = { scheme: '', method: '', path: '', host: '' };
    const decoder = callbacks.decoderFilterCallbacks();
    const encoder = callbacks.encoderFilterCallbacks();

    /** Go: `go func() { ... callbacks.Continue(status) }(); return api.Running`. Where the work panics, the hook's promise
     *  is its RecoverPanic. */
    function run(
      work: () => Promise<StatusType>,
      goOn: (status: StatusType) => void,
    ): typeof StatusType.Running | Promise<StatusType> {
      if (!mode.async || mode.panic !== '' || mode.badApi) return work();
      void work().then((status) => {
        if (status !== StatusType.LocalReply) goOn(status);
      });
      return StatusType.Running;
    }

    const rest = async (also = false): Promise<void> => {
      if (mode.sleep || also) await sleep(100);
    };

    const reply = (phase: string): typeof StatusType.LocalReply =>
      callbacks.sendLocalReply(403, {
        body: `forbidden from go in ${phase}\r\n`,
        headers: [
          ['content-type', 'text/html'],
          ['test-phase', phase],
          ['x-two-values', 'taz'],
          ['x-two-values', 'foobar'],
        ],
        details: 'test-from-go',
      });

    const fail = (message: string): typeof StatusType.LocalReply => callbacks.sendLocalReply(500, { body: message });

    /** Get and Values must tell the same. */
    function check(headers: HeaderMap): string {
      const first = headers.get('x-test-header-0');
      const all = headers.getAll('x-test-header-0');
      return first === all[0] ? '' : `getAll() answers ${all.join()}, get() ${first ?? 'nothing'}`;
    }

    async function decodeHeaders(headers: RequestHeaders, endStream: boolean): Promise<StatusType> {
      await rest();
      const info = callbacks.streamInfo();
      if (headers.has('x-set-metadata')) info.dynamicMetadata.set('filter.go', 'foo', 'bar');
      info.filterState.setString('go_state_test_key', 'go_state_test_value');
      headers.set('go-state-test-header-key', (await info.filterState.getString('go_state_test_key')) ?? 'none');

      if (mode.localReply === 'decodeHeaders') return reply('decodeHeaders');

      for (const [name, value] of headers) if (name === ':path' && value !== line.path) return fail('another :path');
      const wrong = check(headers);
      if (wrong !== '') return fail(wrong);

      headers.add('existed-header', 'bar');
      headers.add('newly-added-header', 'foo');
      headers.add('newly-added-header', 'bar');
      const origin = headers.get('x-test-header-0');
      if (origin !== undefined) headers.set('test-x-set-header-0', origin);
      headers.delete('x-test-header-1');
      headers.set('req-route-name', (await info.routeName()) ?? 'none');
      headers.set('req-downstream-local-address', (await info.downstreamLocalAddress()) ?? 'none');
      headers.set('req-downstream-remote-address', (await info.downstreamRemoteAddress()) ?? 'none');
      if (!endStream && mode.dataBuffer === 'decodeHeaders') return StatusType.StopAndBuffer;
      if (mode.panic === 'decodeHeaders') badCode();
      return StatusType.Continue;
    }

    async function decodeData(buffer: BodyBuffer, endStream: boolean): Promise<StatusType> {
      count('go-basic.decodeData');
      await rest(mode.dataSleep);
      if (mode.localReply === 'decodeData') return reply('decodeData');
      bodyLength += buffer.length;
      if (buffer.length !== 0) {
        buffer.set(buffer.text().toUpperCase());
        buffer.append('_append');
        buffer.prepend('prepend_');
      }
      if (!endStream && mode.dataBuffer === 'decodeData') return StatusType.StopAndBuffer;
      if (mode.panic === 'decodeData') badCode();
      // Headers that went on cannot be written: Go panics with "invalid phase".
      if (mode.badApi) requestHeaders.set('foo', 'bar');
      return StatusType.Continue;
    }

    async function decodeTrailers(trailers: HeaderMap): Promise<typeof StatusType.Continue> {
      await rest();
      trailers.add('existed-trailer', 'bar');
      trailers.set('x-test-trailer-0', 'bar');
      trailers.delete('x-test-trailer-1');
      trailers.add('x-test-trailer-2', 'bar');
      return StatusType.Continue;
    }

    async function encodeHeaders(headers: HeaderMap): Promise<StatusType> {
      await rest();
      const info = callbacks.streamInfo();
      const set = (name: string, value: string | number | undefined): void => {
        if (value !== undefined) headers.set(name, String(value));
      };
      set('rsp-protocol', await info.protocol());
      set('rsp-response-code', await info.responseCode());
      set('rsp-response-code-details', await info.responseCodeDetails());
      set('rsp-upstream-host', await info.upstreamRemoteAddress());
      set('rsp-upstream-cluster', await info.upstreamClusterName());
      set('rsp-virtual-cluster-name', await info.virtualClusterName());

      const wrong = check(headers);
      if (wrong !== '') return fail(wrong);
      headers.add('rsp-status', headers.get(':status') ?? 'none');
      headers.add('existed-header', 'bar');
      headers.add('newly-added-header', 'foo');
      headers.add('newly-added-header', 'bar');
      const origin = headers.get('x-test-header-0');
      if (origin !== undefined) headers.set('test-x-set-header-0', origin);
      headers.delete('x-test-header-1');
      set('test-req-body-length', bodyLength);
      if (query.has('foo')) set('test-query-param-foo', query.get('foo')!);
      for (const [name, value] of Object.entries(line)) set(`test-${name}`, value);
      set('test-log-level', callbacks.logLevel());
      set('rsp-route-name', await info.routeName());
      set('rsp-filter-chain-name', await info.filterChainName());
      set('rsp-attempt-count', await info.attemptCount());
      for (const [name, value] of headers) if (name.startsWith('told-')) headers.set(name, `filter saw ${value}`);
      if (mode.panic === 'encodeHeaders') badCode();
      return StatusType.Continue;
    }

    async function encodeData(buffer: BodyBuffer): Promise<StatusType> {
      await rest(mode.dataSleep);
      buffer.set(buffer.text().toUpperCase());
      if (mode.panic === 'encodeData') badCode();
      return StatusType.Continue;
    }

    return {
      decodeHeaders(headers, endStream) {
        requestHeaders = headers;
        line.scheme = headers.scheme;
        line.method = headers.method;
        line.path = headers.path;
        line.host = headers.host;
        query = new URL(headers.path, 'http://any').searchParams;
        mode = modeOf(query);
        return run(() => decodeHeaders(headers, endStream), decoder.continue) as Promise<typeof StatusType.Continue>;
      },
      decodeData: (buffer, endStream) => run(() => decodeData(buffer, endStream), decoder.continue),
      decodeTrailers: (trailers) =>
        run(() => decodeTrailers(trailers), decoder.continue) as Promise<typeof StatusType.Continue>,
      encodeHeaders: (headers) =>
        run(() => encodeHeaders(headers), encoder.continue) as Promise<typeof StatusType.Continue>,
      encodeData: (buffer) => run(() => encodeData(buffer), encoder.continue),
      encodeTrailers: () => run(() => rest().then(() => StatusType.Continue), encoder.continue) as never,
    };
  },
});
