/** What to do about the mistakes in filters that TypeScript finds, in the words of the checks of a filter's first stream. */
import { IS_PROMISE, nameFault } from '../api/filter.js';

const STATUSES: Readonly<Record<string, string>> = {
  HeadersStatus: 'Running, LocalReply, Continue, StopAndBuffer, StopAndBufferWatermark',
  TrailersStatus: 'Running, LocalReply, Continue',
  StatusType: 'Running, LocalReply, Continue, StopAndBuffer, StopAndBufferWatermark, StopNoBuffer',
};

/** undefined: TypeScript's own words are all there is. */
export function mendFor(message: string, source: string): string | undefined {
  // Written into the types (types.ts).
  const mistake = /(?:assignable to|required in) type 'Mistake<"([^"]+)">'/.exec(message)?.[1];
  if (mistake !== undefined) {
    const misspelt = /^(\w+) is no hook$/.exec(mistake)?.[1];
    return misspelt === undefined ? mistake : nameFault(misspelt);
  }
  const status = STATUSES[/Answer<(\w+)>'/.exec(message)?.[1] ?? ''];
  if (status !== undefined) return `answers what is no status here; answer one of ${status} (nothing means Continue)`;
  if (/asyncIterator\]' is missing in type 'Promise</.test(message)) {
    return 'is an async function; make it an async generator: async *';
  }
  const [first = ''] = message.split('\n', 1);
  if (!/is not assignable to type '.*\bOnly</.test(first)) return undefined;
  if (message.includes("Type 'Promise<")) return IS_PROMISE;
  // Where no member is a hook, TypeScript names none: in the type that it shows, else anywhere in the file.
  return faultIn(first) ?? faultIn(source);
}

function faultIn(text: string): string | undefined {
  for (const [, name = ''] of text.matchAll(/\b(\w+)\??(?:\(|\s*[:=])/g)) {
    const fault = nameFault(name);
    if (fault !== undefined) return fault;
  }
  return undefined;
}
