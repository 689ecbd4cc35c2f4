/** callbacks.log and ConfigContext.log: a thin coat over the process's logger. */
import type { LogFn, Logger } from '../api/types-callbacks.js';
import type { HostLogger } from '../base/deps.js';

/** Envoy's numbers. */
export const EnvoyLevel = { debug: 1, info: 2, warn: 3, error: 4 } as const;
type Level = keyof typeof EnvoyLevel;

/** `target` is asked for at the first line; `mirror` gets every line too. */
export function makeLogger(target: () => HostLogger, mirror?: (level: number, text: string) => void): Logger {
  let to: HostLogger | undefined;
  const at =
    (level: Level): LogFn =>
    (fields: object | string, msg?: string): void => {
      to ??= target();
      if (typeof fields === 'string') to[level]({}, fields);
      else to[level](fields, msg);
      mirror?.(EnvoyLevel[level], typeof fields === 'string' ? fields : withFields(fields, msg));
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** Envoy's log is text: the message, then the fields as JSON. */
function withFields(fields: object, msg: string | undefined): string {
  let json: string;
  try {
    json = JSON.stringify(fields instanceof Error ? { error: fields.message } : fields);
  } catch {
    json = '{…}'; // circular, or a getter that throws
  }
  return msg === undefined ? json : `${msg} ${json}`;
}
