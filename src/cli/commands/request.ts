import type { Command } from 'commander';
import { below, command, EXIT_FAILED } from '../command.js';

interface Flags {
  readonly request?: string;
  readonly header: readonly string[];
  readonly data?: string;
  readonly config?: string;
  readonly json: boolean;
  readonly watch: boolean;
}

export const requestCommand = (): Command =>
  command('request', 'sends one request through a filter, without an Envoy')
    .argument('<filter>', "the filter's file, or its folder")
    .argument('[path]', 'with the query', '/')
    .option('-X, --request <method>', "the request's method (default: GET, with a body POST)")
    .option(
      '-H, --header <line>',
      "a header as 'name: value'; may be given again",
      (line, all: string[]) => [...all, line],
      [],
    )
    .option('-d, --data <body>', "the request's body")
    .option('--config <json>', "the filter's plugin_config")
    .option('--json', 'one object in place of what curl -i prints', false)
    .option('--watch', 'again at each save', false)
    .addHelpText(
      'after',
      below('The upstream answers with what it got. What went wrong is told with your own line first.'),
    )
    .action(async (filter: string, path: string, flags: Flags) => {
      const { request: method, header: headers, data: body, config, json, watch } = flags;
      const { request } = await import('../request.js');
      const isWell = await request({ filter, path, method, headers, body, config, json, watch });
      // What the filter has left running, an interval say, is nobody's wish here.
      process.exit(isWell ? 0 : EXIT_FAILED);
    });
