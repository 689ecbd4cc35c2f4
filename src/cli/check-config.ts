/** `check --config`: what Envoy cannot know of an envoy.yaml, because the filters are not in it. */
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { definitionOf, suggest } from '../api/filter.js';
import { createLog } from '../base/log.js';
import { checkSocketDir, socketPath } from '../host/socket-path.js';
import { bundleFilters } from '../loader/loader.js';
import { filtersIn, importBundle, type Definition } from '../loader/loader-import.js';
import { FilterRegistry } from '../registry/registry.js';
import { chainFindings } from './check-chain.js';
import {
  chainsOf,
  EDGE,
  modulesOf,
  readConfig,
  routesOf,
  settingsOf,
  type Chain,
  type Finding,
  type Spot,
} from './envoy-yaml.js';
import { messageOf } from '../base/host-errors.js';

export interface ConfigQuestion {
  /** The envoy.yaml. */
  readonly file: string;
  /** Of the filters; empty: their names and configs are not looked at. */
  readonly paths: readonly string[];
  /** Where the host will listen; undefined: where it does by default. */
  readonly socket: string | undefined;
}

const RULES = {
  allow: [],
  deny: [],
  logLevel: 2,
  streamWindow: 262_144,
  maxBodyBytes: 1 << 20,
  capabilities: 0,
  metrics: [],
} as const;

/** A line each, with its place. */
export async function checkConfig(question: ConfigQuestion): Promise<string[]> {
  const config = readConfig(question.file);
  const definitions = await load(question.paths);
  const chains = chainsOf(config);
  const modules = modulesOf(config);
  const findings = [
    ...(modules.length === 0 ? [noEntry(config)] : []),
    ...modules.flatMap((typed) => moduleFindings(typed, question.socket)),
    ...chains.flatMap((chain) => chainFindings(chain, (name) => hasBodyHooks(name, definitions))),
    ...chains.flatMap(routeNames),
    ...(question.paths.length === 0 ? [] : await judge(config, definitions)),
  ];
  const shown = relative(process.cwd(), question.file) || question.file;
  return [...new Set(findings.map(({ spot, text }) => `${shown}:${spot.place}: ${spot.path}: ${text}`))];
}

async function load(paths: readonly string[]): Promise<Definition[]> {
  if (paths.length === 0) return [];
  const files = await importBundle((await bundleFilters(paths)).url);
  const each = await Promise.all(files.map(async ({ file, load: run }) => filtersIn(file, await run())));
  return each.flat();
}

const noEntry = (config: Spot): Finding => ({
  spot: config,
  text: 'no entry of ours; add what ts-filter-host print-config <name> prints to http_filters',
});

function moduleFindings(typed: Spot, given: string | undefined): Finding[] {
  const found: Finding[] = [];
  const module = typed.get('dynamic_module_config') ?? typed;
  if (module.get('do_not_close')?.value !== true)
    found.push({
      spot: module,
      text: 'without do_not_close a later update of the config may unload the module; write do_not_close: true',
    });
  if (typed.get('filter_name')?.text === EDGE) return found;
  const settings = settingsOf(typed);
  if (settings === undefined) {
    found.push({ spot: typed, text: 'filter_config is no JSON; write it as a google.protobuf.Struct' });
    return found;
  }
  const { value, spotOf } = settings;
  const socket = typeof value['socket'] === 'string' ? value['socket'] : undefined;
  const expected = socketPath(given);
  if (socket !== undefined && socket !== expected)
    found.push({
      spot: spotOf('socket'),
      text: `the host listens at ${expected}; write socket: ${expected}, or start the host with --socket ${socket}`,
    });
  try {
    checkSocketDir(socket ?? expected);
  } catch (error) {
    found.push({ spot: spotOf('socket'), text: messageOf(error) });
  }
  const uids = value['allowed_uids'];
  const uid = process.getuid?.() ?? 0;
  if (Array.isArray(uids) && !uids.includes(uid))
    found.push({
      spot: spotOf('allowed_uids'),
      text: `the host runs as uid ${uid}, which is not among them; add ${uid}, or leave allowed_uids out`,
    });
  return found;
}

/** Names and configs, as the host will judge them. */
async function judge(config: Spot, definitions: readonly Definition[]): Promise<Finding[]> {
  const registry = new FilterRegistry(
    definitions.map(({ filter }) => filter),
    { logger: createLog('silent') },
  );
  const names = definitions.map(({ filter }) => filter.name);
  const found: Finding[] = [];
  let id = 0;
  const one = async (spot: Spot, name: string, isRoute: boolean, raw: unknown, at: Spot): Promise<void> => {
    if (!names.includes(name)) {
      found.push({
        spot,
        text: `no filter is named ${JSON.stringify(name)}${suggest(name, names) || `; the files have ${names.join(', ')}`}`,
      });
      return;
    }
    const verdict = await registry.parse(
      ++id,
      name,
      isRoute,
      raw === undefined ? undefined : JSON.stringify(raw),
      RULES,
    );
    if (!verdict.accepted) found.push({ spot: at, text: `refused by ${verdict.message}` });
  };
  for (const typed of [...modulesOf(config), ...routesOf(config)]) {
    const isRoute = typed.get('filter_name') === undefined;
    const named = typed.get(isRoute ? 'per_route_config_name' : 'filter_name') ?? typed;
    if (named.text === EDGE) continue;
    const settings = settingsOf(typed);
    if (settings === undefined) continue;
    const { value, spotOf } = settings;
    const list = value['filters'];
    if (!Array.isArray(list)) {
      await one(named, named.text ?? '', isRoute, value['plugin_config'], spotOf('plugin_config'));
      continue;
    }
    for (const [i, member] of list.entries()) {
      const { name, plugin_config } = member as { name?: string; plugin_config?: unknown };
      const spot = spotOf('filters').items[i] ?? spotOf('filters');
      await one(spot.get('name') ?? spot, name ?? '', false, plugin_config, spot.get('plugin_config') ?? spot);
    }
  }
  registry.dispose();
  return found;
}

/** Envoy looks a route's config up by the entry's name in http_filters, and ignores what has no entry. */
function routeNames({ manager, entries }: Chain): Finding[] {
  const names = entries.map(({ name }) => name);
  return [...manager.all()].flatMap((spot) =>
    (spot.get('typed_per_filter_config')?.entries ?? []).flatMap(([name, typed]) => {
      if (names.includes(name) || typed.get('@type')?.text?.endsWith('.DynamicModuleFilterPerRoute') !== true)
        return [];
      const hint = suggest(name, names) || `; its http_filters are ${names.join(', ')}`;
      return [
        {
          spot: typed,
          text: `no HTTP filter is called ${JSON.stringify(name)}, so Envoy ignores this; a filter inside composite has it under composite's own name${hint}`,
        },
      ];
    }),
  );
}

const BODY_HOOKS = ['decodeData', 'encodeData', 'transformRequest', 'transformResponse'] as const;

/** What a filter subscribes to is known when it runs: its phases tell, else its source. */
function hasBodyHooks(name: string, definitions: readonly Definition[]): boolean {
  const found = definitions.find(({ filter }) => filter.name === name);
  if (found === undefined) return false;
  const phases = definitionOf(found.filter)?.phases;
  if (phases !== undefined) return BODY_HOOKS.some((hook) => phases.includes(hook));
  const source = readFileSync(found.file, 'utf8');
  return BODY_HOOKS.some((hook) => new RegExp(`\\b${hook}\\b`).test(source));
}
