/** `ts-filter-host print-config --gateway-api` and `--istio`: resources for Envoy Gateway and for Istio. */
import { dirname } from 'node:path';
import { edge, filterEntry, indented, upstreamFilters, type FilterEntry } from './envoy-entries.js';

export const MODULE_PATH = '/opt/ts-filter/libts_filter.so';
/** Where host and Envoy of a pod meet: in a folder of their own, because all may write to a volume's. */
export const POD_SOCKET = '/run/ts-filter/own/ts-filter.sock';
const START = `mkdir -p -m 0700 ${dirname(POD_SOCKET)} && exec node_modules/.bin/ts-filter-host filters/ --socket ${POD_SOCKET} --no-supervise`;

/** Kubernetes' names have no underscores. */
const label = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]+/g, '-') || 'filter';

/** The host as a container of Envoy's pod. Both containers share the socket's folder, and are of one user. */
const hostContainer = `- name: ts-filter-host
  image: registry.example/my-filters:1 # Node, node_modules, and your filters
  restartPolicy: Always # a sidecar: started before Envoy, ended after it
  command: [sh, -c, ${JSON.stringify(START)}]
  securityContext: { runAsUser: 65532 } # Envoy's user: the socket is for one user only
  volumeMounts:
  - { name: ts-filter-socket, mountPath: /run/ts-filter }
`;

/** Envoy Gateway: the module and the host in `EnvoyProxy`, the filter in `EnvoyExtensionPolicy`. */
export function printGateway({ name, value, metadata }: FilterEntry): string {
  const about = metadata === undefined ? '' : NO_METADATA;
  return `# Envoy Gateway. Its module names have no underscore, and it loads the module by its path.
# EnvoyExtensionPolicy has no place in the router's own chain: late output ends with the upstream's response (docs/chains.md). An
# EnvoyPatchPolicy can add that entry.
${about}apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyProxy
metadata:
  name: ts-filter
spec:
  dynamicModules:
  - name: ts-filter
    doNotClose: true
    source:
      type: Local
      local: { path: ${MODULE_PATH} }
  provider:
    type: Kubernetes
    kubernetes:
      envoyDeployment:
        pod:
          volumes:
          - { name: ts-filter-socket, emptyDir: {} }
          - name: ts-filter-module
            image: { reference: "registry.example/my-filters-module:1" } # an image with libts_filter.so
        container:
          volumeMounts:
          - { name: ts-filter-socket, mountPath: /run/ts-filter }
          - { name: ts-filter-module, mountPath: ${dirname(MODULE_PATH)}, readOnly: true }
        initContainers:
${indented(hostContainer, 8)}---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyExtensionPolicy
metadata:
  name: ts-filter-${label(name)}
spec:
  targetRefs:
  - { group: gateway.networking.k8s.io, kind: Gateway, name: my-gateway } # or an HTTPRoute
  dynamicModule:
  - { name: ts-filter, filterName: ts_filter_edge }
  - name: ts-filter
    filterName: ${JSON.stringify(name)}
    config:
${Object.entries(value)
  .map(([key, one]) => `      ${key}: ${JSON.stringify(one)}\n`)
  .join('')}  - { name: ts-filter, filterName: ts_filter_edge }
`;
}

const NO_METADATA = `# Envoy Gateway has no set_filter_state entry: nested metadata of routes is for an EnvoyPatchPolicy.
`;

export const ISTIO_CONTEXTS = ['SIDECAR_INBOUND', 'SIDECAR_OUTBOUND', 'GATEWAY'] as const;
export type IstioContext = (typeof ISTIO_CONTEXTS)[number];

/** Istio: patches of the connection manager's HTTP filters, and of its router. */
export function printIstio(filter: FilterEntry, context: IstioContext): string {
  const module = `{ name: ts_filter, do_not_close: true, module: { local: { filename: ${MODULE_PATH} } } }`;
  const entries = filterEntry(filter, module).split(/^(?=#|- name: ts_filter)/m);
  const before = entries.filter((one) => /^- name:/m.test(one)).map((one) => patch(context, 'INSERT_BEFORE', one));
  return `# Istio. The proxy needs Envoy 1.38 or later with dynamic modules, the file ${MODULE_PATH}, and the host beside
# it in its pod, on ${POD_SOCKET}, as the proxy's user (1337).
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata:
  name: ts-filter-${label(filter.name)}
spec:
  # workloadSelector: { labels: { app: my-app } }
  configPatches:
${indented(
  [
    patch(context, 'INSERT_FIRST', edge('first', module)),
    ...before,
    patch(context, 'INSERT_BEFORE', edge('last', module)),
    routerPatch(context, module),
  ].join(''),
  2,
)}`;
}

type Operation = 'INSERT_FIRST' | 'INSERT_BEFORE' | 'MERGE';

/** Each INSERT_BEFORE puts its entry right before the router, so they stand in the order of the patches. */
function patch(context: IstioContext, operation: Operation, entry: string): string {
  const sub = operation === 'INSERT_FIRST' ? '' : '\n          subFilter: { name: envoy.filters.http.router }';
  const value = entry
    .replace(/^#.*\n/gm, '')
    .replace(/^- /, '  ')
    .replace(/^ {2}/gm, '');
  return `- applyTo: HTTP_FILTER
  match:
    context: ${context}
    listener:
      filterChain:
        filter:
          name: envoy.filters.network.http_connection_manager${sub}
  patch:
    operation: ${operation}
    value:
${indented(value, 6)}`;
}

function routerPatch(context: IstioContext, module: string): string {
  return patch(
    context,
    'MERGE',
    `- name: envoy.filters.http.router
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
${indented(upstreamFilters(module).replace(/^#.*\n/gm, ''), 4)}`,
  );
}
