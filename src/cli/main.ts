/** `ts-filter-host`. Messages for people go to stderr, the log goes to stdout. */
import { HostError } from '../base/host-errors.js';
import { loadFailure } from '../loader/loader-import.js';
import { LoadError } from '../host/place.js';
import { EXIT_FAILED, EXIT_USAGE, isDone } from './command.js';
import { makeProgram } from './program.js';

function die(text: string, code: number): never {
  process.stderr.write(`ts-filter-host: ${text}\n`);
  process.exit(code);
}

try {
  await makeProgram().parseAsync();
} catch (error) {
  if (error instanceof LoadError) die(error.message, EXIT_FAILED);
  const isUsage = error instanceof HostError && (error.code === 'TSF_USAGE' || error.code === 'TSF_NOT_YET');
  if (!isDone(error)) die(loadFailure(error), isUsage ? EXIT_USAGE : EXIT_FAILED);
}
