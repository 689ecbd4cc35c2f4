/** The filter's entry for `http_filters` in envoy.yaml. */
export function printConfig(name: string, socket: string): string {
  return `# under http_filters of the http_connection_manager, before envoy.filters.http.router
- name: ts_filter
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter
    dynamic_module_config: { name: ts_filter, do_not_close: true }
    filter_name: ${JSON.stringify(name)}
    filter_config:
      "@type": type.googleapis.com/google.protobuf.Struct
      value:
        socket: ${JSON.stringify(socket)}
        plugin_config: {}
`;
}
