/** Entries of Envoy's `http_filters` as YAML: a filter, its companions, and the router that has one of them. */

/** A filter, and the keys of its `filter_config`. */
export interface FilterEntry {
  readonly name: string;
  readonly value: Readonly<Record<string, unknown>>;
  /** Nested metadata of the route that the filter gets as JSON: `<namespace>:<key>`. */
  readonly metadata?: string | undefined;
}

/** How a companion entry's place is named, and what it brings there. */
const EDGES = {
  first: 'first: bodies of responses stay exact beside filters that pause, also where the router has no entry of ours',
  last: 'last before the router: late output of responses at any time, and bodies of requests exact beside filters that pause',
  upstream: "in the router: late output also behind the upstream's end, and expanders paced by their readers",
};
export type Place = keyof typeof EDGES;

const DYNAMIC_MODULE = 'type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter';
/** Found by its name on Envoy's search path. */
const BY_NAME = '{ name: ts_filter, do_not_close: true }';

export const indented = (text: string, by: number): string => text.replace(/^(?=.)/gm, ' '.repeat(by));

/** `module`: what stands for `dynamic_module_config`. */
export function edge(place: Place, module = BY_NAME): string {
  return `- name: ts_filter_edge_${place}
  typed_config:
    "@type": ${DYNAMIC_MODULE}
    dynamic_module_config: ${module}
    filter_name: ts_filter_edge
`;
}

export const commented = (place: Place, entry: string): string => `# ${EDGES[place]}\n${entry}`;

export function filterEntry({ name, value, metadata }: FilterEntry, module = BY_NAME, entryName = 'ts_filter'): string {
  const keys = Object.entries(value).map(([key, one]) => `        ${key}: ${JSON.stringify(one)}\n`);
  return `${metadata === undefined ? '' : metadataEntry(name, metadata)}- name: ${entryName}
  typed_config:
    "@type": ${DYNAMIC_MODULE}
    dynamic_module_config: ${module}
    filter_name: ${JSON.stringify(name)}
    filter_config:
      "@type": type.googleapis.com/google.protobuf.Struct
      value:
${keys.join('')}`;
}

/** The filter state that hands metadata to a filter. */
export function stateKey(name: string, metadata: string): string {
  return `${name}.${metadata.slice(metadata.lastIndexOf(':') + 1)}`;
}

/** Envoy's interface for modules has no nested metadata; as JSON in the filter state it has. */
function metadataEntry(name: string, metadata: string): string {
  const key = stateKey(name, metadata);
  return `# ${metadata} of the route's metadata as JSON: await callbacks.streamInfo().filterState.getString('${key}')
- name: ${key.replace(/[^\w.]/g, '_')}
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config
    on_request_headers:
    - object_key: ${JSON.stringify(key)}
      factory_key: envoy.string
      format_string:
        text_format_source: { inline_string: ${JSON.stringify(`%METADATA(ROUTE:${metadata})%`)} }
`;
}

/** Of the router: our companion, and the codec that has to be last. */
export function upstreamFilters(module?: string): string {
  return `upstream_http_filters:
${commented('upstream', edge('upstream', module))}- name: envoy.filters.http.upstream_codec
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec
`;
}

/** All of them, for `http_filters`. */
export function httpFilters(filters: readonly FilterEntry[]): string {
  const own = filters.map((one, i) => filterEntry(one, BY_NAME, i === 0 ? 'ts_filter' : `ts_filter_${i + 1}`));
  return `${commented('first', edge('first'))}# your filters and ours, in any order
${own.join('')}${commented('last', edge('last'))}- name: envoy.filters.http.router
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
${indented(upstreamFilters(), 4)}`;
}
