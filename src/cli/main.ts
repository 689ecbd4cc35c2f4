/** `ts-filter-host`. Messages for people go to stderr, the log goes to stdout. */
import { readFileSync } from 'node:fs';
import { Host } from '../host.js';
import { EXIT_UNSETTLED, exitText, HostError } from '../host-errors.js';
import { loadFailure } from '../loader-import.js';
import { createLog } from '../log.js';
import { LoadError } from '../place.js';
import { socketPath } from '../socket-path.js';
import { check } from './check.js';
import { doctor } from './doctor.js';
import { HELP, parseCommand, type ServeOptions } from './options.js';
import { printConfig } from './print-config.js';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

const version = (
  JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

function die(text: string, code: number): never {
  process.stderr.write(`ts-filter-host: ${text}\n`);
  process.exit(code);
}

async function serve(options: ServeOptions): Promise<void> {
  const log = createLog(options.logLevel);
  const host = new Host({ ...options, socket: socketPath(options.socket), version, log });
  let stopping = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stopping) {
      host.abandon();
      process.exit(signal === 'SIGINT' ? 130 : 143);
    }
    stopping = true;
    host.stop().then(
      () => process.exit(0),
      (error: unknown) => die(loadFailure(error), EXIT_FAILED),
    );
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  // With --workers 0 the filters load in this thread: Node ends it when nothing is left that could settle what they await.
  const dry = (): void => {
    process.stderr.write(`ts-filter-host: TSF_LOAD_FAILED: ${exitText(EXIT_UNSETTLED)}\n`);
    process.exitCode = EXIT_FAILED;
  };
  process.once('beforeExit', dry);
  await host.start();
  process.off('beforeExit', dry);
}

async function main(): Promise<void> {
  const command = parseCommand(process.argv.slice(2));
  switch (command.do) {
    case 'help':
      process.stdout.write(HELP);
      return;
    case 'version':
      process.stdout.write(`${version}\n`);
      return;
    case 'print-config':
      process.stdout.write(printConfig(command.name, socketPath(command.socket)));
      return;
    case 'check':
      process.exitCode = (await check(command.paths)) ? 0 : EXIT_FAILED;
      return;
    case 'doctor':
      process.exitCode = doctor(command.socket) ? 0 : EXIT_FAILED;
      return;
    case 'serve':
      await serve(command.serve);
  }
}

try {
  await main();
} catch (error) {
  if (error instanceof LoadError) die(error.message, EXIT_FAILED);
  const isUsage = error instanceof HostError && (error.code === 'TSF_USAGE' || error.code === 'TSF_NOT_YET');
  die(loadFailure(error), isUsage ? EXIT_USAGE : EXIT_FAILED);
}
