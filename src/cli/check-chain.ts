/** The order of a chain, and its edges (docs/chains.md). */
import { settingsOf, type Chain, type Entry, type Finding } from './envoy-yaml.js';

/** `streams`: whether a filter of that name has hooks of bodies. */
export function chainFindings(chain: Chain, streams: (name: string) => boolean): Finding[] {
  const { entries } = chain;
  const own = entries.filter(({ kind }) => kind === 'filter');
  if (own.length === 0) return [];
  const edges = [...entries, ...chain.upstream].filter(({ kind }) => kind === 'edge');
  const streaming = own.filter((entry) => namesOf(entry).some(streams));
  if (edges.length === 0 && streaming.length === 0) return streamedBehind(entries);
  return [...edgeFindings(chain, streaming), ...streamedBehind(entries)];
}

function namesOf({ typed }: Entry): string[] {
  const list = typed === undefined ? undefined : settingsOf(typed)?.value['filters'];
  if (Array.isArray(list)) return list.map((one: { name?: unknown }) => String(one.name));
  return [typed?.get('filter_name')?.text ?? ''];
}

const WHY = 'bodies that stream may be cut beside filters that pause, and late output waits';

function edgeFindings({ manager, entries, upstream }: Chain, streaming: readonly Entry[]): Finding[] {
  const list = manager.get('http_filters') ?? manager;
  const print = 'ts-filter-host print-config <name> prints the entry';
  const who = streaming.length === 0 ? '' : `${streaming.map(({ name }) => name).join(', ')} streams bodies: `;
  const found: Finding[] = [];
  const at = (i: number): Entry | undefined => entries[i];
  const isEdge = (entry: Entry | undefined): boolean => entry?.kind === 'edge';
  const before = entries.findIndex(({ kind }) => kind === 'router') - 1;
  const router = at(before + 1);
  if (!isEdge(at(0))) {
    const stray = before >= 0 && entries.slice(1, before).find(isEdge);
    found.push({
      spot: (stray || undefined)?.spot ?? at(0)?.spot ?? list,
      text: stray
        ? `an edge in the middle of the chain does nothing; make it the first of http_filters`
        : `${who}no ts_filter_edge is first, and ${WHY}; put one first (${print})`,
    });
  }
  if (!isEdge(at(before)) || before === 0) {
    found.push({
      spot: router?.spot ?? list,
      text: `${who}no ts_filter_edge is last before the router, and ${WHY}; put one there, behind all other filters (${print})`,
    });
  }
  if (!upstream.some(isEdge)) {
    found.push({
      spot: router?.typed ?? list,
      text: `${who}the router has no ts_filter_edge of its own, and late output ends with the upstream's response; put one into upstream_http_filters, before upstream_codec (${print})`,
    });
  }
  return found;
}

/** ext_proc that streams bodies is exact in front of ours. */
function streamedBehind(entries: readonly Entry[]): Finding[] {
  const first = entries.findIndex(({ kind }) => kind === 'filter');
  return entries.slice(first + 1).flatMap(({ spot, typed }) => {
    const mode = typed?.get('processing_mode');
    const isStreamed = ['request_body_mode', 'response_body_mode'].some((key) =>
      mode?.get(key)?.text?.includes('STREAMED'),
    );
    const text = 'ext_proc that streams bodies behind a filter of ours makes requests wait; put it in front of ours';
    return isStreamed ? [{ spot, text }] : [];
  });
}
