/** `ts-filter-host print-config`: the entries for a filter, or a whole `envoy.yaml` with them. */
import { isIP } from 'node:net';
import { httpFilters, indented, type FilterEntry } from './envoy-entries.js';

/** The filter's entry for `http_filters` in envoy.yaml, with its companions and the router that has one of them. */
export function printEntries(filter: FilterEntry): string {
  return `# the http_filters of the http_connection_manager; the ts_filter_edge entries are for filters that stream bodies
${httpFilters([filter])}`;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface WholeConfig {
  readonly filters: readonly FilterEntry[];
  readonly listen: Address;
  /** Undefined: none. */
  readonly admin: Address | undefined;
  readonly upstream: Address;
  /** Envoy's own timeouts of streams do not count. */
  readonly isUnhurried?: boolean;
}

const address = ({ host, port }: Address): string =>
  `{ socket_address: { address: ${JSON.stringify(host)}, port_value: ${port} } }`;

/** An envoy.yaml that Envoy starts with. */
export function wholeConfig({ filters, listen, admin, upstream, isUnhurried = false }: WholeConfig): string {
  return `${admin === undefined ? '' : `admin:\n  address: ${address(admin)}\n`}static_resources:
  listeners:
  - name: main
    address: ${address(listen)}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: main
${isUnhurried ? '          stream_idle_timeout: 0s\n' : ''}          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: { prefix: / }
                route: { cluster: upstream${isUnhurried ? ', timeout: 0s' : ''} }
          http_filters:
${indented(httpFilters(filters), 10)}
  clusters:
  - name: upstream
    type: ${isIP(upstream.host) === 0 ? 'STRICT_DNS' : 'STATIC'}
    load_assignment:
      cluster_name: upstream
      endpoints:
      - lb_endpoints:
        - endpoint: { address: ${address(upstream)} }
`;
}

export function printWhole(config: WholeConfig): string {
  return `# Start the host, then Envoy as the same user:
#   node_modules/.bin/ts-filter-host filters/ --socket ${String(config.filters[0]?.value['socket'])}
#   ENVOY_DYNAMIC_MODULES_SEARCH_PATH=<folder of libts_filter.so> envoy -c envoy.yaml
${wholeConfig(config)}`;
}
