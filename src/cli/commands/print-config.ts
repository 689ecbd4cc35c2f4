import { Option, type Command } from 'commander';
import { socketPath } from '../../host/socket-path.js';
import type { FilterEntry } from '../envoy-entries.js';
import { below, command, usage } from '../command.js';
import { addressOption, portOption, socketOption } from '../options.js';
import type { Address } from '../print-config.js';
import { ISTIO_CONTEXTS, POD_SOCKET, type IstioContext } from '../print-kubernetes.js';

interface Flags {
  readonly socket?: string;
  readonly full?: boolean;
  readonly gatewayApi?: boolean;
  readonly istio?: true | IstioContext;
  readonly metadata?: string;
  readonly port: number;
  readonly upstream: Address;
}

export const printConfigCommand = (): Command =>
  command('print-config', 'prints what envoy.yaml needs for a filter')
    .argument('<name>', "the filter's name in defineFilter")
    .addOption(socketOption())
    .option('--full', 'a whole envoy.yaml')
    .option('--gateway-api', "Envoy Gateway's resources")
    .addOption(
      new Option('--istio [context]', "Istio's EnvoyFilter (default: SIDECAR_INBOUND)").choices(ISTIO_CONTEXTS),
    )
    .addOption(
      new Option(
        '--metadata <namespace:key>',
        "hands nested metadata of routes to the filter, as JSON in the filter state '<name>.<key>'",
      ).argParser(metadata),
    )
    .addOption(portOption('port', 'with --full: where Envoy listens').default(8085))
    .addOption(
      addressOption('upstream', 'with --full: where requests go').default(
        { host: '127.0.0.1', port: 8080 },
        '127.0.0.1:8080',
      ),
    )
    .addHelpText(
      'after',
      below(
        'Without an option: the entries of http_filters. For instance:\n  ts-filter-host print-config x-user --full > envoy.yaml',
      ),
    )
    .action(async (name: string, flags: Flags) => {
      process.stdout.write(await printed(name, flags));
    });

async function printed(name: string, flags: Flags): Promise<string> {
  const { full, gatewayApi, istio, metadata, port, upstream } = flags;
  if ([full, gatewayApi, istio].filter((one) => one !== undefined).length > 1)
    throw usage('--full, --gateway-api and --istio are three forms of the same; give one of them');
  const inPod = gatewayApi === true || istio !== undefined;
  const socket = inPod ? (flags.socket ?? POD_SOCKET) : socketPath(flags.socket);
  const filter: FilterEntry = { name, value: { socket, plugin_config: {} }, metadata };
  const { printGateway, printIstio } = await import('../print-kubernetes.js');
  if (gatewayApi === true) return printGateway(filter);
  if (istio !== undefined) return printIstio(filter, istio === true ? 'SIDECAR_INBOUND' : istio);
  const { printEntries, printWhole } = await import('../print-config.js');
  if (full !== true) return printEntries(filter);
  const host = '127.0.0.1';
  return printWhole({ filters: [filter], listen: { host, port }, admin: { host, port: 9901 }, upstream });
}

function metadata(text: string): string {
  if (/^[^:%()\s]+(:[^:%()\s]+)+$/.test(text)) return text;
  throw usage(`--metadata ${text}: give a namespace and a key, for instance envoy.filters.http.lua.redirect:plugins`);
}
