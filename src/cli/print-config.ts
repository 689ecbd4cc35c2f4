const MODULE = `"@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter
    dynamic_module_config: { name: ts_filter, do_not_close: true }`;

function edge(place: string): string {
  return `- name: ts_filter_edge_${place}
  typed_config:
    ${MODULE}
    filter_name: ts_filter_edge
`;
}

/** The filter's entry for `http_filters` in envoy.yaml, with its companions and the router that has one of them. */
export function printConfig(name: string, socket: string): string {
  return `# the http_filters of the http_connection_manager; the ts_filter_edge entries are for filters that stream bodies
# first: bodies of responses stay exact beside filters that pause, also where the router has no entry of ours
${edge('first')}# your filters and ours, in any order
- name: ts_filter
  typed_config:
    ${MODULE}
    filter_name: ${JSON.stringify(name)}
    filter_config:
      "@type": type.googleapis.com/google.protobuf.Struct
      value:
        socket: ${JSON.stringify(socket)}
        plugin_config: {}
# last before the router: late output of responses at any time, and bodies of requests exact beside filters that pause
${edge('last')}- name: envoy.filters.http.router
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
    upstream_http_filters:
    # in the router: late output also behind the upstream's end, and expanders paced by their readers
${edge('upstream').replace(/^(?=.)/gm, '    ')}    - name: envoy.filters.http.upstream_codec
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec
`;
}
