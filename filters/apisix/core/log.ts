/** `core.log`: lines of the filter. Those of one request, with its id, are `ctx.log`. */
import { type Logger, runtime } from 'envoy-ts-filter';

const holder = (): { logger: Logger | undefined } => runtime.perWorker('apisix.log', () => ({ logger: undefined }));

/** The filter's own logger, once a configuration has been read. */
export function use(logger: Logger): void {
  holder().logger = logger;
}

export const log: Logger = {
  debug: (...line: unknown[]) => write('debug', line),
  info: (...line: unknown[]) => write('info', line),
  warn: (...line: unknown[]) => write('warn', line),
  error: (...line: unknown[]) => write('error', line),
};

function write(level: keyof Logger, line: unknown[]): void {
  const logger = holder().logger;
  if (logger !== undefined) (logger[level] as (...all: unknown[]) => void)(...line);
}
